"""Keyless signatures, by the sigstore library (extra ``sigstore``, imported late).

The library speaks with the services (a certificate authority, a log, a timestamp authority) and
checks what they gave; what it says is read back strictly here, so that what it verified and what
Staunch believes are the same bytes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats import dsse, intoto
from staunch.formats.dsse import Envelope
from staunch.formats.sigstore_bundle import parse_bundle
from staunch.ports import SignedBy

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import ClientTrustConfig

__all__ = ["NoTrustRoot", "SigstoreIdentities", "SigstoreSigner", "identity_token"]

TOKEN = "SIGSTORE_ID_TOKEN"  # noqa: S105 - the name of a variable, as other clients have it
_ISSUER_V2, _ISSUER_V1 = "1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1"
_USERNAME = "1.3.6.1.4.1.57264.1.7"
_UTF8 = 0x0C


def _missing() -> UndecidedError:
    return UndecidedError(
        "keyless signatures need the sigstore library",
        why="it is not installed",
        mend="install `staunch-images[sigstore]`",
    )


class _Anyone:
    """The library's policy: who signed is told, and judged by our own policy."""

    def verify(self, cert: Certificate) -> None:
        """Take every certificate that is otherwise valid."""


@dataclass(frozen=True, slots=True)
class NoTrustRoot:
    """ports.IdentityVerifier where nobody said whom to trust for identities."""

    def identity(self, bundle: bytes) -> SignedBy:
        """Always UndecidedError."""
        raise UndecidedError(
            "a keyless signature cannot be verified",
            why="no trust root was given",
            mend="give `identities` and `trusted-root` in a policy",
        )


class SigstoreIdentities:
    """ports.IdentityVerifier over the sigstore library; needs no network."""

    def __init__(self, trusted_root: bytes) -> None:
        """Take a trust root as JSON (``trusted_root.json`` of sigstore).

        Raises:
            SpecError: it is none.
            UndecidedError: the library is not installed.
        """
        try:
            from sigstore.errors import Error
            from sigstore.models import TrustedRoot
            from sigstore.verify import Verifier
        except ImportError as e:
            raise _missing() from e
        try:
            with tempfile.NamedTemporaryFile(suffix=".json") as file:  # it reads from files only
                file.write(trusted_root)
                file.flush()
                self._verifier = Verifier(trusted_root=TrustedRoot.from_file(file.name))
        except (Error, ValueError, TypeError, AttributeError) as e:
            raise SpecError(
                "the trust root cannot be used",
                why=_line(e),
                mend="give sigstore's trusted_root.json",
            ) from e

    def identity(self, bundle: bytes) -> SignedBy:
        """Who signed; certificate chain, SCT, log entry, time and signature are verified."""
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from sigstore.errors import Error
        from sigstore.models import Bundle

        try:
            read = Bundle.from_json(_filled(bundle))
            kind, payload = self._verifier.verify_dsse(read, _Anyone())
            signed = _named(read.signing_certificate)
        except (
            Error,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            ArithmeticError,
            AssertionError,
            RecursionError,
            InvalidSignature,
            UnsupportedAlgorithm,
            x509.ExtensionNotFound,
            x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType,
            x509.InvalidVersion,
        ) as e:
            raise UntrustedError(
                "a keyless signature does not verify", why=_line(e), mend="have it signed again"
            ) from e
        ours = parse_bundle(bundle).content
        if not isinstance(ours, Envelope) or (ours.payload_type, ours.payload) != (kind, payload):
            raise UntrustedError(
                "a keyless signature has two readings",
                why="the sigstore library verified other bytes than the bundle's payload",
                mend="have it signed again",
            )
        return signed


def _filled(bundle: bytes) -> bytes:
    """The bundle with what protobuf's JSON form leaves out, and the library asks for.

    That form omits zeros and empty lists (protobuf.dev, "ProtoJSON Format"), so the first entry of a
    log has neither index nor path. Nothing of this is signed by name; the values are checked as any.
    """
    document = json.loads(bundle)
    for entry in document["verificationMaterial"].get("tlogEntries") or ():
        entry.setdefault("logIndex", "0")
        if proof := entry.get("inclusionProof"):
            proof.setdefault("logIndex", "0")
            proof.setdefault("hashes", [])
    return json.dumps(document).encode()


class SigstoreSigner:
    """ports.KeylessSigner over the sigstore library."""

    def __init__(self, token: str, trust_config: bytes | None = None) -> None:
        """Ask for a certificate for the identity in ``token``.

        Args:
            token: an OIDC identity token for the audience ``sigstore``.
            trust_config: services and trust root (sigstore's ClientTrustConfig, JSON); None means
                sigstore's public ones, which are looked up on the network.

        Raises:
            SpecError: the token or the configuration is none.
            UndecidedError: a service cannot be reached or refuses, or the library is missing.
        """
        try:
            from sigstore.oidc import IdentityError, IdentityToken
            from sigstore.sign import Signer, SigningContext
        except ImportError as e:
            raise _missing() from e
        try:
            identity = IdentityToken(token)
        except IdentityError as e:
            raise SpecError(
                "the identity token cannot be used",
                why=_line(e),
                mend=f"set {TOKEN} to a fresh token for the audience `sigstore`",
            ) from e
        config = _config(trust_config)
        with _told("get a certificate"):
            context = SigningContext.from_trust_config(config)
            self._signer = Signer(identity, context)
        self.name = f"{identity.identity} (by {identity.federated_issuer})"

    def bundle(self, payload_type: str, payload: bytes) -> bytes:
        """A bundle with certificate, log entry and timestamp."""
        from sigstore.dsse import Statement

        if payload_type != intoto.PAYLOAD_TYPE:
            raise SpecError(
                "cannot sign that payload without a key",
                why=f"wanted {intoto.PAYLOAD_TYPE}, got {payload_type[:100]}",
                mend="sign a statement",
            )
        with _told("sign"):
            made = self._signer.sign_dsse(Statement(payload)).to_json().encode()
        ours = parse_bundle(made).content
        if not isinstance(ours, Envelope) or ours.signed != dsse.pae(payload_type, payload):
            raise UntrustedError(
                "the signing service signed something else",
                why="the bundle's payload is not the statement that was given",
                mend="check the services in the trust configuration",
            )
        return made


def identity_token(environ: Mapping[str, str] = os.environ, path: Path | None = None) -> str:
    """The identity at hand: a file, ``SIGSTORE_ID_TOKEN``, or the CI system's own service.

    Raises:
        UndecidedError: there is none.
    """
    if path is not None:
        from staunch.adapters.signers.files import read_limited

        data = read_limited(path, max_bytes=1 << 16, what="identity token")
        return data.decode("ascii", "replace").strip()
    if environ.get(TOKEN):
        return environ[TOKEN].strip()
    try:
        from sigstore.oidc import IdentityError, detect_credential
    except ImportError as e:
        raise _missing() from e
    try:
        found = detect_credential()
    except IdentityError as e:
        raise _nobody(_line(e)) from e
    if found is None:
        raise _nobody("no CI system offers one here")
    return found


def _nobody(why: str) -> UndecidedError:
    return UndecidedError(
        "there is no identity to sign with",
        why=why,
        mend=f"set {TOKEN} to an OIDC token for the audience `sigstore`, or sign with `--key`",
    )


def _config(data: bytes | None) -> ClientTrustConfig:
    from sigstore.errors import Error
    from sigstore.models import ClientTrustConfig

    if data is None:
        with _told("look up sigstore's public services"):
            return ClientTrustConfig.production()
    try:
        return ClientTrustConfig.from_json(data.decode())
    except (Error, ValueError, TypeError, AttributeError) as e:
        raise SpecError(
            "the trust configuration cannot be used",
            why=_line(e),
            mend="give sigstore's ClientTrustConfig as JSON",
        ) from e


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say in our words what a service or the library refused."""
    from requests import RequestException
    from sigstore._internal.fulcio.client import ExpiredCertificate, FulcioClientError
    from sigstore._internal.rekor import RekorClientError
    from sigstore.errors import Error
    from sigstore.oidc import ExpiredIdentity, IssuerError

    try:
        yield
    except (
        Error,
        RequestException,
        FulcioClientError,
        RekorClientError,
        ExpiredCertificate,
        ExpiredIdentity,
        IssuerError,
        ValueError,
        LookupError,
    ) as error:
        cause = error.__cause__ if not str(error) and error.__cause__ else error
        raise UndecidedError(
            f"cannot {what} without a key",
            why=_line(cause),
            mend="check the services and the identity, then try again",
        ) from error


def _named(certificate: Certificate) -> SignedBy:
    """The one name that the certificate is for, and who vouched for it."""
    from cryptography import x509

    names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    if len(names) != 1:
        raise ValueError(f"wanted one subject, got {len(names)}")
    match names[0]:
        case x509.UniformResourceIdentifier(value=value) | x509.RFC822Name(value=value):
            subject = str(value)
        case x509.OtherName(type_id=kind, value=value) if kind.dotted_string == _USERNAME:
            subject = _utf8(value)
        case other:
            raise ValueError(f"wanted a URI or an address, got {type(other).__name__}")
    known = {
        each.oid.dotted_string: each.value.value
        for each in certificate.extensions
        if isinstance(each.value, x509.UnrecognizedExtension)
    }
    if _ISSUER_V2 in known:
        return SignedBy(subject, _utf8(known[_ISSUER_V2]))
    if _ISSUER_V1 in known:
        return SignedBy(subject, known[_ISSUER_V1].decode())
    raise ValueError("the certificate does not say who vouched for its subject")


def _utf8(der: bytes) -> str:
    """A DER UTF8String of up to 65,535 bytes."""
    if len(der) < 2 or der[0] != _UTF8:
        raise ValueError("wanted a UTF8String")
    length, start = der[1], 2
    if length in (0x81, 0x82):
        count = length - 0x80
        length, start = int.from_bytes(der[2 : 2 + count]), 2 + count
    if length != len(der) - start:
        raise ValueError("a UTF8String has another length than it says")
    return der[start:].decode()


def _line(error: BaseException) -> str:
    text = (str(error).splitlines() or [""])[0].rstrip(".")[:300]
    return text or type(error).__name__

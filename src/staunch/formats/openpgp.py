"""OpenPGP verification (RFC 9580), with pysequoia kept in this one place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pysequoia

from staunch.errors import SpecError, UntrustedError
from staunch.model import limits

_ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----.*?-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
_CLEARTEXT = b"-----BEGIN PGP SIGNED MESSAGE-----"
_END_OF_SIGNATURE = b"-----END PGP SIGNATURE-----"
_MAX_SIGNATURES = 64


@dataclass(frozen=True, slots=True)
class Signed:
    """Text that a pinned certificate signed: use ``text`` and nothing else of the input.

    ``signers`` are those pinned certificates with a valid signature, upper-case hex, sorted.
    """

    text: bytes
    signers: tuple[str, ...]


def fingerprints(keyring: bytes, *, what: str = "key file") -> tuple[str, ...]:
    """Certificate fingerprints in a binary or armored keyring, upper-case hex, sorted.

    Raises:
        SpecError: it holds no OpenPGP certificate.
    """
    return tuple(sorted({cert.fingerprint.upper() for cert in _certificates(keyring, what)}))


def verify_cleartext(
    data: bytes, *, keyring: bytes, pins: frozenset[str], what: str = "InRelease"
) -> Signed:
    """Check a cleartext-signed message (RFC 9580, section 7).

    Args:
        data: the message, armor included; text outside of the armor is refused.
        keyring: certificates, binary or armored.
        pins: fingerprints of the certificates that may sign, upper-case hex.
        what: names the message in errors.

    Raises:
        UntrustedError: no valid signature by a pinned certificate.
    """
    if not data.startswith(_CLEARTEXT):
        head = data[:40].decode("ascii", "backslashreplace")
        raise UntrustedError(
            f"{what} is not signed",
            why=f"it must start with {_CLEARTEXT.decode()!r}, it starts with {head!r}",
            mend="the mirror may answer with an error page: try another one",
        )
    end = data.rstrip()
    if not end.endswith(_END_OF_SIGNATURE):
        tail = end[-40:].decode("ascii", "backslashreplace")
        raise UntrustedError(
            f"{what} is cut short or has text after its signature",
            why=f"it must end with '-----END PGP SIGNATURE-----', it ends with {tail!r}",
            mend="try again or try another mirror",
        )
    if data.count(_END_OF_SIGNATURE) != 1:
        raise UntrustedError(
            f"{what} holds several messages",
            why=f"wanted one {_END_OF_SIGNATURE.decode()!r}, got {data.count(_END_OF_SIGNATURE)}: "
            "other readers might take another one of them",
            mend="try again or try another mirror",
        )
    return _verify(data, None, keyring, pins, what)


def verify_detached(
    data: bytes, signature: bytes, *, keyring: bytes, pins: frozenset[str], what: str = "Release"
) -> Signed:
    """Check ``data`` against a detached signature, binary or armored (one or several packets).

    Raises:
        UntrustedError: no valid signature by a pinned certificate.
    """
    try:
        packets = list(pysequoia.packet.PacketPile.from_bytes(signature))[:_MAX_SIGNATURES]
        signatures = [pysequoia.Sig.from_bytes(bytes(packet)) for packet in packets]
    except (RuntimeError, TypeError, ValueError) as error:
        raise UntrustedError(
            f"the signature of {what} cannot be read",
            why=f"it is no OpenPGP signature: {_first_line(error)}",
            mend="the mirror may answer with an error page: try another one",
        ) from error
    failure: UntrustedError | None = None
    signers: set[str] = set()
    for each in signatures:
        try:
            signers.update(_verify(data, each, keyring, pins, what).signers)
        except UntrustedError as error:
            failure = failure or error
    if not signers:
        raise failure or _unsigned(what, pins, (), "it holds no signature")
    return Signed(data, tuple(sorted(signers)))


def _verify(
    data: bytes, signature: pysequoia.Sig | None, keyring: bytes, pins: frozenset[str], what: str
) -> Signed:
    wanted = frozenset(pin.upper() for pin in pins)
    certificates = [
        cert
        for cert in _certificates(keyring, f"keyring of {what}")
        if cert.fingerprint.upper() in wanted
    ]
    issuers: list[str] = []
    ask = _lookup(certificates, issuers)
    try:
        if signature is None:
            result = pysequoia.verify(bytes=data, store=ask)
        else:
            result = pysequoia.verify(bytes=data, store=ask, signature=signature)
    except (RuntimeError, TypeError, ValueError) as error:
        named, cause = _named(issuers, certificates, _first_line(error))
        raise _unsigned(what, wanted, named, cause) from error
    text = data if signature is not None else result.bytes
    signers = {each.certificate.upper() for each in result.valid_sigs} & wanted
    if text is None or not signers:
        named, cause = _named(issuers, certificates, "no signature is by a pinned certificate")
        raise _unsigned(what, wanted, named, cause)
    return Signed(bytes(text), tuple(sorted(signers)))


def _named(
    issuers: list[str], certificates: list[pysequoia.Cert], cause: str
) -> tuple[tuple[str, ...], str]:
    """Issuers for messages, subkeys of pinned certificates told as such, and the likely cause."""
    owners: dict[str, str] = {}
    for cert in certificates:
        for packet in pysequoia.packet.PacketPile.from_bytes(bytes(cert)):
            for handle in (packet.fingerprint, packet.key_id):
                if handle is not None:
                    owners.setdefault(handle.upper(), cert.fingerprint.upper())
    named = tuple(
        f"{each} (a key of {owners[each]})" if owners.get(each, each) != each else each
        for each in issuers
    )
    if any(each in owners for each in issuers):
        cause = f"the text was changed after signing, or that key no longer counts ({cause})"
    return named, cause


def _lookup(
    certificates: list[pysequoia.Cert], issuers: list[str]
) -> Callable[[list[str]], list[pysequoia.Cert]]:
    def ask(ids: list[str]) -> list[pysequoia.Cert]:
        issuers.extend(each.upper() for each in ids)
        return certificates

    return ask


def _certificates(keyring: bytes, what: str) -> list[pysequoia.Cert]:
    blocks = _ARMOR.findall(keyring) or [keyring]
    try:
        if len(keyring) > limits.METADATA_BYTES:
            raise ValueError(f"{len(keyring)} bytes are more than {limits.METADATA_BYTES}")
        found = [cert for block in blocks for cert in pysequoia.Cert.split_bytes(block)]
        if not found:
            raise ValueError("it is empty")
    except (RuntimeError, TypeError, ValueError) as error:
        raise SpecError(
            f"{what} holds no OpenPGP certificate",
            why=_first_line(error),
            mend="give the archive's public key, as `gpg --export` or `gpg --export --armor` writes it",
        ) from error
    return found


def _unsigned(
    what: str, wanted: frozenset[str], found: tuple[str, ...], cause: str
) -> UntrustedError:
    return UntrustedError(
        f"{what} has no valid signature by a pinned key",
        why=f"wanted one of {', '.join(sorted(wanted)) or 'no key at all'}; "
        f"found signatures by {', '.join(sorted(set(found))) or 'nobody'}: {cause}",
        mend="try another mirror; if the archive changed its key, update Staunch "
        "(or `signed-by:` of your repository)",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]

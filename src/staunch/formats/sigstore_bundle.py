"""Sigstore bundles v0.3 (github.com/sigstore/protobuf-specs, sigstore_bundle.proto), as JSON.

Read here: who is said to have signed what. Log entries, timestamps and certificates of keyless
signatures are for the sigstore library, which gets the document as it came (``Bundle.raw``).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from staunch.formats import dsse, strict_json
from staunch.formats.dsse import Envelope
from staunch.formats.strict_json import Node
from staunch.model import limits
from staunch.model.digest import Digest

__all__ = ["MEDIA_TYPE", "Bundle", "KeyHint", "MessageSignature", "format_bundle", "parse_bundle"]

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_BYTES: Final = dsse.ENVELOPE_BYTES + 4 * limits.MIB
_CERTIFICATES = 16
_MEND = "fetch it again; if it persists, have the image signed again"


@dataclass(frozen=True, slots=True)
class KeyHint:
    """The signer's key is known to the verifier, by this hint (not authenticated)."""

    hint: str


@dataclass(frozen=True, slots=True)
class Certificates:
    """The signer's certificate first (DER), then any that lead to the root. None is verified."""

    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over a message that is not in the bundle, and the message's digest."""

    digest: Digest
    signature: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle; ``logged`` and ``timestamped`` count the proofs that it carries, unverified."""

    signer: KeyHint | Certificates
    content: Envelope | MessageSignature
    logged: int = 0
    timestamped: int = 0
    raw: bytes = b""


def format_bundle(envelope: Envelope, hint: str) -> bytes:
    """A bundle of an envelope that was signed with a key."""
    return strict_json.canonical(
        {
            "dsseEnvelope": dsse.format_envelope(envelope),
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": hint}},
        }
    )


def format_message_bundle(signed: MessageSignature, hint: str) -> bytes:
    """A bundle of a signature over a message with a key."""
    return strict_json.canonical(
        {
            "mediaType": MEDIA_TYPE,
            "messageSignature": {
                "messageDigest": {
                    "algorithm": "SHA2_256",
                    "digest": base64.b64encode(bytes.fromhex(signed.digest.hex)).decode(),
                },
                "signature": base64.b64encode(signed.signature).decode(),
            },
            "verificationMaterial": {"publicKey": {"hint": hint}},
        }
    )


def parse_bundle(data: bytes, *, what: str = "the sigstore bundle") -> Bundle:
    """A bundle v0.3; both or none of its alternatives are refused, as protobuf's ``oneof`` asks.

    Raises:
        UntrustedError: not one, a name stands twice in it, or it breaks a limit.
    """
    top = strict_json.read(data, what=what, mend=_MEND, max_bytes=BUNDLE_BYTES)
    top.only("mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope")
    top["mediaType"].constant(MEDIA_TYPE)
    material = top["verificationMaterial"]
    if not material.present:
        material.fail("it is missing")
    stamps = material["timestampVerificationData"]["rfc3161Timestamps"]
    envelope, message = top["dsseEnvelope"], top["messageSignature"]
    if envelope.present == message.present:
        top.fail("wanted one of `dsseEnvelope` and `messageSignature`")
    content = dsse.read_envelope(envelope) if envelope.present else _message(message)
    if isinstance(content, Envelope) and len(content.signatures) != 1:
        envelope["signatures"].fail(f"wanted one signature, got {len(content.signatures)}")
    return Bundle(
        _signer(material),
        content,
        len(material["tlogEntries"].items(Node.object, most=32)),
        len(stamps.items(Node.object, most=32)),
        data,
    )


def _signer(material: Node) -> KeyHint | Certificates:
    material.only(
        "publicKey",
        "certificate",
        "x509CertificateChain",
        "tlogEntries",
        "timestampVerificationData",
    )
    named = [
        each
        for each in ("publicKey", "certificate", "x509CertificateChain")
        if material[each].present
    ]
    if len(named) != 1:
        material.fail(f"wanted one way to name the signer, got {len(named)}")
    if named == ["publicKey"]:
        return KeyHint(material["publicKey"]["hint"].text(default=""))
    if named == ["certificate"]:
        return Certificates((material["certificate"]["rawBytes"].base64(),))
    chain = material["x509CertificateChain"]["certificates"]
    return Certificates(chain.items(_certificate, least=1, most=_CERTIFICATES))


def _certificate(node: Node) -> bytes:
    return node["rawBytes"].base64()


def _message(node: Node) -> MessageSignature:
    node["messageDigest"]["algorithm"].constant("SHA2_256")
    digest = node["messageDigest"]["digest"]
    value = digest.base64()
    if len(value) != 32:
        digest.fail(f"wanted 32 bytes, got {len(value)}")
    return MessageSignature(Digest(value.hex()), node["signature"].base64())

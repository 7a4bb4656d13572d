"""DSSE envelopes (github.com/secure-systems-lab/dsse, "envelope.md" and "protocol.md", v1.0.2)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from staunch.formats import strict_json
from staunch.formats.strict_json import Node
from staunch.model import limits

__all__ = ["ENVELOPE_BYTES", "MEDIA_TYPE", "Envelope", "Signature", "format_envelope", "pae"]

MEDIA_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
ENVELOPE_BYTES: Final = 128 * limits.MIB  # an SBOM of a large image, in base64
_SIGNATURES = 16
_MEND = "fetch it again; if it persists, have the image signed again"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature over the envelope's PAE; ``keyid`` is an unauthenticated hint, often ""."""

    signature: bytes
    keyid: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its type and at least one signature; nothing here has been verified."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> bytes:
        """The bytes that each signature is over."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """The Pre-Authentication Encoding: the type is signed with the payload (protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def format_envelope(envelope: Envelope) -> dict[str, object]:
    """The envelope as a JSON object, to be embedded or written by ``strict_json.canonical``."""
    return {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [
            {
                **({"keyid": each.keyid} if each.keyid else {}),
                "sig": base64.b64encode(each.signature).decode(),
            }
            for each in envelope.signatures
        ],
    }


def parse_envelope(data: bytes, *, what: str = "the envelope") -> Envelope:
    """An envelope as JSON.

    Raises:
        UntrustedError: not one, a name stands twice in it, or it breaks a limit.
    """
    return read_envelope(strict_json.read(data, what=what, mend=_MEND, max_bytes=ENVELOPE_BYTES))


def read_envelope(node: Node) -> Envelope:
    """An envelope inside a document. Unknown fields are allowed: they are not signed, nor used."""
    return Envelope(
        node["payloadType"].text(),
        node["payload"].base64(url_safe=True),
        node["signatures"].items(_signature, least=1, most=_SIGNATURES),
    )


def _signature(node: Node) -> Signature:
    return Signature(node["sig"].base64(url_safe=True), node["keyid"].text(default=""))

"""The payload of cosign's older signatures: containers/image "simple signing", JSON.

cosign keeps each as a layer of the image tagged ``sha256-<hex>.sig``; the signature stands in an
annotation of that layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from staunch.formats import strict_json
from staunch.model import limits
from staunch.model.digest import Digest

__all__ = ["MEDIA_TYPE", "SIGNATURE", "Payload", "format_payload", "parse_payload"]

MEDIA_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE: Final = "dev.cosignproject.cosign/signature"
CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
CHAIN: Final = "dev.sigstore.cosign/chain"
LOG_BUNDLE: Final = "dev.sigstore.cosign/bundle"
PAYLOAD_BYTES: Final = 1 * limits.MIB
_TYPE = "cosign container image signature"
_MEND = "fetch it again; if it persists, have the image signed again"


@dataclass(frozen=True, slots=True)
class Payload:
    """What was signed: this manifest, under this name; ``optional`` are the signer's own words."""

    digest: Digest
    reference: str
    optional: tuple[tuple[str, str], ...] = ()


def format_payload(payload: Payload) -> bytes:
    """The payload as cosign orders it."""
    return strict_json.canonical(
        {
            "critical": {
                "identity": {"docker-reference": payload.reference},
                "image": {"docker-manifest-digest": str(payload.digest)},
                "type": _TYPE,
            },
            "optional": dict(payload.optional) or None,
        }
    )


def parse_payload(data: bytes, *, what: str = "the signature's payload") -> Payload:
    """A payload; a field of ``critical`` that is not known is refused, as its definition asks.

    Raises:
        UntrustedError: not one, a name stands twice in it, or it breaks a limit.
    """
    top = strict_json.read(data, what=what, mend=_MEND, max_bytes=PAYLOAD_BYTES)
    critical = top["critical"]
    critical.only("identity", "image", "type")
    critical["identity"].only("docker-reference")
    critical["image"].only("docker-manifest-digest")
    critical["type"].constant(_TYPE)
    optional = tuple(
        (name, node.text()) for name, node in top["optional"].members() if _is_text(node)
    )
    return Payload(
        critical["image"]["docker-manifest-digest"].digest(),
        critical["identity"]["docker-reference"].text(),
        optional,
    )


def _is_text(node: strict_json.Node) -> bool:
    return node.canonical().startswith(b'"')


def parse_signature(text: str) -> bytes:
    """The signature in a layer's annotation, base64.

    Raises:
        UntrustedError: it is none.
    """
    node = strict_json.Node(text, SIGNATURE, "the signature", _MEND)
    signature = node.base64()
    if not signature:
        node.fail("it is missing")
    return signature

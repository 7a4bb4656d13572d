"""Public keys and what verifies with them: ECDSA P-256 and P-384, Ed25519, RSA.

As cosign and sigstore use them: ECDSA over SHA-256 (P-256) or SHA-384 (P-384), DER signatures;
Ed25519 over the message; RSA (2048 bits or more) PKCS #1 v1.5 over SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from staunch.errors import SpecError
from staunch.model import limits

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

__all__ = ["PublicKey"]

_KEY_BYTES = 64 * limits.KIB
_MEND = "give an ECDSA P-256 key as `staunch key generate` or `cosign generate-key-pair` writes it"


@dataclass(frozen=True, slots=True, order=True)
class PublicKey:
    """A key that signatures are verified with; ``der`` is its SubjectPublicKeyInfo (RFC 5280)."""

    der: bytes

    @classmethod
    def parse(cls, data: bytes, *, name: str) -> Self:
        """Read PEM (or DER).

        Raises:
            SpecError: it is no public key, or of a kind that is not supported; ``name`` says which.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        try:
            if len(data) > _KEY_BYTES:
                raise ValueError(f"it has {len(data):,} bytes; the limit is {_KEY_BYTES:,}")
            if data.lstrip().startswith(b"-----"):
                if b"PRIVATE KEY" in data:
                    raise ValueError("it is a private key; the public one is wanted")
                key = serialization.load_pem_public_key(data)
            else:
                key = serialization.load_der_public_key(data)
            _check(key)
        except (ValueError, TypeError, UnsupportedAlgorithm) as e:
            raise SpecError(f"{name} is no usable public key", why=_line(e), mend=_MEND) from e
        return cls(
            key.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    @property
    def hint(self) -> str:
        """Base64 of the SHA-256 of ``der``: what sigstore bundles name a key by."""
        return base64.b64encode(hashlib.sha256(self.der).digest()).decode()

    def __str__(self) -> str:
        return f"SHA256:{self.hint.rstrip('=')}"

    @property
    def pem(self) -> bytes:
        """As a PEM file holds it."""
        text = base64.b64encode(self.der).decode()
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        return "\n".join(
            ["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]
        ).encode()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` over ``message`` is by this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

        key = serialization.load_der_public_key(self.der)
        try:
            match key:
                case ec.EllipticCurvePublicKey():
                    wide = isinstance(key.curve, ec.SECP384R1)
                    key.verify(
                        signature, message, ec.ECDSA(hashes.SHA384() if wide else hashes.SHA256())
                    )
                case ed25519.Ed25519PublicKey():
                    key.verify(signature, message)
                case rsa.RSAPublicKey():
                    key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
                case _:
                    return False
        except InvalidSignature:
            return False
        return True


def _check(key: PublicKeyTypes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match key:
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            return
        case ec.EllipticCurvePublicKey():
            raise ValueError(f"curve {key.curve.name}; wanted P-256 or P-384")
        case ed25519.Ed25519PublicKey():
            return
        case rsa.RSAPublicKey() if key.key_size >= 2048:
            return
        case rsa.RSAPublicKey():
            raise ValueError(f"RSA with {key.key_size} bits; wanted 2048 or more")
        case _:
            raise ValueError("wanted ECDSA P-256 or P-384, Ed25519 or RSA")


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]

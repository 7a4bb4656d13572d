"""Private keys in files: PEM (PKCS #8, SEC 1) and the encrypted files of cosign and sigstore."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from staunch.errors import HostError, SpecError
from staunch.formats.cosign_key import NONCE_BYTES, SALT_BYTES, is_encrypted_key, open_key, seal_key
from staunch.formats.public_key import PublicKey
from staunch.model import limits

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = ["FileSigner", "generate_key", "load_key", "new_key", "read_limited"]

_KEY_BYTES = 64 * limits.KIB


@dataclass(frozen=True, slots=True, repr=False)
class FileSigner:
    """ports.Signer over a key held in memory."""

    name: str
    public_key: bytes
    _key: PrivateKeyTypes

    def sign(self, message: bytes) -> bytes:
        """ECDSA is made deterministic (RFC 6979): to sign again gives the same bytes."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

        signature: bytes
        match self._key:
            case ec.EllipticCurvePrivateKey():
                wide = isinstance(self._key.curve, ec.SECP384R1)
                algorithm = hashes.SHA384() if wide else hashes.SHA256()
                signature = self._key.sign(message, ec.ECDSA(algorithm, deterministic_signing=True))
            case ed25519.Ed25519PrivateKey():
                signature = self._key.sign(message)
            case rsa.RSAPrivateKey():
                signature = self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
            case _:
                _refuse(self.name, "wanted ECDSA P-256 or P-384, Ed25519 or RSA")
        return signature


def load_key(path: Path, passphrase: Callable[[], bytes]) -> FileSigner:
    """The key in a file; ``passphrase`` is asked for only if the file is encrypted.

    Raises:
        SpecError: no such file, no key in it, a wrong passphrase, or a kind that is not supported.
        HostError: it cannot be read.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    name = str(path)
    data = read_limited(path, max_bytes=_KEY_BYTES, what="key")
    key: PrivateKeyTypes
    try:
        if is_encrypted_key(data):
            der = open_key(data, passphrase(), name=name)
            key = serialization.load_der_private_key(der, None)
        elif b"ENCRYPTED" in data:
            key = serialization.load_pem_private_key(data, passphrase())
        else:
            key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        _refuse(name, (str(e).splitlines() or ["it cannot be read"])[0][:200])
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return FileSigner(name, PublicKey.parse(public, name=name).der, key)


def new_key() -> bytes:
    """A new ECDSA P-256 key, PKCS #8 DER."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def generate_key(prefix: Path, passphrase: bytes) -> tuple[Path, Path, PublicKey]:
    """Write a new key to ``prefix.key``, sealed as cosign does, and its public half to ``prefix.pub``.

    Raises:
        SpecError: one of the files is there already; a key is never overwritten.
        HostError: they cannot be written.
    """
    from cryptography.hazmat.primitives import serialization

    der = new_key()
    sealed = seal_key(
        der,
        passphrase,
        salt=secrets.token_bytes(SALT_BYTES),
        nonce=secrets.token_bytes(NONCE_BYTES),
    )
    public = (
        serialization.load_der_private_key(der, None)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    key = PublicKey.parse(public, name="the new key")
    private_path, public_path = (prefix.with_name(prefix.name + end) for end in (".key", ".pub"))
    for path in (private_path, public_path):
        if os.path.lexists(path):
            raise SpecError(
                f"will not overwrite {path}",
                why="it is there already, and a key that is gone cannot be made again",
                mend="choose another name with `-o`, or move it away",
            )
    _write(private_path, sealed, 0o600)
    _write(public_path, key.pem, 0o644)
    return private_path, public_path, key


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as e:
        raise HostError(
            f"cannot write {path}", why=e.strerror or str(e), mend="check the folder"
        ) from e


def read_limited(path: Path, *, max_bytes: int, what: str) -> bytes:
    """A user's file, whole.

    Raises:
        SpecError: it is not there, no regular file, or too large.
        HostError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as e:
        raise SpecError(
            f"there is no {what} at {path}",
            why=e.strerror or str(e),
            mend=f"name the file of the {what}",
        ) from e
    except (OSError, ValueError) as e:
        raise HostError(
            f"cannot read {path}", why=str(e), mend="check its name and permissions"
        ) from e
    if len(data) > max_bytes:
        raise SpecError(
            f"{path} is too large for a {what}",
            why=f"the limit is {max_bytes:,} bytes",
            mend=f"name the file of the {what}",
        )
    return data


def _refuse(name: str, why: str) -> NoReturn:
    raise SpecError(
        f"cannot use the key {name}",
        why=why,
        mend="give an ECDSA P-256 key as PEM, or as `staunch key generate` writes it",
    )

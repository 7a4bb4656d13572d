"""Encrypted private keys as cosign and sigstore write them.

A PEM block whose body is JSON: the key (PKCS #8, DER) sealed by NaCl's secretbox under a key that
scrypt (RFC 7914) derives from the passphrase. Older files say ``ENCRYPTED COSIGN PRIVATE KEY``,
newer ones ``ENCRYPTED SIGSTORE PRIVATE KEY``; nothing else differs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from staunch.errors import SpecError, UntrustedError
from staunch.formats import strict_json
from staunch.model import limits

__all__ = ["is_encrypted_key", "open_key", "seal_key"]

SALT_BYTES: Final = 32
NONCE_BYTES: Final = 24
_N, _R, _P = 1 << 16, 8, 1  # what cosign writes
_LEAST_N = 1 << 14  # below, guessing is cheap
_MOST_MEMORY = 256 * limits.MIB  # 128·N·r: a file must not decide how much memory we take
_MOST_P = 4
_FILE_BYTES = 64 * limits.KIB
_PEM = re.compile(
    rb"\s*-----BEGIN ENCRYPTED (COSIGN|SIGSTORE) PRIVATE KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)"
    rb"-----END ENCRYPTED \1 PRIVATE KEY-----\s*"
)
_MEND = "take the file as `cosign generate-key-pair` or `staunch key generate` wrote it"


@dataclass(frozen=True, slots=True)
class _Sealed:
    n: int
    r: int
    p: int
    salt: bytes
    nonce: bytes
    ciphertext: bytes


def is_encrypted_key(data: bytes) -> bool:
    """Whether it looks like such a file."""
    return b"-----BEGIN ENCRYPTED COSIGN" in data or b"-----BEGIN ENCRYPTED SIGSTORE" in data


def open_key(data: bytes, passphrase: bytes, *, name: str = "the key file") -> bytes:
    """The PKCS #8 key (DER) that ``data`` holds.

    Raises:
        SpecError: it is no such file, its parameters are out of bounds, or the passphrase is wrong.
    """
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    sealed = _parse(data, name)
    key = _derive(passphrase, sealed.salt, sealed.n, sealed.r, sealed.p)
    try:
        return SecretBox(key).decrypt(sealed.ciphertext, sealed.nonce)
    except CryptoError as e:
        raise SpecError(
            f"cannot open {name}",
            why="the passphrase is wrong, or the file was changed",
            mend="set COSIGN_PASSWORD to the passphrase that the key was made with",
        ) from e


def seal_key(
    key: bytes, passphrase: bytes, *, salt: bytes, nonce: bytes, label: str = "SIGSTORE"
) -> bytes:
    """``key`` (PKCS #8, DER) as a file.

    Args:
        key: what to keep.
        passphrase: may be empty, as cosign allows.
        salt: 32 random bytes.
        nonce: 24 random bytes.
        label: SIGSTORE, or COSIGN for readers older than cosign 2.
    """
    from nacl.secret import SecretBox

    derived = _derive(passphrase, salt, _N, _R, _P)
    sealed = SecretBox(derived).encrypt(key, nonce).ciphertext
    document = strict_json.canonical(
        {
            "kdf": {
                "name": "scrypt",
                "params": {"N": _N, "r": _R, "p": _P},
                "salt": base64.b64encode(salt).decode(),
            },
            "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
            "ciphertext": base64.b64encode(sealed).decode(),
        }
    )
    body = base64.b64encode(document)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    begin, end = (
        f"-----{word} ENCRYPTED {label} PRIVATE KEY-----".encode() for word in ("BEGIN", "END")
    )
    return b"\n".join([begin, *lines, end, b""])


def _parse(data: bytes, name: str) -> _Sealed:
    if len(data) > _FILE_BYTES:
        _refuse(name, f"it has {len(data):,} bytes; the limit is {_FILE_BYTES:,}")
    found = _PEM.fullmatch(data)
    if found is None:
        _refuse(name, "wanted one PEM block `ENCRYPTED SIGSTORE PRIVATE KEY`, and nothing else")
    try:
        body = base64.b64decode(re.sub(rb"[\r\n]", b"", found[2]), validate=True)
        top = strict_json.read(body, what=name, mend=_MEND, max_bytes=_FILE_BYTES)
        kdf, cipher = top["kdf"], top["cipher"]
        kdf["name"].constant("scrypt")
        cipher["name"].constant("nacl/secretbox")
        params = kdf["params"]
        sealed = _Sealed(
            params["N"].number(least=1),
            params["r"].number(least=1),
            params["p"].number(least=1, most=_MOST_P),
            kdf["salt"].base64(),
            cipher["nonce"].base64(),
            top["ciphertext"].base64(),
        )
    except binascii.Error as e:
        _refuse(name, f"its body is no base64: {e}")
    except UntrustedError as e:  # it is the user's own file: the request is wrong
        raise SpecError(e.what, why=e.why, mend=e.mend) from e
    if sealed.n & (sealed.n - 1) or sealed.n < _LEAST_N:
        _refuse(name, f"kdf.params.N: wanted a power of two from {_LEAST_N}, got {sealed.n}")
    if 128 * sealed.n * sealed.r > _MOST_MEMORY:
        _refuse(name, f"kdf.params: N={sealed.n} and r={sealed.r} take more than 256 MiB")
    if len(sealed.salt) < 16:
        _refuse(name, f"kdf.salt: wanted 16 bytes or more, got {len(sealed.salt)}")
    if len(sealed.nonce) != NONCE_BYTES:
        _refuse(name, f"cipher.nonce: wanted {NONCE_BYTES} bytes, got {len(sealed.nonce)}")
    return sealed


def _derive(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    memory = 128 * r * (n + p + 2) + limits.MIB
    return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=32)


def _refuse(name: str, why: str) -> NoReturn:
    raise SpecError(f"cannot use {name}", why=why, mend=_MEND)

"""Java trust stores (JKS, version 2, as the JDK's ``sun.security.provider.JavaKeyStore`` reads it).

A magic number and version, a count, and for each trusted certificate: tag 2, alias, creation time in
milliseconds, type, length and DER bytes; then SHA-1 over password, a fixed phrase and all before.
The digest finds accidents only: the store holds no secret, and its password is everybody's.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

from staunch.errors import SpecError

PASSWORD: Final = "changeit"  # noqa: S105 - the one that every Java program knows
_MAGIC, _VERSION, _TRUSTED = 0xFEEDFEED, 2, 2
_PHRASE = b"Mighty Aphrodite"


def write_trust_store(certificates: Iterable[tuple[str, bytes]], *, moment_s: int) -> bytes:
    """A store of trusted certificates.

    Args:
        certificates: alias and DER bytes of each; lower-cased aliases must differ, as the JDK's do.
        moment_s: creation time of every entry, seconds since 1970.

    Raises:
        SpecError: an alias stands twice, or is too long.
    """
    body = bytearray()
    seen = set[str]()
    for alias, der in certificates:
        name = alias.lower()
        if name in seen or len(name.encode()) > 0xFFFF:
            raise SpecError(
                f"the Java trust store cannot hold {alias[:100]!r}",
                why="another certificate has that name, or it is over 65,535 bytes long",
                mend="rename the certificate's file",
            )
        seen.add(name)
        body += struct.pack(">I", _TRUSTED) + _text(name) + struct.pack(">Q", moment_s * 1000)
        body += _text("X.509") + struct.pack(">I", len(der)) + der
    data = struct.pack(">III", _MAGIC, _VERSION, len(seen)) + bytes(body)
    seal = hashlib.sha1(PASSWORD.encode("utf-16-be") + _PHRASE + data, usedforsecurity=False)
    return data + seal.digest()


def _text(text: str) -> bytes:
    """Java's ``writeUTF``, for text without NUL or characters beyond the basic plane."""
    data = text.encode("ascii", "backslashreplace")
    return struct.pack(">H", len(data)) + data

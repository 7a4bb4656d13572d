"""The gzip encoder: one block, one call, one member (RFC 1952), by an exactly pinned zlib-ng.

Level 6: on a torch tree levels 2 to 6 take 8.3 to 10.5 s and give 219 to 199 MB (two cores).
zlib-ng's bytes depend on how input is fed, so a block is always one call.
"""

from __future__ import annotations

from zlib_ng import zlib_ng

from staunch.errors import HostError, UntrustedError

__all__ = ["ENCODER_ID", "check_version", "compress", "decompress"]

_VERSION = "2.3.3"
_LEVEL = 6
ENCODER_ID = f"zlibng-{_VERSION}/{_LEVEL}/4MiB/oneshot"
# no name, no time, no extra flags, operating system unknown: nothing of the host
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def check_version(version: str = str(zlib_ng.ZLIBNG_RUNTIME_VERSION)) -> None:
    """Refuse any other zlib-ng than the one that the encoder id promises (HostError)."""
    if version != _VERSION:
        raise HostError(
            "cannot write layers with this zlib-ng library",
            why=f"the encoder {ENCODER_ID} needs zlib-ng {_VERSION}, found {version}",
            mend="install Staunch's own requirements unchanged (`zlib-ng==1.1.0`)",
        )


def compress(block: bytes) -> bytes:
    """One gzip member of ``block``."""
    body = zlib_ng.compress(block, _LEVEL, wbits=-15)
    crc = zlib_ng.crc32(block)
    return b"".join(
        (_HEADER, body, crc.to_bytes(4, "little"), (len(block) & 0xFFFFFFFF).to_bytes(4, "little"))
    )


def decompress(frame: bytes | memoryview, size: int) -> bytes:
    """The ``size`` bytes that one whole member holds.

    Raises:
        UntrustedError: not one member, damaged, or of another unpacked size.
    """
    reader = zlib_ng.decompressobj(wbits=31)
    try:
        data = reader.decompress(frame, size + 1)
    except zlib_ng.error as e:  # type: ignore[misc]  # the stub lacks its base class
        raise _damaged(str(e)) from e
    if len(data) != size or not reader.eof or reader.unused_data:
        raise _damaged(f"wanted one member of {size} bytes, got {len(data)} or more")
    return data


def _damaged(why: str) -> UntrustedError:
    return UntrustedError(
        "a gzip member is damaged",
        why=why[:300],
        mend="run `staunch store verify`; if it persists, check the disk",
    )

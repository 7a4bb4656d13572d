"""The zstd encoder: one block, one call, one frame, by an exactly pinned library (RFC 8878)."""

from __future__ import annotations

from backports import zstd

from staunch.errors import HostError, UntrustedError

__all__ = ["ENCODER_ID", "check_version", "compress", "decompress", "skippable"]

_VERSION = "1.5.7"
_LEVEL = 3
ENCODER_ID = f"zstd-{_VERSION}/{_LEVEL}/4MiB/oneshot"
_SKIPPABLE_MAGIC = b"\x50\x2a\x4d\x18"  # RFC 8878, 3.1.2


def check_version(version: str = zstd.zstd_version) -> None:
    """Refuse any other libzstd than the one that the encoder id promises (HostError)."""
    if version != _VERSION:
        raise HostError(
            "cannot write layers with this zstd library",
            why=f"the encoder {ENCODER_ID} needs libzstd {_VERSION}, found {version}",
            mend="install Staunch's own requirements unchanged (`backports.zstd==1.8.0`)",
        )


def compress(block: bytes) -> bytes:
    """One frame of ``block``, in one call: streaming would give other bytes."""
    return zstd.compress(block, _LEVEL)


def decompress(frame: bytes | memoryview, size: int) -> bytes:
    """The ``size`` bytes that one whole frame holds.

    Raises:
        UntrustedError: not one frame, damaged, or of another unpacked size.
    """
    reader = zstd.ZstdDecompressor()
    try:
        # one byte more than promised tells a bomb without unpacking it
        data = reader.decompress(frame, size + 1)
    except zstd.ZstdError as e:
        raise _damaged(str(e)) from e
    if len(data) != size or not reader.eof or reader.unused_data:
        raise _damaged(f"wanted one frame of {size} bytes, got {len(data)} or more")
    return data


def skippable(data: bytes) -> bytes:
    """A skippable frame: ordinary readers pass over it."""
    return _SKIPPABLE_MAGIC + len(data).to_bytes(4, "little") + data


def _damaged(why: str) -> UntrustedError:
    return UntrustedError(
        "a zstd frame is damaged",
        why=why[:300],
        mend="run `staunch store verify`; if it persists, check the disk",
    )

"""A layer as it is stored, unpacked while it streams."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from staunch.formats.stream import inflate
from staunch.model import limits

__all__ = ["unpacked"]

_FORMATS = {b"\x1f\x8b": "gz", b"\x28\xb5": "zst", b"\x50\x2a": "zst"}


def unpacked(
    stored: Iterator[bytes], *, size: int, what: str, max_bytes: int = limits.UNPACKED_BYTES
) -> Iterator[bytes]:
    """The tar of a layer, in pieces.

    Its diff_id is not compared: every byte is covered by the digest of what is stored, and hashing
    all again, unpacked, costs a sixth of an inventory.

    Args:
        stored: the layer as its digest promises it; checked by whoever gives it.
        size: of what is stored.
        what: how messages call it.
        max_bytes: the most that may come out.

    Raises:
        UntrustedError: damaged, or too large.
    """
    first = next(stored, b"")
    if len(first) == 1:
        first += next(stored, b"")
    return inflate(
        chain([first], stored),
        format=_FORMATS.get(first[:2], "none"),
        max_bytes=max_bytes,
        packed_size=size,
        what=what,
    )

"""A layer as it is stored, unpacked and checked while it streams."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain

from staunch.errors import UntrustedError
from staunch.formats.stream import inflate
from staunch.model import limits
from staunch.model.digest import Digest

__all__ = ["unpacked"]

_RECORD = 10240  # twenty blocks (POSIX.1-2017, pax, "-b")
_FORMATS = {b"\x1f\x8b": "gz", b"\x28\xb5": "zst", b"\x50\x2a": "zst"}


def unpacked(
    stored: Iterator[bytes], *, size: int, diff_id: Digest, max_bytes: int = limits.UNPACKED_BYTES
) -> Iterator[bytes]:
    """The tar of a layer, in pieces; exhaust it to have it checked against its diff_id.

    Args:
        stored: the layer as its digest promises it; checked by whoever gives it.
        size: of what is stored.
        diff_id: digest of the tar (image-spec, config.md, "Layer DiffID").
        max_bytes: the most that may come out.

    Raises:
        UntrustedError: damaged, too large, or not what the diff_id promises.
    """
    first = next(stored, b"")
    if len(first) == 1:
        first += next(stored, b"")
    state, total = hashlib.sha256(), 0
    for piece in inflate(
        chain([first], stored),
        format=_FORMATS.get(first[:2], "none"),
        max_bytes=max_bytes,
        packed_size=size,
        what=f"layer {diff_id}",
    ):
        state.update(piece)
        total += len(piece)
        yield piece
    if state.hexdigest() == diff_id.hex:
        return
    # podman 4 leaves out the zeros that fill up a tar's last record when it writes zstd:chunked
    state.update(bytes(-total % _RECORD))
    if state.hexdigest() != diff_id.hex:
        raise UntrustedError(
            "a layer is not what the image's configuration promises",
            why=f"wanted diff_id {diff_id}, got sha256:{state.hexdigest()}",
            mend="fetch the image again; if it persists, do not use it",
        )

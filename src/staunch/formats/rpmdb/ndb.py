"""rpm's own "new database" (``Packages.db``), as lib/backend/ndb/rpmpkg.c lays it out.

Little-endian. Pages of 4 KiB hold slots of 16 bytes; a slot says at which 16-byte block a package's
blob stands. A blob has a head and a tail with its length and Adler-32.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from staunch.formats.rpmdb.damage import Damage

PAGES = 1 << 14  # of slots

_PAGE, _BLOCK = 4096, 16
_HEADER = struct.Struct("<4s7I")
_SLOT = struct.Struct("<4s3I")
_BLOB = struct.Struct("<4s3I")
_TAIL = struct.Struct("<2I4s")


def read_ndb(data: bytes) -> Iterator[tuple[int, bytes] | Damage]:
    """Number and header of each package."""
    if len(data) < _HEADER.size:
        yield Damage("it is shorter than its head")
        return
    magic, version, _, pages, *_ = _HEADER.unpack_from(data)
    if magic != b"RpmP" or version != 0:
        yield Damage(f"its head says {magic!r}, version {version}")
        return
    if not 0 < pages <= PAGES or pages * _PAGE > len(data):
        yield Damage(f"its head says {pages} pages of slots, it has {len(data)} bytes")
        return
    seen: set[int] = set()
    used: list[tuple[int, int]] = [(0, pages * _PAGE)]
    for at in range(_HEADER.size, pages * _PAGE, _SLOT.size):
        magic, number, block, count = _SLOT.unpack_from(data, at)
        if magic != b"Slot":
            yield Damage(f"no slot stands at byte {at}")
            continue
        if not block and not number:
            continue
        if not block or not number or number in seen:
            yield Damage(f"the slot at byte {at} names package {number} at block {block}")
            continue
        seen.add(number)
        used.append((block * _BLOCK, (block + count) * _BLOCK))
        yield _blob(data, number, block * _BLOCK, count * _BLOCK)

    yield from _without_slot(data, sorted(used))


def _without_slot(data: bytes, used: list[tuple[int, int]]) -> Iterator[Damage]:
    """Blobs between those that slots name: rpm overwrites the ones that it removes."""
    ends = [*used[1:], (len(data), len(data))]
    for (_, start), (end, _) in zip(used, ends, strict=True):
        at = data.find(b"BlbS", start, end)
        while at >= 0:
            if at % _BLOCK == 0:
                yield Damage(f"a package at byte {at} is named by no slot")
            at = data.find(b"BlbS", at + 1, end)


def _blob(data: bytes, number: int, start: int, room: int) -> tuple[int, bytes] | Damage:
    end = start + room
    if room < _BLOB.size + _TAIL.size or end > len(data):
        return Damage(f"package {number} should stand at bytes {start} to {end}")
    magic, told, _, size = _BLOB.unpack_from(data, start)
    if magic != b"BlbS" or told != number or size > room - _BLOB.size - _TAIL.size:
        return Damage(f"package {number}: the head of its blob does not fit its slot")
    checksum, size_again, magic = _TAIL.unpack_from(data, end - _TAIL.size)
    if magic != b"BlbE" or size_again != size:
        return Damage(f"package {number}: the tail of its blob does not fit its head")
    body = data[start + _BLOB.size : start + _BLOB.size + size]
    # the sum runs over head, body and padding (rpmpkg.c, rpmpkgReadBlob)
    got = zlib.adler32(data[start : end - _TAIL.size])
    if got != checksum:
        return Damage(f"package {number}: Adler-32 {checksum:08x} was wanted, it is {got:08x}")
    return number, body

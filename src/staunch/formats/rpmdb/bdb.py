"""Berkeley DB's hash files (``Packages``), as src/dbinc/db_page.h of Berkeley DB 4 and 5 lays them out.

Every hash page is read, whichever bucket it belongs to: packages are wanted, not their order. Values
that do not fit a page stand in a chain of overflow pages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from staunch.formats.rpmdb.damage import Damage

VALUE_BYTES = 256 << 20

_MAGIC = 0x00061561
_META, _PAGE_HEAD = 96, 26
_HASH_META, _HASH_UNSORTED, _HASH, _OVERFLOW = 8, 2, 13, 7
_KEYDATA, _OFFPAGE = 1, 3


class _BadPageError(Exception):
    pass


def read_bdb(data: bytes) -> Iterator[tuple[int, bytes] | Damage]:
    """Number and header of each package."""
    if len(data) < _META:
        yield Damage("it is shorter than a page")
        return
    order = next(
        (each for each in "<>" if struct.unpack_from(each + "I", data, 12)[0] == _MAGIC), None
    )
    if order is None:
        yield Damage("it is neither SQLite nor ndb, nor a hash file of Berkeley DB")
        return
    page_size = struct.unpack_from(order + "I", data, 20)[0]
    if data[25] != _HASH_META or data[24]:
        yield Damage(f"its first page is of type {data[25]}, encryption {data[24]}")
        return
    if page_size not in (1 << each for each in range(9, 17)) or len(data) % page_size:
        yield Damage(f"pages of {page_size} bytes do not make its {len(data)} bytes")
        return
    last = struct.unpack_from(order + "I", data, 32)[0]
    if last + 1 != len(data) // page_size:
        yield Damage(f"its head says {last + 1} pages, it has {len(data) // page_size}")
    elements = struct.unpack_from(order + "I", data, 88)[0]
    found = 0
    for row in _Pages(data, order, page_size).rows():
        found += not isinstance(row, Damage)
        if not isinstance(row, Damage) and row[0] == 0 and len(row[1]) == 4:
            continue  # the number that the next package gets
        yield row
    if found != elements:
        yield Damage(f"its head says {elements} records, {found} were found")


class _Pages:
    def __init__(self, data: bytes, order: str, size: int) -> None:
        self._data, self._order, self._size = data, order, size
        self._count = len(data) // size
        self._used: set[int] = set()  # overflow pages

    def rows(self) -> Iterator[tuple[int, bytes] | Damage]:
        chains: set[int] = set()
        for number in range(1, self._count):
            kind = self._data[number * self._size + 25]
            if kind in (_HASH, _HASH_UNSORTED):
                yield from self._page(number)
            elif kind == _OVERFLOW:
                chains.add(number)
            elif kind not in (0, _HASH_META):
                yield Damage(f"page {number} is of the unknown type {kind}")
        lost = chains - self._used
        if lost:
            yield Damage(f"{len(lost)} pages belong to no record, the first is {min(lost)}")

    def _page(self, number: int) -> Iterator[tuple[int, bytes] | Damage]:
        base = number * self._size
        told, _, _, entries = struct.unpack_from(self._order + "IIIH", self._data, base + 8)
        if told != number or entries % 2 or _PAGE_HEAD + 2 * entries > self._size:
            yield Damage(f"page {number} says that it is {told}, with {entries} entries")
            return
        places = struct.unpack_from(f"{self._order}{entries}H", self._data, base + _PAGE_HEAD)
        ends = (self._size, *places[:-1])
        for index in range(0, entries, 2):
            try:
                key = self._item(number, places[index], ends[index])
                if len(key) != 4:
                    raise _BadPageError(f"a key of {len(key)} bytes")
                value = self._item(number, places[index + 1], ends[index + 1])
            except _BadPageError as fault:
                yield Damage(f"page {number}, entry {index}: {fault}")
            else:
                # rpm writes its numbers in the host's own order, like the pages
                yield struct.unpack(self._order + "I", key)[0], value

    def _item(self, number: int, start: int, end: int) -> bytes:
        if not _PAGE_HEAD <= start < end <= self._size:
            raise _BadPageError(f"it should stand at {start} to {end} of its page")
        base = number * self._size
        kind = self._data[base + start]
        if kind == _KEYDATA:
            return self._data[base + start + 1 : base + end]
        if kind != _OFFPAGE or end - start < 12:
            raise _BadPageError(f"it is of the unknown type {kind}")
        first, size = struct.unpack_from(self._order + "II", self._data, base + start + 4)
        return self._chain(first, size)

    def _chain(self, number: int, size: int) -> bytes:
        if size > min(VALUE_BYTES, len(self._data)):
            raise _BadPageError(f"a value of {size} bytes")
        parts: list[bytes] = []
        left = size
        while left:
            if not 0 < number < self._count or number in self._used:
                raise _BadPageError(f"its value goes on at page {number}, which is not free for it")
            self._used.add(number)
            base = number * self._size
            told, _, following, _, length = struct.unpack_from(
                self._order + "IIIHH", self._data, base + 8
            )
            if self._data[base + 25] != _OVERFLOW or told != number:
                raise _BadPageError(f"its value goes on at page {number}, which is none of values")
            if not 0 < length <= min(left, self._size - _PAGE_HEAD):
                raise _BadPageError(f"page {number} should hold {length} of the {left} bytes left")
            parts.append(self._data[base + _PAGE_HEAD : base + _PAGE_HEAD + length])
            left -= length
            number = following
        return b"".join(parts)

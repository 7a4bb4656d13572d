"""rpm's SQLite 3 database, read by the file format alone (sqlite.org/fileformat2.html).

Only what rpm's tables need: rows of table b-trees, overflow chains, and the pages that a
write-ahead log has newer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from staunch.formats.rpmdb.damage import Damage

MAGIC = b"SQLite format 3\0"
VALUE_BYTES = 256 << 20
DEPTH = 20

_LEAF, _INTERIOR = 0x0D, 0x05
_WAL_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
_WAL_HEAD, _FRAME_HEAD = 32, 24


class _BadPageError(Exception):
    pass


def read_sqlite(data: bytes, wal: bytes) -> Iterator[tuple[int, bytes] | Damage]:
    """Row id and BLOB of each row of ``Packages``; the index ``Name`` tells whether any is missing."""
    try:
        pages = _Pages(data, wal)
    except _BadPageError as fault:
        yield Damage(str(fault))
        return
    yield from pages.notes
    found: set[int] = set()
    for row in _table(pages, "Packages"):
        if isinstance(row, Damage):
            yield row
            continue
        number, values = row
        found.add(number)
        blob = values[-1] if values else None
        if isinstance(blob, bytes):
            yield number, blob
        else:
            yield Damage(f"row {number}: its last column is no BLOB")
    named: set[int] = set()
    for row in _table(pages, "Name"):
        if isinstance(row, Damage):
            yield Damage(f"the index of names: {row.why}")
        elif len(row[1]) > 1 and isinstance(row[1][1], int):
            named.add(row[1][1])
    if named != found:
        yield Damage(
            f"{len(named - found)} packages stand in the index of names alone, "
            f"{len(found - named)} only outside of it"
        )


def _table(pages: _Pages, table: str) -> Iterator[tuple[int, list[bytes | int | None]] | Damage]:
    try:
        root = _root(pages, table)
    except _BadPageError as fault:
        yield Damage(str(fault))
        return
    for row in _Walk(pages).rows(root):
        if isinstance(row, Damage):
            yield row
            continue
        try:
            yield row[0], _values(row[1])
        except _BadPageError as fault:
            yield Damage(f"row {row[0]} of {table}: {fault}")


class _Pages:
    """Pages by number, from 1; those of the log win."""

    def __init__(self, data: bytes, wal: bytes) -> None:
        if len(data) < 100:
            raise _BadPageError("it is shorter than its head")
        size = int.from_bytes(data[16:18], "big")
        self.size = 65536 if size == 1 else size
        if self.size < 512 or self.size & (self.size - 1):
            raise _BadPageError(f"its pages would have {self.size} bytes")
        self.usable = self.size - data[20]
        if self.usable < 480:
            raise _BadPageError(f"{data[20]} bytes of each page are reserved")
        self._data = data
        self.count = len(data) // self.size
        self._newer: dict[int, memoryview] = {}
        self.notes: list[Damage] = []
        if wal:
            self._read_log(wal)
        else:
            told = int.from_bytes(data[28:32], "big")
            if told > self.count or len(data) % self.size:
                self.notes.append(
                    Damage(f"its head says {told} pages, it has {len(data) / self.size:g}")
                )

    def get(self, number: int) -> memoryview:
        newer = self._newer.get(number)
        if newer is not None:
            return newer
        if not 0 < number <= len(self._data) // self.size:
            raise _BadPageError(f"page {number} is not there")
        start = (number - 1) * self.size
        return memoryview(self._data)[start : start + self.size]

    def _read_log(self, wal: bytes) -> None:
        """Frames up to the last commit whose salts and checksums fit ("WAL File Format")."""
        if len(wal) < _WAL_HEAD:
            return
        magic, _, size = struct.unpack_from(">3I", wal)
        order = _WAL_MAGICS.get(magic)
        if order is None or size != self.size:
            self.notes.append(Damage("the log beside it is none; newer rows may be missing"))
            return
        sums = _checksum(wal[:24], (0, 0), order)
        if struct.unpack_from(">2I", wal, 24) != sums:
            self.notes.append(Damage("the head of the log beside it is damaged"))
            return
        salts = wal[16:24]
        pending: dict[int, memoryview] = {}
        step = _FRAME_HEAD + self.size
        for at in range(_WAL_HEAD, len(wal) - step + 1, step):
            number, commit = struct.unpack_from(">2I", wal, at)
            if wal[at + 8 : at + 16] != salts:
                return  # left from before the last checkpoint
            body = wal[at + _FRAME_HEAD : at + step]
            sums = _checksum(body, _checksum(wal[at : at + 8], sums, order), order)
            if struct.unpack_from(">2I", wal, at + 16) != sums:
                return
            pending[number] = memoryview(body)
            if commit:
                self._newer.update(pending)
                pending = {}
                self.count = commit


def _checksum(data: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return first, second


def _root(pages: _Pages, table: str) -> int:
    """The root page of ``table``, from the schema (2.6 "Storage Of The SQL Database Schema")."""
    faults: list[str] = []
    for row in _Walk(pages).rows(1):
        if isinstance(row, Damage):
            faults.append(row.why)
            continue
        values = _values(row[1])
        if len(values) >= 4 and values[0] == b"table" and values[1] == table.encode():
            root = values[3]
            if isinstance(root, int) and root > 0:
                return root
    raise _BadPageError("; ".join([f"it has no table {table}", *faults]))


class _Walk:
    """Rows of one table b-tree; no page is visited twice."""

    def __init__(self, pages: _Pages) -> None:
        self._pages = pages
        self._seen: set[int] = set()

    def rows(self, number: int, depth: int = 0) -> Iterator[tuple[int, bytes] | Damage]:
        try:
            page = self._enter(number, depth)
            base = 100 if number == 1 else 0
            kind, cells = page[base], int.from_bytes(page[base + 3 : base + 5], "big")
            head = base + (12 if kind == _INTERIOR else 8)
            if kind not in (_LEAF, _INTERIOR) or head + 2 * cells > self._pages.usable:
                raise _BadPageError(f"page {number} is of type {kind}, with {cells} cells")
            places = struct.unpack_from(f">{cells}H", page, head)
        except _BadPageError as fault:
            yield Damage(str(fault))
            return
        for place in places:
            if kind == _INTERIOR:
                if place + 4 > self._pages.usable:
                    yield Damage(f"page {number}: a cell at {place}")
                    continue
                yield from self.rows(int.from_bytes(page[place : place + 4], "big"), depth + 1)
                continue
            try:
                yield self._cell(page, place)
            except _BadPageError as fault:
                yield Damage(f"page {number}: {fault}")
        if kind == _INTERIOR:
            yield from self.rows(int.from_bytes(page[base + 8 : base + 12], "big"), depth + 1)

    def _enter(self, number: int, depth: int) -> memoryview:
        if depth > DEPTH or number in self._seen:
            raise _BadPageError(f"page {number} is reached twice, or too deep")
        self._seen.add(number)
        return self._pages.get(number)

    def _cell(self, page: memoryview, place: int) -> tuple[int, bytes]:
        """A table leaf's cell: payload size, row id, payload ("B-tree Cell Format")."""
        usable = self._pages.usable
        size, at = _varint(page, place)
        number, at = _varint(page, at)
        if size > VALUE_BYTES:
            raise _BadPageError(f"row {number} has {size} bytes")
        most, least = usable - 35, (usable - 12) * 32 // 255 - 23
        here = size
        if size > most:
            here = least + (size - least) % (usable - 4)
            here = here if here <= most else least
        if at + here + (4 if here < size else 0) > usable:
            raise _BadPageError(f"row {number} goes beyond its page")
        parts = [bytes(page[at : at + here])]
        left = size - here
        following = int.from_bytes(page[at + here : at + here + 4], "big") if left else 0
        while left:
            if following in self._seen:
                raise _BadPageError(f"row {number} goes on at page {following}, which is in use")
            self._seen.add(following)
            overflow = self._pages.get(following)
            part = bytes(overflow[4 : 4 + min(left, usable - 4)])
            parts.append(part)
            left -= len(part)
            following = int.from_bytes(overflow[:4], "big")
        return number, b"".join(parts)


def _varint(data: memoryview | bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(9):
        if at + index >= len(data):
            raise _BadPageError("a number goes beyond its page")
        byte = data[at + index]
        if index == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    raise AssertionError  # the ninth byte ends it


def _values(record: bytes) -> list[bytes | int | None]:
    """Columns of a record: NULL, integers, texts and BLOBs as bytes ("Record Format")."""
    size, at = _varint(record, 0)
    if size > len(record):
        raise _BadPageError("the head of a record goes beyond it")
    kinds: list[int] = []
    while at < size:
        kind, at = _varint(record, at)
        kinds.append(kind)
    values: list[bytes | int | None] = []
    widths = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}
    at = size
    for kind in kinds:
        if kind in (10, 11):
            raise _BadPageError(f"a column of the unknown type {kind}")
        width = widths[kind] if kind < 12 else (kind - 12) // 2
        if at + width > len(record):
            raise _BadPageError("a column goes beyond its record")
        body = record[at : at + width]
        at += width
        if kind >= 12:
            values.append(body)
        elif kind in (0, 7):
            values.append(None)
        else:
            values.append({8: 0, 9: 1}.get(kind, int.from_bytes(body, "big", signed=True)))
    return values

"""Where the parts of an ELF file stand: segments and named sections (gABI, chapters 4 and 5).

For readers of what compilers leave in a program. Sections may be stripped, and of a large file only
some ranges may be at hand: what is not there is left out, never guessed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Layout", "Read", "Section", "Segment", "read_layout", "read_needed"]

Read = Callable[[int, int], bytes]
"""Up to ``size`` bytes from ``offset``; fewer where they are not at hand."""

SEGMENTS, SECTIONS = 1024, 65535
NAMES_BYTES = 4 << 20
DYNAMIC_BYTES = 1 << 16
NAME_BYTES, NEEDED = 256, 1000  # of a library that is needed; of these in one file

LOAD, DYNAMIC, INTERPRETER, NOTE = 1, 2, 3, 4
_NEEDED = (1, 0x7FFFFFFD, 0x7FFFFFFF)  # DT_NEEDED, DT_AUXILIARY, DT_FILTER
_STRINGS = 5  # DT_STRTAB
EXECUTABLE, WRITABLE = 1, 2


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header."""

    type: int
    flags: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Section:
    """A section header; ``type`` 8 (NOBITS) has no bytes in the file."""

    name: str
    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """An ELF file's outline. ``order`` is struct's sign of the byte order.

    ``type`` and ``machine`` are e_type and e_machine. ``sections`` is empty where they are
    stripped; ``sections_at`` is where they should stand, 0 for nowhere.
    """

    bits: int
    order: str
    type: int
    machine: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    sections_at: int

    def section(self, name: str) -> Section | None:
        """The first of that name."""
        return next((each for each in self.sections if each.name == name), None)

    def offset_of(self, address: int) -> int | None:
        """Where an address of the running program stands in the file."""
        for each in self.segments:
            if each.type == LOAD and each.address <= address < each.address + each.size:
                return each.offset + address - each.address
        return None


def read_layout(read: Read) -> Layout | None:
    """The outline of an ELF file; None when it is none, or its head is damaged."""
    ident = read(64, 0)
    if (
        len(ident) < 52
        or ident[:4] != b"\x7fELF"
        or ident[4] not in (1, 2)
        or ident[5] not in (1, 2)
    ):
        return None
    wide, order = ident[4] == 2, "<" if ident[5] == 1 else ">"
    form = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    if len(ident) < 16 + struct.calcsize(form):
        return None
    head = struct.unpack_from(form, ident, 16)
    return Layout(
        64 if wide else 32,
        order,
        head[0],
        head[1],
        _segments(read, order, head[4], head[8], head[9], wide=wide),
        _sections(read, order, head[5], head[10], head[11], head[12], wide=wide),
        head[5],
    )


def _segments(
    read: Read, order: str, at: int, step: int, count: int, *, wide: bool
) -> tuple[Segment, ...]:
    form = order + ("IIQQQQQQ" if wide else "IIIIIIII")
    if not at or count > SEGMENTS or step < struct.calcsize(form):
        return ()
    table = read(count * step, at)
    found = []
    for index in range(len(table) // step):
        row = struct.unpack_from(form, table, index * step)
        if wide:
            found.append(Segment(row[0], row[1], row[2], row[3], row[5]))
        else:
            found.append(Segment(row[0], row[6], row[1], row[2], row[4]))
    return tuple(found)


def _sections(
    read: Read, order: str, at: int, step: int, count: int, names: int, *, wide: bool
) -> tuple[Section, ...]:
    form = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    if not at or not 0 < count <= SECTIONS or step < struct.calcsize(form):
        return ()
    table = read(count * step, at)
    rows = [struct.unpack_from(form, table, index * step) for index in range(len(table) // step)]
    if names >= len(rows) or rows[names][5] > NAMES_BYTES:
        return ()
    texts = read(rows[names][5], rows[names][4])
    return tuple(
        Section(_text(texts, row[0]), row[1], row[4], 0 if row[1] == 8 else row[5]) for row in rows
    )


def _text(texts: bytes, at: int) -> str:
    end = texts.find(b"\0", at)
    return texts[at:end].decode("utf-8", "replace") if 0 <= at < end <= at + 256 else ""


def read_needed(read: Read, layout: Layout) -> tuple[str, ...] | None:
    """File names of what the loader brings in for it: its libraries and the loader itself.

    Read from the program headers as the loader does; None where they, or the tables that they
    point to, are not at hand or make no sense.
    """
    names: list[str] = []
    for segment in layout.segments:
        if segment.type not in (DYNAMIC, INTERPRETER) or not segment.size:
            continue
        found = (
            _dynamic(read, layout, segment)
            if segment.type == DYNAMIC
            else [_name(read, segment.offset)]
        )
        for name in found:
            if not name:
                return None
            names.append(name.rpartition("/")[2])
    return tuple(names) if layout.segments else None


def _dynamic(read: Read, layout: Layout, segment: Segment) -> list[str]:
    """Names that the dynamic section wants; "" stands for one that cannot be read."""
    word = "Q" if layout.bits == 64 else "I"
    step = struct.calcsize(word) * 2
    data = read(segment.size, segment.offset) if segment.size <= DYNAMIC_BYTES else b""
    wanted: list[int] = []
    strings: int | None = None
    for tag, value in struct.iter_unpack(
        layout.order + word * 2, data[: len(data) - len(data) % step]
    ):
        if tag == 0:
            at = None if strings is None else layout.offset_of(strings)
            return [_name(read, at + each) if at is not None else "" for each in wanted]
        if len(wanted) > NEEDED:
            break
        if tag in _NEEDED:
            wanted.append(value)
        elif tag == _STRINGS:
            strings = value
    return [""]  # it has no end here, or too many


def _name(read: Read, at: int) -> str:
    return _text(read(NAME_BYTES + 1, at), 0)

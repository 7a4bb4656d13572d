"""A file of which some ranges are at hand; programs are kept so while they stream by."""

from __future__ import annotations

from staunch.formats.binary import LOAD, NOTE, WRITABLE, Segment, read_layout
from staunch.model import limits
from staunch.scan.forward import Forward

__all__ = ["WHOLE", "Windows", "read_program"]

WHOLE = 64 * limits.MIB  # programs up to this size are held whole while they are looked at
HEAD = limits.MIB
DATA = 8 * limits.MIB  # of each writable segment
TAIL = 4 * limits.MIB  # up to the end: section names, headers, and what linkers append


class Windows:
    """Ranges by offset; ``read`` gives fewer bytes than asked for where they are not at hand."""

    __slots__ = ("_parts", "size")

    def __init__(self, size: int, parts: list[tuple[int, bytes]]) -> None:
        """``parts`` are sorted and do not overlap."""
        self.size, self._parts = size, parts

    def read(self, size: int, offset: int) -> bytes:
        """Bytes from one range."""
        for start, data in self._parts:
            if start == offset == 0 and size >= len(data):
                return data
            if start <= offset < start + len(data):
                return data[offset - start : offset - start + max(0, size)]
        return b""

    @property
    def whole(self) -> bool:
        """Whether every byte is at hand."""
        return sum(len(data) for _, data in self._parts) == self.size


def read_program(file: Forward) -> Windows:
    """Take of an ELF file, from its beginning, what its readers ask for."""
    if file.size <= WHOLE:
        return Windows(file.size, [(0, file.read(file.size))])
    start = file.read(HEAD)
    parts = [(0, start)]
    layout = read_layout(lambda size, offset: start[offset : offset + size])
    for first, last in _ranges(file.size, layout.segments if layout else ()):
        begin = max(first, file.at)
        if begin < last:
            file.skip(begin - file.at)
            parts.append((begin, file.read(last - begin)))
    return Windows(file.size, _joined(parts))


def _ranges(size: int, segments: tuple[Segment, ...]) -> list[tuple[int, int]]:
    found = [(max(0, size - TAIL), size)]
    for each in segments:
        if each.type == LOAD and each.flags & WRITABLE:
            found.append((each.offset, min(size, each.offset + min(each.size, DATA))))
        elif each.type == NOTE:
            found.append((each.offset, min(size, each.offset + min(each.size, HEAD))))
    return sorted(found)


def _joined(parts: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Ranges that touch become one."""
    joined: list[tuple[int, bytes]] = []
    for start, data in parts:
        if joined and joined[-1][0] + len(joined[-1][1]) == start:
            joined[-1] = joined[-1][0], joined[-1][1] + data
        else:
            joined.append((start, data))
    return joined

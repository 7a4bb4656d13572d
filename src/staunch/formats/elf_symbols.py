"""Which of some names an ELF file defines (gABI, "Sections" and "Symbol Table").

Read from the section headers, which linkers and ``strip`` keep: the dynamic symbol table always, the
full one where it was not stripped. A file without section headers cannot be judged.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import Final

from staunch.errors import UntrustedError

__all__ = ["defined_symbols"]

_SECTIONS: Final = 1 << 16
_TABLE_BYTES: Final = 1 << 30
_SHT_SYMTAB, _SHT_DYNSYM, _SHN_UNDEF = 2, 11, 0
_PIECE: Final = 24 * 43_690  # whole entries of either class
Read = Callable[[int, int], bytes]


def defined_symbols(read: Read, size: int, wanted: Collection[str]) -> frozenset[str]:
    """Those of ``wanted`` that the file defines (not merely uses).

    Args:
        read: gives ``size`` bytes from ``offset`` (``pread``'s order of arguments).
        size: of the file.
        wanted: names, without versions.

    Raises:
        UntrustedError: it is damaged, no ELF file, or has no section headers.
    """
    ident = _at(read, size, 0, 64)
    if ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise _damaged("it is no ELF file of a known class")
    wide, order = ident[4] == 2, "<" if ident[5] == 1 else ">"
    offset, width, count = _section_table(ident, order, wide=wide)
    if not offset or not count:
        raise _damaged("it has no section headers, so its symbols cannot be known")
    if count > _SECTIONS:
        raise _damaged(f"it has {count} sections")
    table = _at(read, size, offset, width * count)
    sections = [_section(table, width * number, order, wide=wide) for number in range(count)]
    names = {each.encode() for each in wanted}
    found: set[bytes] = set()
    for kind, at, length, link, entry in sections:
        if kind not in (_SHT_SYMTAB, _SHT_DYNSYM):
            continue
        if entry != (24 if wide else 16) or link >= len(sections) or length > _TABLE_BYTES:
            raise _damaged("its symbol table is described wrongly")
        _, strings_at, strings_size, _, _ = sections[link]
        if strings_size > _TABLE_BYTES:
            raise _damaged("its string table is too large")
        strings = _at(read, size, strings_at, strings_size)
        places = _places(strings, names)
        if places:
            found |= _defined(read, size, at, length, order, places, wide=wide)
    return frozenset(each.decode() for each in found)


def _section_table(ident: bytes, order: str, *, wide: bool) -> tuple[int, int, int]:
    """Offset, width of an entry and count."""
    if wide:
        (offset,) = struct.unpack_from(order + "Q", ident, 40)
        width, count = struct.unpack_from(order + "HH", ident, 58)
    else:
        (offset,) = struct.unpack_from(order + "I", ident, 32)
        width, count = struct.unpack_from(order + "HH", ident, 46)
    if count and width < (64 if wide else 40):
        raise _damaged(f"its section headers take {width} bytes each")
    return int(offset), int(width), int(count)


def _section(table: bytes, at: int, order: str, *, wide: bool) -> tuple[int, int, int, int, int]:
    """Type, offset, size, link and width of an entry."""
    if wide:
        _, kind, _, _, offset, length, link, _, _, entry = struct.unpack_from(
            order + "IIQQQQIIQQ", table, at
        )
    else:
        _, kind, _, _, offset, length, link, _, _, entry = struct.unpack_from(
            order + "10I", table, at
        )
    return kind, offset, length, link, entry


def _places(strings: bytes, names: Collection[bytes]) -> dict[int, bytes]:
    """Where each name stands in a string table; linkers let names share tails, so every place."""
    places: dict[int, bytes] = {}
    for name in names:
        needle = name + b"\0"
        at = strings.find(needle)
        while at >= 0:
            places[at] = name
            at = strings.find(needle, at + 1)
    return places


def _defined(
    read: Read, size: int, at: int, length: int, order: str, places: dict[int, bytes], *, wide: bool
) -> set[bytes]:
    form = struct.Struct(order + ("IBBHQQ" if wide else "IIIBBH"))
    found: set[bytes] = set()
    for start in range(0, length, _PIECE):
        data = _at(read, size, at + start, min(_PIECE, length - start))
        usable = len(data) - len(data) % form.size
        for entry in form.iter_unpack(data[:usable]):
            name = places.get(entry[0])
            if name is not None and (entry[3] if wide else entry[5]) != _SHN_UNDEF:
                found.add(name)
    return found


def _at(read: Read, size: int, offset: int, length: int) -> bytes:
    if offset < 0 or length < 0 or offset + length > size:
        raise _damaged(f"bytes {offset} to {offset + length} are wanted, the file ends at {size}")
    data = read(length, offset)
    if len(data) != length:
        raise _damaged(f"it is cut off near byte {offset}")
    return data


def _damaged(why: str) -> UntrustedError:
    return UntrustedError(
        "cannot read the symbols of an ELF file", why=why, mend="look at the file by other means"
    )

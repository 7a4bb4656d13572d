"""Write and read ``etc/ld.so.cache``, byte for byte as glibc's ``ldconfig`` writes it.

Format "glibc-ld.so.cache1.1" alone, the default since glibc 2.32 (glibc, elf/cache.c,
sysdeps/generic/dl-cache.h). All sonames and paths stand in one string table, longest first where
one ends like the other, so that ``libc.so.6`` is the tail of ``/lib/x86_64-linux-gnu/libc.so.6``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from staunch.errors import SpecError, UntrustedError
from staunch.model import limits

MAGIC: Final = b"glibc-ld.so.cache1.1"
GENERATOR: Final = "staunch"
LIBC6: Final = 3  # FLAG_ELF_LIBC6
_ARCHITECTURES = {(62, 64): 0x0300, (62, 32): 0x0800, (183, 64): 0x0A00, (3, 32): 0}
ENTRIES: Final = 1_000_000

_HEADER = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_EXTENSION = struct.Struct("<II")
_SECTION = struct.Struct("<IIII")
_LITTLE_ENDIAN = 2
_EXTENSION_MAGIC = 0xEAA42174
_TAG_GENERATOR, _TAG_HWCAPS = 0, 1
_HWCAP_EXTENSION = 1 << 62
_ISA_MASK = (1 << 10) - 1
_TOKENS = re.compile(r"[0-9]+|[^0-9]", re.DOTALL)
_MEND = "fetch the image again, or run `ldconfig` where it was made"


@dataclass(frozen=True, slots=True)
class CacheLib:
    """One line of ``ldconfig -p``.

    ``path`` is absolute, directory and file name as the loader is to open it. ``hwcaps`` is the name
    of the ``glibc-hwcaps`` folder the file stands in (``x86-64-v3``), else ""; then ``isa_level`` is
    the x86-64 level it needs (``isa_level_of``). ``osversion`` is 0 from glibc 2.36 on.
    """

    soname: str
    path: str
    flags: int = LIBC6
    hwcaps: str = ""
    isa_level: int = 0
    osversion: int = 0


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache that was read: its libraries in order of search, and who made it."""

    libs: tuple[CacheLib, ...]
    generator: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file or link of a library folder: its name, and the facts of the ELF file it leads to."""

    name: str
    is_link: bool
    soname: str
    flags: int
    isa_level: int = 0


def flags_of(machine: int, bits: int) -> int | None:
    """The flags of a library (``ElfFacts.machine``, ``bits``); None for an unknown machine."""
    architecture = _ARCHITECTURES.get((machine, bits))
    return None if architecture is None else LIBC6 | architecture


def isa_level_of(x86_isa: int) -> int:
    """The x86-64 level in ``ElfFacts.x86_isa``: 1 for v2, 2 for v3, …; 0 for baseline or none."""
    return max(x86_isa.bit_length() - 1, 0)


def is_candidate(name: str) -> bool:
    """Whether ``ldconfig`` looks at a file of this name at all."""
    return (
        name.startswith(("lib", "ld-"))
        and ".so" in name
        and not name.endswith(("-gdb.py", ".#prelink#"))
    )


def plan_folder(
    folder: str, candidates: Iterable[Candidate], *, hwcaps: str = ""
) -> tuple[tuple[CacheLib, ...], tuple[tuple[str, str], ...]]:
    """What ``ldconfig`` makes of one library folder.

    Per soname one file is chosen: rather a file than a link, else the one of the newest name. A
    link named like the soname, or like its beginning up to ``.so``, counts under its own name.

    Args:
        folder: absolute.
        candidates: those that are ELF libraries; in any order.
        hwcaps: the name of the ``glibc-hwcaps`` folder this is, else "".

    Returns:
        Its libraries, sorted by name, and the links that ``ldconfig`` would make there: name
        (a soname) and target (a file name), those that stand already left in.
    """
    chosen: dict[str, Candidate] = {}
    for each in sorted(candidates, key=lambda candidate: candidate.name):
        soname = each.soname or each.name
        is_link = each.is_link and (
            each.name == soname or (each.name.endswith(".so") and soname.startswith(each.name))
        )
        new = Candidate(
            each.name, is_link, each.name if is_link else soname, each.flags, each.isa_level
        )
        old = chosen.get(new.soname)
        if (
            old is None
            or (old.is_link and not is_link)
            or (old.is_link == is_link and _order(old.name) < _order(new.name))
        ):
            chosen[new.soname] = new
    libs = tuple(
        CacheLib(soname, f"{folder}/{each.name}", each.flags, hwcaps, each.isa_level)
        if hwcaps
        else CacheLib(soname, f"{folder}/{soname}", each.flags)
        for soname, each in sorted(chosen.items())
    )
    if hwcaps:
        return libs, ()  # no links are made there, the cache names the files themselves
    links = tuple(
        (soname, each.name)
        for soname, each in sorted(chosen.items())
        if not each.is_link and soname != each.name
    )
    return libs, links


def build_cache(libs: Sequence[CacheLib], *, generator: str = GENERATOR) -> bytes:
    """The cache of ``libs``, given in order of the folders (``ld.so.conf``, then the system's).

    Sorted as ``ldconfig`` sorts: sonames with numbers as numbers, descending; of one soname those
    in ``glibc-hwcaps`` folders first, then in the order given. The same for the same input.

    Args:
        libs: one per soname and folder.
        generator: who made it, as ``ldconfig -p`` shows it. ``ldconfig`` itself writes its version.

    Raises:
        SpecError: a name or path that the loader could not use.
    """
    for lib in libs:
        if not lib.path.startswith("/") or not lib.soname or "\0" in lib.path + lib.soname:
            raise SpecError(
                f"the library {lib.soname!r} cannot stand in ld.so.cache",
                why=f"its path {lib.path!r} is not absolute, or a name is empty or holds a NUL byte",
                mend="give the path inside the image, with the leading slash",
            )
    ordered = sorted(libs, key=lambda lib: (not lib.hwcaps, lib.hwcaps))
    ordered.sort(key=lambda lib: (_order(lib.soname), lib.flags), reverse=True)
    hwcaps = sorted({lib.hwcaps for lib in libs if lib.hwcaps})
    strings = {text.encode() for lib in libs for text in (lib.soname, lib.path)}
    strings.update(name.encode() for name in hwcaps)
    start = _HEADER.size + _ENTRY.size * len(ordered)
    table, offsets = _string_table(strings, start)
    end = start + len(table)
    extension = end + -end % 4
    out = bytearray(_HEADER.pack(MAGIC, len(ordered), len(table), _LITTLE_ENDIAN, extension))
    for lib in ordered:
        hwcap = 0
        if lib.hwcaps:
            hwcap = _HWCAP_EXTENSION | lib.isa_level << 32 | hwcaps.index(lib.hwcaps)
        out += _ENTRY.pack(
            lib.flags,
            offsets[lib.soname.encode()],
            offsets[lib.path.encode()],
            lib.osversion,
            hwcap,
        )
    out += table + bytes(extension - end)
    return bytes(out) + _extensions(
        extension, generator.encode(), [offsets[name.encode()] for name in hwcaps]
    )


def parse_cache(data: bytes, *, max_entries: int = ENTRIES) -> Cache:
    """Read a cache; the older format that may stand before the new one is skipped.

    Raises:
        UntrustedError: no cache of this format, damaged, of another byte order, or too large.
    """
    base = data.find(MAGIC, 0, len(data)) if data.startswith(b"ld.so-1.7.0\0") else 0
    if base < 0 or data[base : base + len(MAGIC)] != MAGIC or len(data) < base + _HEADER.size:
        raise _damaged("it does not begin as glibc writes it")
    data = data[base:]
    _, count, table_size, flags, extension = _HEADER.unpack_from(data)
    if flags not in (0, _LITTLE_ENDIAN):
        raise _damaged(f"its byte order flag is {flags}, not that of a little-endian machine")
    start = _HEADER.size + count * _ENTRY.size
    if count > max_entries or start + table_size > len(data):
        raise _damaged(f"it claims {count} libraries and {table_size} bytes of names")
    names, generator = _read_extensions(data, extension)
    libs = []
    for index in range(count):
        kind, key, value, osversion, hwcap = _ENTRY.unpack_from(
            data, _HEADER.size + index * _ENTRY.size
        )
        hwcaps, level = "", 0
        if hwcap >> 32 & ~_ISA_MASK == _HWCAP_EXTENSION >> 32:
            if hwcap & 0xFFFFFFFF >= len(names):
                raise _damaged(
                    f"library {index} names the CPU level {hwcap & 0xFFFFFFFF}, there is none"
                )
            hwcaps, level = names[hwcap & 0xFFFFFFFF], hwcap >> 32 & _ISA_MASK
        libs.append(
            CacheLib(_string(data, key), _string(data, value), kind, hwcaps, level, osversion)
        )
    return Cache(tuple(libs), generator)


def _order(name: str) -> tuple[tuple[int, int], ...]:
    """Runs of digits as numbers, which sort behind any other character (``_dl_cache_libcmp``)."""
    return tuple(
        (1, int(token, 16)) if "0" <= token[0] <= "9" else (0, ord(token))
        for token in _TOKENS.findall(name)
    )


def _string_table(strings: set[bytes], start: int) -> tuple[bytes, dict[bytes, int]]:
    """All strings, NUL-terminated; one that another ends with lies inside that other."""
    table = bytearray()
    offsets: dict[bytes, int] = {}
    last = b""
    for text in sorted(strings, key=lambda each: each[::-1], reverse=True):
        if not last.endswith(text) or not last:
            offsets[text] = start + len(table)
            table += text + b"\0"
            last = text
        else:
            offsets[text] = start + len(table) - 1 - len(text)
    return bytes(table), offsets


def _extensions(start: int, generator: bytes, hwcaps: list[int]) -> bytes:
    """The extension area; the generator is listed first and stands last."""
    count = 2 if hwcaps else 1
    at = start + _EXTENSION.size + count * _SECTION.size
    body = struct.pack(f"<{len(hwcaps)}I", *hwcaps)
    head = _EXTENSION.pack(_EXTENSION_MAGIC, count)
    head += _SECTION.pack(_TAG_GENERATOR, 0, at + len(body), len(generator))
    if hwcaps:
        head += _SECTION.pack(_TAG_HWCAPS, 0, at, len(body))
    return head + body + generator


def _read_extensions(data: bytes, at: int) -> tuple[list[str], str]:
    names: list[str] = []
    generator = ""
    if not at:
        return names, generator
    if at + _EXTENSION.size > len(data):
        raise _damaged(f"its extensions should stand at byte {at}, it ends at {len(data)}")
    magic, count = _EXTENSION.unpack_from(data, at)
    if magic != _EXTENSION_MAGIC or at + _EXTENSION.size + count * _SECTION.size > len(data):
        raise _damaged(f"there are no proper extensions at byte {at}")
    for index in range(count):
        place = at + _EXTENSION.size + index * _SECTION.size
        tag, _, offset, size = _SECTION.unpack_from(data, place)
        if offset + size > len(data):
            raise _damaged(f"extension {tag} ends at byte {offset + size}, behind the end")
        section = data[offset : offset + size]
        if tag == _TAG_GENERATOR:
            generator = section.decode("utf-8", "replace")
        elif tag == _TAG_HWCAPS:
            places = struct.unpack(f"<{size // 4}I", section[: size - size % 4])
            names = [_string(data, each) for each in places]
    return names, generator


def _string(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset, offset + limits.PATH_BYTES)
    if end < 0:
        raise _damaged(f"the name at byte {offset} has no end")
    return data[offset:end].decode("utf-8", "replace")


def _damaged(why: str) -> UntrustedError:
    return UntrustedError("ld.so.cache cannot be read", why=why, mend=_MEND)

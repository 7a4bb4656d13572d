"""Read what a linker would ask of an ELF file, from a few small ranges of it.

Works from the program headers alone, as the dynamic loader does, so section headers may be
stripped (gABI, "Program Loading and Dynamic Linking"; LSB Core, "Symbol Versioning").
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from staunch.errors import UntrustedError
from staunch.model.elf import ElfFacts

MAGIC: Final = b"\x7fELF"
PROGRAM_HEADERS = 1024
DYNAMIC_BYTES = 1 << 16
STRING_BYTES = 4096
NOTE_BYTES = 1 << 16
VERSIONS = 1 << 14  # names wanted or offered, in all
NEEDED = 4000
READ_BYTES = 32 << 20  # of one file, in all

_PAGE = 4096
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE, _PT_GNU_PROPERTY = 1, 2, 3, 4, 0x6474E553
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH = 0, 1, 5, 10, 14, 15
_DT_RUNPATH, _DT_VERDEF, _DT_VERDEFNUM = 29, 0x6FFFFFFC, 0x6FFFFFFD
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_VER_FLG_BASE, _VER_FLG_WEAK = 1, 2
_NT_GNU_ABI_TAG, _NT_GNU_BUILD_ID, _NT_GNU_PROPERTY = 1, 3, 5
_BUILD_ID_BYTES = 64
_X86_ISA_1_NEEDED = 0xC0008002
_ET_REL, _ET_CORE = 1, 4
_MEND = "leave the package out, or report the damaged file to whoever offers it"


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    vaddr: int
    filesz: int
    align: int


def parse_elf(
    read: Callable[[int, int], bytes], size: int, *, what: str = "ELF file"
) -> ElfFacts | None:
    """Facts of an ELF file of either class and byte order; None when it is no ELF file.

    Args:
        read: gives up to ``size`` bytes from ``offset`` (``pread``'s order of arguments); it is
            asked for pages of 4 KiB where the file's tables point, never for the whole file.
        size: of the file.
        what: how messages call it.

    Raises:
        UntrustedError: it begins like an ELF file, and is damaged.

    Not read: symbols, relocations, sections. Core dumps and relocatable objects give their header.
    """
    if size < 4 or read(4, 0) != MAGIC:
        return None
    return _Elf(_Pages(read, size, what), what).facts()


def parse_build_id(read: Callable[[int, int], bytes], size: int, *, what: str = "ELF file") -> str:
    """The linker's build id (NT_GNU_BUILD_ID) in hex; "" for a file that has none, or is no ELF.

    Arguments and errors are those of ``parse_elf``.
    """
    if size < 4 or read(4, 0) != MAGIC:
        return ""
    return _Elf(_Pages(read, size, what), what).build_id()


class _Pages:
    """Bounds-checked reads, by cached pages."""

    def __init__(self, read: Callable[[int, int], bytes], size: int, what: str) -> None:
        self._read, self._size, self._what = read, size, what
        self._pages: dict[int, bytes] = {}

    def at(self, offset: int, size: int, where: str) -> bytes:
        if offset < 0 or offset + size > self._size:
            raise _damaged(
                self._what,
                f"its {where} should stand at bytes {offset} to {offset + size}, "
                f"the file ends at {self._size}",
            )
        first, last = offset // _PAGE, (offset + size - 1) // _PAGE
        data = (
            self._page(first)
            if first == last
            else b"".join(self._page(number) for number in range(first, last + 1))
        )
        start = offset - first * _PAGE
        return data[start : start + size]

    def string(self, offset: int, limit: int, where: str) -> str:
        """The NUL-terminated string at ``offset``, which must end before ``limit``."""
        end = min(limit, self._size, offset + STRING_BYTES)
        data = b""
        at = offset
        while at < end:
            step = min(_PAGE - at % _PAGE, end - at)
            data += self.at(at, step, where)
            text, nul, _ = data.partition(b"\0")
            if nul:
                try:
                    return text.decode("utf-8")
                except UnicodeDecodeError:
                    raise _damaged(self._what, f"its {where} is not UTF-8: {text[:80]!r}") from None
            at += step
        raise _damaged(self._what, f"its {where} at byte {offset} has no end")

    def _page(self, number: int) -> bytes:
        page = self._pages.get(number)
        if page is None:
            if len(self._pages) * _PAGE >= READ_BYTES:
                raise _damaged(self._what, f"its tables take more than {READ_BYTES} bytes")
            wanted = min(_PAGE, self._size - number * _PAGE)
            page = self._read(wanted, number * _PAGE)
            if len(page) != wanted:
                raise _damaged(self._what, f"it is cut off near byte {number * _PAGE}")
            self._pages[number] = page
        return page


class _Elf:
    """One file being read."""

    def __init__(self, pages: _Pages, what: str) -> None:
        self._pages, self._what = pages, what
        ident = pages.at(0, 16, "identification")
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise _damaged(what, f"its class {ident[4]} or byte order {ident[5]} is unknown")
        self._wide = ident[4] == 2
        self._order = "<" if ident[5] == 1 else ">"
        form = "HHIQQQIHHHHHH" if self._wide else "HHIIIIIHHHHHH"
        header = self._unpack(form, 16, "header")
        self._type, self._machine = header[0], header[1]
        self._segments = self._program_headers(header[4], header[8], header[9])

    def facts(self) -> ElfFacts:
        """Read on from the program headers."""
        interpreter, abi, isa = "", 0, 0
        dynamic: tuple[tuple[int, int], ...] = ()
        for segment in self._segments:
            if not segment.filesz:
                continue  # `objcopy --only-keep-debug` leaves such ones
            if segment.type == _PT_DYNAMIC:
                dynamic = self._dynamic(segment)
            elif segment.type == _PT_INTERP:
                end = segment.offset + segment.filesz
                interpreter = self._pages.string(segment.offset, end, "interpreter")
            elif segment.type in (_PT_NOTE, _PT_GNU_PROPERTY):
                for kind, body in self._notes(segment):
                    if kind == _NT_GNU_ABI_TAG and len(body) >= 16:
                        abi = self._abi(body)
                    elif kind == _NT_GNU_PROPERTY:
                        isa |= self._isa(body)
        return self._with(dynamic, interpreter, abi, isa)

    def build_id(self) -> str:
        """Of the first note that holds one."""
        for segment in self._segments:
            if segment.filesz and segment.type == _PT_NOTE:
                for kind, body in self._notes(segment):
                    if kind == _NT_GNU_BUILD_ID and 0 < len(body) <= _BUILD_ID_BYTES:
                        return body.hex()
        return ""

    def _with(
        self, dynamic: tuple[tuple[int, int], ...], interpreter: str, abi: int, isa: int
    ) -> ElfFacts:
        tags = dict(reversed(dynamic))  # the first of each kind
        strings = _Strings(self, tags)
        runpath = tags.get(_DT_RUNPATH, tags.get(_DT_RPATH))
        needed = [value for tag, value in dynamic if tag == _DT_NEEDED]
        if len(needed) > NEEDED:
            raise _damaged(self._what, f"it needs {len(needed)} libraries")
        return ElfFacts(
            machine=self._machine,
            bits=64 if self._wide else 32,
            type=self._type,
            soname=strings.at(tags[_DT_SONAME], "soname") if _DT_SONAME in tags else "",
            interpreter=interpreter,
            needed=tuple(strings.at(value, "needed library") for value in needed),
            runpath=()
            if runpath is None
            else tuple(each for each in strings.at(runpath, "run path").split(":") if each),
            rpath_only=_DT_RPATH in tags and _DT_RUNPATH not in tags,
            needs_versions=tuple(self._needs(tags, strings)),
            defines_versions=tuple(self._defines(tags, strings)),
            x86_isa=isa,
            abi=abi,
        )

    def _unpack(self, form: str, offset: int, where: str) -> tuple[int, ...]:
        form = self._order + form
        return struct.unpack(form, self._pages.at(offset, struct.calcsize(form), where))

    def _program_headers(self, offset: int, size: int, count: int) -> tuple[_Segment, ...]:
        if not count or self._type in (_ET_REL, _ET_CORE):
            return ()
        if count > PROGRAM_HEADERS:
            raise _damaged(self._what, f"it has {count} program headers")
        form = "IIQQQQQQ" if self._wide else "IIIIIIII"
        if size < struct.calcsize(self._order + form):
            raise _damaged(self._what, f"its program headers take {size} bytes each")
        segments = []
        for index in range(count):
            at = self._unpack(form, offset + index * size, "program header")
            if self._wide:
                segments.append(_Segment(at[0], at[2], at[3], at[5], at[7]))
            else:
                segments.append(_Segment(at[0], at[1], at[2], at[4], at[7]))
        return tuple(segments)

    def offset_of(self, address: int, where: str) -> tuple[int, int]:
        """Where an address stands in the file, and where its segment ends there."""
        for segment in self._segments:
            inside = address - segment.vaddr
            if segment.type == _PT_LOAD and 0 <= inside < segment.filesz:
                return segment.offset + inside, segment.offset + segment.filesz
        raise _damaged(self._what, f"its {where} at address {address:#x} is in no segment")

    def string(self, offset: int, limit: int, where: str) -> str:
        """The string at an offset of the file."""
        return self._pages.string(offset, limit, where)

    def _dynamic(self, segment: _Segment) -> tuple[tuple[int, int], ...]:
        if segment.filesz > DYNAMIC_BYTES:
            raise _damaged(self._what, f"its dynamic section takes {segment.filesz} bytes")
        width = 16 if self._wide else 8
        data = self._pages.at(
            segment.offset, segment.filesz - segment.filesz % width, "dynamic section"
        )
        tags: list[tuple[int, int]] = []
        for tag, value in struct.iter_unpack(self._order + ("QQ" if self._wide else "II"), data):
            if tag == _DT_NULL:
                break
            tags.append((tag, value))
        return tuple(tags)

    def _notes(self, segment: _Segment) -> Iterator[tuple[int, bytes]]:
        """Types and bodies of GNU's notes."""
        if segment.filesz > NOTE_BYTES:
            return  # build tools write anything there; GNU's own are small
        data = self._pages.at(segment.offset, segment.filesz, "note")
        pad = 8 if segment.align == 8 else 4
        at = 0
        while at + 12 <= len(data):
            name_size, size, kind = struct.unpack_from(self._order + "III", data, at)
            start = at + 12 + name_size
            start += -start % pad
            name = data[at + 12 : at + 12 + name_size]
            if start + size > len(data):
                raise _damaged(self._what, f"its note at byte {segment.offset + at} has no end")
            if name == b"GNU\0":
                yield kind, data[start : start + size]
            at = start + size
            at += -at % pad

    def _abi(self, body: bytes) -> int:
        """Operating system and kernel version, one byte each."""
        os, major, minor, patch = (
            int(each) for each in struct.unpack(self._order + "IIII", body[:16])
        )
        return (os & 255) << 24 | (major & 255) << 16 | (minor & 255) << 8 | patch & 255

    def _isa(self, body: bytes) -> int:
        pad = 8 if self._wide else 4
        at = isa = 0
        while at + 8 <= len(body):
            kind, size = struct.unpack_from(self._order + "II", body, at)
            if kind == _X86_ISA_1_NEEDED and size == 4 and at + 12 <= len(body):
                isa |= int.from_bytes(body[at + 8 : at + 12], "little")
            at += 8 + size
            at += -at % pad
        return isa

    def _needs(
        self, tags: dict[int, int], strings: _Strings
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        if _DT_VERNEED not in tags:
            return
        at, _ = self.offset_of(tags[_DT_VERNEED], "table of needed versions")
        total = 0
        for _ in range(min(tags.get(_DT_VERNEEDNUM, NEEDED), NEEDED)):
            _, count, file, aux, following = self._unpack("HHIII", at, "needed version")
            names: list[str] = []
            place = at + aux
            for _ in range(count):
                total += 1
                if total > VERSIONS:
                    raise _damaged(self._what, f"it needs more than {VERSIONS} versions")
                _, flags, _, name, step = self._unpack("IHHII", place, "needed version")
                if not flags & _VER_FLG_WEAK:
                    names.append(strings.at(name, "needed version"))
                if not step:
                    break
                place += step
            yield strings.at(file, "library of a needed version"), tuple(names)
            if not following:
                break
            at += following

    def _defines(self, tags: dict[int, int], strings: _Strings) -> Iterator[str]:
        if _DT_VERDEF not in tags:
            return
        at, _ = self.offset_of(tags[_DT_VERDEF], "table of defined versions")
        for _ in range(min(tags.get(_DT_VERDEFNUM, VERSIONS), VERSIONS)):
            _, flags, _, _, _, aux, following = self._unpack("HHHHIII", at, "defined version")
            if not flags & _VER_FLG_BASE:  # that one is the file's own name
                name, _ = self._unpack("II", at + aux, "defined version")
                yield strings.at(name, "defined version")
            if not following:
                break
            at += following


class _Strings:
    """The dynamic string table, found when first asked."""

    def __init__(self, elf: _Elf, tags: dict[int, int]) -> None:
        self._elf, self._tags = elf, tags
        self._range: tuple[int, int] | None = None

    def at(self, index: int, where: str) -> str:
        if self._range is None:
            begin, end = self._elf.offset_of(self._tags.get(_DT_STRTAB, 0), "string table")
            self._range = begin, min(end, begin + self._tags.get(_DT_STRSZ, end - begin))
        begin, end = self._range
        return self._elf.string(begin + index, end, where)


def _damaged(what: str, why: str) -> UntrustedError:
    return UntrustedError(f"{what} is a damaged ELF file", why=why, mend=_MEND)

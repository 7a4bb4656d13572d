"""What the Go linker writes into a program: its version, and the modules it was built from.

Both formats (src/debug/buildinfo/buildinfo.go): texts in place since Go 1.18, pointers before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from staunch.errors import UntrustedError
from staunch.formats.binary import EXECUTABLE, LOAD, WRITABLE, Layout, Read

__all__ = ["GoBuild", "GoModule", "find_go"]

MAGIC = b"\xff Go buildinf:"
SEARCHED_BYTES = 8 << 20  # of the data segment; the mark stands at its beginning
TEXT_BYTES = 4 << 20
MODULES = 20_000

_HEAD = 32
_INLINE, _BIG_ENDIAN = 2, 1
_Order = Literal["little", "big"]


@dataclass(frozen=True, slots=True, order=True)
class GoModule:
    """A module of the build; ``version`` is ``(devel)`` where none was known."""

    path: str
    version: str
    sum: str = ""


@dataclass(frozen=True, slots=True)
class GoBuild:
    """``go`` is the toolchain's version without its ``go``; ``modules`` have replacements made."""

    go: str
    path: str
    main: GoModule | None
    modules: tuple[GoModule, ...]
    settings: tuple[tuple[str, str], ...]


def find_go(read: Read, layout: Layout) -> GoBuild | None:
    """What Go left in an ELF file, or None when nothing was.

    Raises:
        UntrustedError: the mark is there, and what it leads to is damaged.
    """
    for start, size in _places(layout):
        data = read(min(size, SEARCHED_BYTES), start)
        at = data.find(MAGIC)
        while at >= 0:
            if (start + at) % 16 == 0 and at + _HEAD <= len(data):
                return _build(read, layout, start + at, data[at : at + _HEAD])
            at = data.find(MAGIC, at + 1)
    return None


def _places(layout: Layout) -> list[tuple[int, int]]:
    section = layout.section(".go.buildinfo")
    if section is not None and section.size:
        return [(section.offset, section.size)]
    return [
        (each.offset, each.size)
        for each in layout.segments
        if each.type == LOAD and each.flags & (WRITABLE | EXECUTABLE) == WRITABLE
    ][:1]


def _build(read: Read, layout: Layout, at: int, head: bytes) -> GoBuild:
    flags = head[15]
    if flags & _INLINE:
        version, after = _varint_text(read, at + _HEAD)
        modules, _ = _varint_text(read, after)
    else:
        width = head[14]
        order: _Order = "big" if flags & _BIG_ENDIAN else "little"
        if width not in (4, 8):
            raise _damaged(f"pointers of {width} bytes")
        version, modules = (
            _pointed(read, layout, int.from_bytes(head[p : p + width], order), width, order)
            for p in (16, 16 + width)
        )
    text = version.decode("utf-8", "replace")
    if not text.startswith(("go", "devel")):
        raise _damaged(f"the version of Go would be {text[:40]!r}")
    marked = len(modules) >= 33 and modules[-17:-16] == b"\n"  # by 16 bytes before and behind
    lines = modules[16:-16] if marked else b""
    return _parse(text.removeprefix("go"), lines.decode("utf-8", "replace"))


def _varint_text(read: Read, at: int) -> tuple[bytes, int]:
    head = read(10, at)
    size = shift = 0
    for index, byte in enumerate(head):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return _text(read, at + index + 1, size), at + index + 1 + size
    raise _damaged("the length of a text has no end")


def _pointed(read: Read, layout: Layout, address: int, width: int, order: _Order) -> bytes:
    """The Go string that a pointer leads to: a pointer and a length."""
    where = layout.offset_of(address)
    head = b"" if where is None else read(2 * width, where)
    if len(head) != 2 * width:
        raise _damaged(f"a pointer to {address:#x} leads nowhere")
    data = int.from_bytes(head[:width], order)
    size = int.from_bytes(head[width:], order)
    if not size:
        return b""
    place = layout.offset_of(data)
    if place is None:
        raise _damaged(f"a text at {data:#x} stands nowhere")
    return _text(read, place, size)


def _text(read: Read, at: int, size: int) -> bytes:
    if size > TEXT_BYTES:
        raise _damaged(f"a text of {size} bytes")
    data = read(size, at)
    if len(data) != size:
        raise _damaged(f"a text of {size} bytes at {at} is cut off, or was not kept")
    return data


def _parse(go: str, text: str) -> GoBuild:
    """Lines of tab-separated fields: path, mod, dep, => and build (runtime/debug, BuildInfo)."""
    path, main = "", None
    modules: list[GoModule] = []
    settings: list[tuple[str, str]] = []
    last = ""
    for line in text.split("\n")[: MODULES * 2]:
        fields = line.split("\t")
        match fields:
            case ["path", name]:
                path = name
            case ["mod", name, version, *rest]:
                main = GoModule(name, version, rest[0] if rest else "")
            case ["dep", name, version, *rest]:
                modules.append(GoModule(name, version, rest[0] if rest else ""))
            case ["=>", name, version, *rest]:
                new = GoModule(name, version, rest[0] if rest else "")
                if last == "mod" and main is not None:
                    main = new
                elif modules:
                    modules[-1] = new
            case ["build", setting]:
                key, _, value = setting.partition("=")
                settings.append((key, value.strip('"')))
            case _:
                pass
        last = fields[0]
    return GoBuild(go, path, main, tuple(modules), tuple(settings))


def _damaged(why: str) -> UntrustedError:
    return UntrustedError(
        "what Go says of this program cannot be read", why=why, mend="build the program again"
    )

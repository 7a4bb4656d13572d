"""What a witness asks of an image: files, symbols, libraries, modules and words that are (not) there.

A look gives what it found and how many places it searched. What could not be read makes it
undecided, never "not found".
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

from staunch.errors import UntrustedError
from staunch.formats.elf import parse_elf
from staunch.formats.elf_symbols import defined_symbols
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Kind
from staunch.model.inventory import FoundPackage
from staunch.model.vex import Look
from staunch.scan.content import Facts, Kept, Lost
from staunch.scan.forward import Forward, Ranges
from staunch.scan.layers import Looker
from staunch.scan.tree import Change, Leaf, Tree, shown

__all__ = ["Tracing", "Undecided"]

_PIECE: Final = limits.MIB
_IN_MEMORY: Final = 32 * limits.MIB
_FILE_BYTES: Final = 16 * limits.GIB
_SHOWN: Final = 20
_INSIDE: Final = ("symbol", "needed", "text")  # looks that read files


@dataclass(frozen=True, slots=True)
class _Trace:
    """What was seen in one file: the looks that found something, and those that could not read."""

    found: frozenset[int] = frozenset()
    faults: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Undecided:
    """A look that has no answer, and why."""

    look: Look
    why: str


class Tracing:
    """Looks into files while an inventory is taken (``scan.layers.Observer``); then it is asked."""

    def __init__(self, looks: Iterable[Look]) -> None:
        """``looks`` are all that will be asked; only files that one of them reaches are read."""
        self._looks = tuple(dict.fromkeys(replace(each, found=(), searched=0) for each in looks))
        self._inside = [(n, each) for n, each in enumerate(self._looks) if each.kind in _INSIDE]
        self._seen: dict[tuple[int, str], _Trace] = {}
        self._traces: dict[int, _Trace] = {}
        self._tree: Tree | None = None
        self._lock = threading.Lock()

    # -- while layers are read

    def looker(self, inner: Looker, layer: int) -> Looker:
        """Looks at each file of a layer for ``inner`` as well. Thread-safe."""
        return _Both(self, inner, layer)

    def layer(self, changes: Iterable[Change]) -> None:
        """Nothing is needed of these."""

    def finish(self, tree: Tree, layers: Sequence[Digest], unowned: Sequence[str]) -> None:
        """Keep what is seen in the finished tree; files that later layers hide do not count."""
        del layers, unowned
        self._tree = tree
        for (layer, path), trace in self._seen.items():
            there = tree.get(path)
            if there is not None and there[1].layer == layer:
                self._traces[id(there[1])] = trace

    def reaching(self, path: str) -> list[tuple[int, Look]]:
        """The looks that read a file of that path."""
        return [(number, look) for number, look in self._inside if _reaches(look.within, path)]

    def trace(
        self, layer: int, path: str, file: Forward, inner: Looker, mode: int
    ) -> Kept | Facts | Lost | None:
        """Read a file once, for both; one at a time, for it may be large."""
        looks = self.reaching(path)
        with self._lock, _spooled(file) as spool:
            self._seen[layer, path] = _trace(spool.pread, spool.size, looks)
            return inner.look(path, mode, Ranges(spool))

    # -- asking

    def ask(self, look: Look, packages: Sequence[FoundPackage]) -> Look | Undecided:
        """The look with what it found in the finished tree."""
        look = replace(look, found=(), searched=0)
        if look not in self._looks or self._tree is None:
            return Undecided(look, "it was not asked for while the image was read")
        if look.kind == "package":
            names = sorted({each.name for each in packages})
            return _answered(look, names, lambda name: fnmatchcase(name, look.pattern))
        if look.kind in _INSIDE:
            return self._inside_files(look, self._tree)
        paths = [path for path, _ in self._tree.leaves()]
        if look.kind == "file":
            return _answered(look, paths, lambda path: _reaches(look.pattern, path))
        form = _module(look.pattern)
        return _answered(look, paths, lambda path: form.fullmatch(path) is not None)

    def _inside_files(self, look: Look, tree: Tree) -> Look | Undecided:
        number = self._looks.index(look)
        found: list[str] = []
        searched = 0
        for path, leaf in tree.leaves():
            if not _is_content(leaf) or not _reaches(look.within, path):
                continue
            trace = self._traces.get(id(leaf))
            if trace is None:
                return Undecided(look, f"{shown(path)} was not read")
            fault = dict(trace.faults).get(number)
            if fault is not None:
                return Undecided(look, f"{shown(path)}: {fault}")
            searched += 1
            if number in trace.found:
                found.append(path)
        return replace(look, found=tuple(map(shown, found[:_SHOWN])), searched=searched)


def _is_content(leaf: Leaf) -> bool:
    return leaf.kind is Kind.FILE and bool(leaf.size) and not leaf.special


class _Both:
    """Gives a file that some look reaches to the tracing and to the inventory's own watch."""

    def __init__(self, tracing: Tracing, inner: Looker, layer: int) -> None:
        self._tracing, self._inner, self._layer = tracing, inner, layer

    def wants(self, path: str, head: bytes) -> bool:
        del path, head
        return True

    def look(self, path: str, mode: int, file: Forward) -> Kept | Facts | Lost | None:
        if not self._tracing.reaching(path):
            return self._inner.look(path, mode, file)
        return self._tracing.trace(self._layer, path, file, self._inner, mode)


def _trace(
    read: Callable[[int, int], bytes], size: int, looks: Sequence[tuple[int, Look]]
) -> _Trace:
    """Look into one file; what is no ELF file has no symbols and links nothing."""
    elf = read(4, 0) == b"\x7fELF"
    found: set[int] = set()
    faults: list[tuple[int, str]] = []
    for number, look in looks:
        try:
            if look.kind == "text":
                hit = _has_text(read, size, look.pattern)
            elif not elf:
                hit = False
            elif look.kind == "symbol":
                hit = bool(defined_symbols(read, size, (look.pattern,)))
            else:
                facts = parse_elf(read, size)
                names = facts.needed if facts else ()
                hit = any(fnmatchcase(each, look.pattern) for each in names)
        except UntrustedError as e:
            faults.append((number, e.why))
            continue
        if hit:
            found.add(number)
    return _Trace(frozenset(found), tuple(faults))


def _has_text(read: Callable[[int, int], bytes], size: int, pattern: str) -> bool:
    """Whether the bytes stand anywhere in the file."""
    needle = pattern.encode()
    return any(needle in read(_PIECE + len(needle), start) for start in range(0, size, _PIECE))


class _Spool:
    """A file at any place: in memory, or where it is large in a nameless file on disk."""

    def __init__(self, file: tempfile.SpooledTemporaryFile[bytes], size: int) -> None:
        self._file, self._size = file, size

    @property
    def size(self) -> int:
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)


@contextmanager
def _spooled(file: Forward) -> Iterator[_Spool]:
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        written = 0
        while written < _FILE_BYTES and (piece := file.read(_PIECE)):
            spool.write(piece)
            written += len(piece)
        yield _Spool(spool, written)


def _answered(look: Look, places: Sequence[str], fits: Callable[[str], bool]) -> Look:
    found = [shown(each) for each in places if fits(each)]
    return replace(look, found=tuple(found[:_SHOWN]), searched=len(places))


def _reaches(pattern: str, path: str) -> bool:
    """Whether a pattern fits a path, written with its leading slash; ``*`` crosses slashes."""
    return not pattern or fnmatchcase("/" + path.removeprefix("./").lstrip("/"), pattern)


def _module(name: str) -> re.Pattern[str]:
    """The paths that would let Python import a module (sources, byte code, extensions, packages).

    Wherever they stand: which folders are on ``sys.path`` is decided when a program runs.
    """
    place = "/".join(re.escape(part) for part in name.split("."))
    folder, slash, last = place.rpartition("/")
    cached = rf"(?:.*/)?{folder}{slash}__pycache__/{last}\.[^/]+\.pyc"
    return re.compile(
        rf"(?:.*/)?{place}(?:\.pyc?|(?:\.[^/]+)?\.so|/__init__\.pyc?|/__pycache__/__init__\.[^/]+\.pyc)|{cached}"
    )

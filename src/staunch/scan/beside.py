"""Looks for secrets and loose permissions while an inventory reads the files anyway.

Secrets of every layer count, also of those that a later layer hides: whoever can pull the image can
read them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from staunch.model import limits
from staunch.model.answer import Exposure
from staunch.model.digest import Digest
from staunch.model.entry import Kind
from staunch.model.inventory import Gap
from staunch.scan.content import Facts, Kept, Lost
from staunch.scan.forward import Forward
from staunch.scan.layers import Looker
from staunch.scan.secrets import FileScan, settle
from staunch.scan.tree import Change, Tree, shown

__all__ = ["Beside"]

_PIECE: Final = 256 * limits.KIB
_MOST = 1000  # secrets of one image


class Beside:
    """One pass over one target; complete after ``finish``."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._found: list[tuple[int, Exposure]] = []
        self._lock = threading.Lock()
        self._modes: dict[str, int] = {}
        self._faults: list[tuple[int, str, str]] = []
        self.secrets: tuple[Exposure, ...] = ()
        self.setuid: tuple[str, ...] = ()
        self.writable: tuple[str, ...] = ()
        self.gaps: tuple[Gap, ...] = ()

    def looker(self, inner: Looker, layer: int) -> Looker:
        """Looks at each file of a layer for ``inner`` and for secrets. Thread-safe."""
        return _Both(self, inner, layer)

    def add(self, layer: int, found: Iterable[Exposure]) -> None:
        """Keep what was found in a layer."""
        with self._lock:
            more = [(layer, each) for each in found]
            room = _MOST - len(self._found)
            self._found += more[:room]
            if len(more) > room:
                self.miss(layer, more[room][1].path, f"over {_MOST} secrets: the rest is not told")

    def miss(self, layer: int, path: str, why: str) -> None:
        """Note a file that was not searched as it should have been."""
        if len(self._faults) < _MOST:
            self._faults.append((layer, path, why))

    def layer(self, changes: Iterable[Change]) -> None:
        """The next layer: the modes of its folders."""
        for change in changes:
            if change.kind is Kind.DIR:
                self._modes[change.path.strip("/")] = change.mode

    def finish(self, tree: Tree, layers: Sequence[Digest], unowned: Sequence[str]) -> None:
        """Judge what was seen in the light of the finished tree.

        Args:
            tree: of all layers.
            layers: their diff_ids; none for a root.
            unowned: paths that no package owns.
        """
        alone = frozenset(unowned)
        there: dict[str, int] = {}
        setuid: list[str] = []
        for path, leaf in tree.leaves():
            there[path] = leaf.layer
            if leaf.kind is Kind.FILE and leaf.mode & 0o6000 and leaf.mode & 0o111:
                setuid.append(shown(path))
        placed: dict[tuple[str, str, str], Exposure] = {}
        packaged: set[str] = set()
        for number, each in sorted(self._found):
            canonical = tree.canonical(each.path) or each.path
            removed = there.get(canonical) != number
            path = shown(canonical)
            if not removed and path not in alone:
                packaged.add(path)
            found = replace(
                each, path=path, removed=removed, layer=layers[number] if layers else None
            )
            placed[path, each.rule, each.hint] = found
        self.gaps = tuple(
            sorted({Gap("secrets", shown(path), why) for _, path, why in self._faults})
        )
        self.secrets = settle(placed.values(), packaged=frozenset(packaged))
        self.setuid = tuple(sorted(setuid))
        self.writable = tuple(
            sorted(
                shown(path)
                for path, mode in self._modes.items()
                if mode & 0o002 and not mode & 0o1000 and tree.is_folder(path)
            )
        )


class _Both:
    """Gives a file to the inventory's own watch, then the same bytes, and the rest, to a scan."""

    def __init__(self, beside: Beside, inner: Looker, layer: int) -> None:
        self._beside, self._inner, self._layer = beside, inner, layer

    def wants(self, path: str, head: bytes) -> bool:
        del path, head
        return True

    def look(self, path: str, mode: int, file: Forward) -> Kept | Facts | Lost | None:
        scan = FileScan(path.removeprefix("./").lstrip("/"))
        tee = _Tee(file, scan)
        content = self._inner.look(path, mode, tee)
        while scan.wants_more and file.at < file.size and tee.read(_PIECE):
            pass
        found = scan.exposures()
        if scan.fault and tee.size > scan.fed:
            self._beside.miss(self._layer, path, scan.fault)
        if found:
            self._beside.add(self._layer, found)
        return content


class _Tee:
    """A file whose bytes, as they are read, go to a scan as well."""

    def __init__(self, file: Forward, scan: FileScan) -> None:
        self._file, self._scan = file, scan
        self.size = file.size

    @property
    def at(self) -> int:
        return self._file.at

    def peek(self) -> bytes:
        return self._file.peek()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._scan.feed(data)
        return data

    def skip(self, size: int) -> None:
        while size > 0 and self._scan.wants_more:
            data = self.read(min(size, _PIECE))
            if not data:
                return
            size -= len(data)
        self._file.skip(size)

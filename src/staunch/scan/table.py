"""Read a layer by its table of contents: of its bytes, only those of files that matter."""

from __future__ import annotations

from collections.abc import Iterable

from staunch.formats.toc import Toc, TocEntry, TocFile, read_toc
from staunch.model import limits
from staunch.model.image import Descriptor
from staunch.ports import Blob
from staunch.scan.forward import Forward, Ranges
from staunch.scan.layers import LayerContents
from staunch.scan.tree import Change
from staunch.scan.watch import Watch, rule_of

__all__ = ["read_by_table"]

_GAP = 4 * limits.KIB  # bytes fetched for nothing, rather than ask twice
_SPAN = limits.MIB  # of one request


def read_by_table(layer: Descriptor, blob: Blob, *, watch: Watch) -> LayerContents:
    """What stands in a layer that ``has_toc``; databases and metadata are fetched, each checked.

    Programs, archives and models are deferred (``content.Deferred``).

    Raises:
        UntrustedError: the table, or a chunk, is not what was promised.
        UndecidedError: the registry did not answer.
    """
    toc = read_toc(layer, blob)
    # in the order of their bytes, so that one answer serves several files
    order = sorted(range(len(toc.entries)), key=lambda n: _place(toc.entries[n]))
    spans = _Spans(blob, _spans(toc, order))
    changes: dict[int, Change] = {}
    for number in order:
        changes[number] = _change(toc, toc.entries[number], spans, watch)
    return LayerContents(tuple(changes[number] for number in range(len(toc.entries))))


def _change(toc: Toc, entry: TocEntry, blob: Blob, watch: Watch) -> Change:
    def file() -> Forward:
        return Ranges(TocFile(blob, toc.format, entry))

    content = watch.look_by_name(entry.path, entry.mode, file) if entry.size else None
    return Change(
        entry.path, entry.kind, entry.mode, entry.size, entry.link, entry.special, content
    )


def _place(entry: TocEntry) -> int:
    return entry.chunks[0].offset if entry.chunks else -1


def _spans(toc: Toc, order: Iterable[int]) -> list[tuple[int, int]]:
    """Ranges of the layer that hold what will be asked for, close ones joined."""
    spans: list[tuple[int, int]] = []
    for number in order:
        entry = toc.entries[number]
        if rule_of(entry.path) is None:
            continue
        for chunk in entry.chunks:
            if spans and chunk.offset - spans[-1][1] <= _GAP and chunk.end - spans[-1][0] <= _SPAN:
                spans[-1] = spans[-1][0], max(spans[-1][1], chunk.end)
            else:
                spans.append((chunk.offset, chunk.end))
    return spans


class _Spans:
    """A blob that fetches the whole span a range lies in, and keeps the last one."""

    def __init__(self, blob: Blob, spans: list[tuple[int, int]]) -> None:
        self._blob, self._spans = blob, spans
        self._next = 0
        self._start, self._data = 0, b""

    @property
    def size(self) -> int:
        return self._blob.size

    def pread(self, size: int, offset: int) -> bytes:
        end = offset + size
        if not self._start <= offset < end <= self._start + len(self._data):
            while self._next < len(self._spans) and self._spans[self._next][1] < end:
                self._next += 1
            span = self._spans[self._next] if self._next < len(self._spans) else (0, 0)
            if not span[0] <= offset < end <= span[1]:
                return self._blob.pread(size, offset)
            self._start, self._data = span[0], self._blob.pread(span[1] - span[0], span[0])
        return self._data[offset - self._start : end - self._start]

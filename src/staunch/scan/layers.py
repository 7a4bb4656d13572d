"""Read a layer's tar stream once: what stands in it, and of its files what a reader asks for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from staunch.errors import UntrustedError
from staunch.formats.tar import read_tar
from staunch.model.digest import Digest
from staunch.model.entry import Kind
from staunch.model.inventory import Gap
from staunch.scan.content import Facts, Kept, Lost
from staunch.scan.forward import Forward, Pieces
from staunch.scan.tree import Change, Tree

__all__ = ["LayerContents", "Looker", "Observer", "ahead", "read_layer"]

_AHEAD = 8  # pieces of at most 1 MiB


class Looker(Protocol):
    """Looks at each file once, as it passes."""

    def wants(self, path: str, head: bytes) -> bool:
        """Whether it wants to look at a file; ``head`` is up to four of its first bytes."""
        ...

    def look(self, path: str, mode: int, file: Forward) -> Kept | Facts | Lost | None:
        """What is to be remembered of a file."""
        ...


class Observer(Protocol):
    """Sees every file in the same pass as an inventory, and the finished tree."""

    def looker(self, inner: Looker, layer: int) -> Looker:
        """Looks at each file of a layer for ``inner`` as well. Thread-safe."""
        ...

    def layer(self, changes: Iterable[Change]) -> None:
        """The next layer, base first, as it was read."""
        ...

    def finish(self, tree: Tree, layers: Sequence[Digest], unowned: Sequence[str]) -> None:
        """All layers are read; ``unowned`` are paths that no package owns."""
        ...


@dataclass(frozen=True, slots=True)
class LayerContents:
    """One layer's members in order, and what could not be read of it."""

    changes: tuple[Change, ...]
    gaps: tuple[Gap, ...] = ()


def read_layer(chunks: Iterator[bytes], *, name: str, watch: Looker) -> LayerContents:
    """Read a layer to its end, so that whoever made the stream can check it.

    Args:
        chunks: the layer's tar, in pieces.
        name: how gaps call it.
        watch: chooses what is kept of files.

    Raises:
        StaunchError: whatever ``chunks`` raise. A layer that is no proper tar is a gap instead;
            the members before the fault are given.
    """
    changes: list[Change] = []
    stream = _Marked(chunks)
    try:
        for member in read_tar(stream, what=name, foreign=True):
            content = None
            if member.kind is Kind.FILE and member.size and watch.wants(member.name, member.peek()):
                content = watch.look(member.name, member.mode, Pieces(member.pieces(), member.size))
            changes.append(
                Change(
                    member.name,
                    member.kind,
                    member.mode,
                    member.size,
                    member.link,
                    member.special,
                    content,
                )
            )
    except UntrustedError as fault:
        if stream.failed:
            raise
        for _ in stream:
            pass
        return LayerContents(tuple(changes), (Gap("layer", name, fault.why),))
    return LayerContents(tuple(changes))


class _Marked:
    """Tells a fault of the stream itself from one of what is in it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.failed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except Exception:
            self.failed = True
            raise


def ahead(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """The same pieces, made by a thread of their own up to eight pieces ahead.

    Hashing and inflating let go of the interpreter, so they run beside whoever reads here.
    """
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                pieces.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for chunk in chunks:
                if not put(chunk):
                    return
        except BaseException as fault:  # noqa: BLE001  handed on to the reader, whatever it is
            put(fault)
        else:
            put(None)

    thread = threading.Thread(target=make, name="staunch-layer", daemon=True)
    thread.start()
    try:
        while True:
            item = pieces.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()

"""Writing layers: segments joined as they lie in the store (DESIGN.md §6).

Assembling a layer is reading, hashing and writing; one whose segment keys and directories are known
is not even read.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from staunch.assemble.layers import LayerPlan
from staunch.assemble.segment import Block, SegmentPlan, SegmentRecord, blocks
from staunch.assemble.segment_store import facts, find_facts, find_segment
from staunch.assemble.segment_write import write_segment
from staunch.assemble.workers import Workers
from staunch.errors import LostError, SpecError
from staunch.formats import chunked, estargz, tarheader
from staunch.formats.encoder import Encoder
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Member
from staunch.model.image import Descriptor, Layer
from staunch.ports import Blob, PartReader, Pending, Progress, Store

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["WrittenLayers", "write_layer", "write_layers"]

_RECORD = "layer"
_GROUP_BYTES = limits.BLOCK  # unpacked bytes inflated by one piece of work
_IN_FLIGHT_BYTES = 32 * limits.MIB
_LANDMARK = b"\x0f" + tarheader.padding(1)  # eStargz: the payload of its landmark file

T = TypeVar("T")
ReaderOf = Callable[[str], PartReader]


@dataclass(frozen=True, slots=True)
class WrittenLayers:
    """Finished layers in order; how many segments could be used as they were, and could not.

    ``elf`` holds what is known of ELF files, by path; a Debian package's stand in its part, too.
    """

    layers: tuple[Layer, ...]
    hits: int
    misses: int
    elf: dict[str, ElfFacts]


def write_layer(
    plan: LayerPlan,
    reader_of: ReaderOf,
    store: Store,
    encoder: Encoder,
    *,
    threads: int = 2,
    progress: Progress | None = None,
) -> Layer:
    """One layer alone; see ``write_layers``."""
    (layer,) = write_layers(
        (plan,), reader_of, store, encoder, threads=threads, progress=progress
    ).layers
    return layer


def write_layers(
    plans: Sequence[LayerPlan],
    reader_of: ReaderOf,
    store: Store,
    encoder: Encoder,
    *,
    threads: int = 2,
    progress: Progress | None = None,
    beside: Callable[[Mapping[str, ElfFacts]], None] | None = None,
) -> WrittenLayers:
    """Write what the store lacks of these layers and give them all.

    Args:
        plans: made for this encoder.
        reader_of: gives the reader of a part's archive; called in worker threads, and only for
            segments that must be written and hold members of an archive.
        store: holds segments and layers.
        encoder: of all layers.
        threads: bounds work that runs at once; the bytes are the same for every number.
        progress: is told of payload bytes, one piece of work per layer.
        beside: is called with ``WrittenLayers.elf`` once every segment is there, while other
            threads still join layers; what it raises ends the work.

    Raises:
        UntrustedError: a payload is not what its package promised. Nothing of it stays.
        HostError: disk full, no permission.
    """
    with _Run(reader_of, store, encoder, threads, progress) as run:
        return run.all(plans, beside)


@dataclass(slots=True)
class _Todo:
    """A layer that has to be assembled; ``state`` is its diff_id so far."""

    plan: LayerPlan
    state: _Hash
    tapped: bool = False  # the first segment is already in `state`


@dataclass(frozen=True, slots=True)
class _Missing:
    """A segment to write; ``todo`` is the layer whose stream begins with it, if any."""

    plan: SegmentPlan
    layer: str
    todo: _Todo | None


class _Run:
    """One call of ``write_layers``."""

    def __init__(
        self,
        reader_of: ReaderOf,
        store: Store,
        encoder: Encoder,
        threads: int,
        progress: Progress | None,
    ) -> None:
        self._reader_of, self._store, self._encoder = reader_of, store, encoder
        self._progress = progress
        self._elf: dict[str, ElfFacts] = {}
        self._workers = Workers(threads)
        self._tasks = ThreadPoolExecutor(threads, "staunch-segment") if threads > 1 else None

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.stop()
        if self._tasks is not None:
            self._tasks.shutdown(cancel_futures=True)
        self._workers.close()

    def all(
        self,
        plans: Sequence[LayerPlan],
        beside: Callable[[Mapping[str, ElfFacts]], None] | None,
    ) -> WrittenLayers:
        """Look up, write missing segments (largest first), then assemble missing layers."""
        known = [self._known(plan) for plan in plans]
        todo = {
            plan.key: _Todo(plan, _primed(plan, self._encoder))
            for plan, layer in zip(plans, known, strict=True)
            if layer is None
        }
        for each in todo.values():
            self._start(each.plan)
        missing = self._missing(plans, todo)
        written = {each.plan.key: self._begin(partial(self._segment, each)) for each in missing}
        # queued behind all segments, so none of them can wait for a thread that waits for it
        made = {
            each.plan.key: self._begin(partial(self._assemble, each, waits))
            for waits, each in _soonest(todo.values(), missing, written)
        }
        try:
            self._settled(list(written.values()))
            for new in missing:
                self._elf |= facts(new.plan, self._store)
            if beside is not None:
                beside(self._elf)
        except BaseException:
            self._workers.stop()
            raise
        self._settled(list(made.values()))
        by_key = {key: future.result() for key, future in made.items()}
        layers = tuple(
            by_key[plan.key] if layer is None else layer
            for plan, layer in zip(plans, known, strict=True)
        )
        total = sum(len(plan.segments) for plan in plans)
        return WrittenLayers(layers, total - len(missing), len(missing), self._elf)

    def _missing(self, plans: Sequence[LayerPlan], todo: dict[str, _Todo]) -> list[_Missing]:
        """Segments to write, largest first; those at hand are noted with their layer."""
        missing: dict[str, _Missing] = {}
        for plan in plans:
            each = todo.get(plan.key)
            for number, segment in enumerate(plan.segments):
                if segment.key in missing:
                    continue
                known = find_facts(segment, self._store)
                # segments are opened again when joined: hundreds of open files would be too many
                if known is not None and (
                    each is None or find_segment(segment, self._store) is not None
                ):
                    self._elf |= known
                else:
                    missing[segment.key] = _Missing(
                        segment, plan.name, each if number == 0 else None
                    )
        return sorted(missing.values(), key=lambda each: (-each.plan.raw_size, each.plan.key))

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` on the pool, at most ``threads`` at once, or now."""
        if self._tasks is not None:
            return self._tasks.submit(work)
        done: Future[T] = Future()
        done.set_result(work())
        return done

    def _settled(self, futures: Sequence[Future[Any]]) -> None:
        """Wait for all; the first failure ends the rest."""
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done() and not future.cancelled():
                    future.result()
            for future in futures:
                future.result()
        except BaseException:
            self._workers.stop()
            for future in futures:
                future.cancel()
            raise

    # -- pieces of work

    def _known(self, plan: LayerPlan) -> Layer | None:
        """The layer as it was made before, if its blob still stands."""
        data = self._store.record(_RECORD, plan.key)
        layer = None if data is None else _parse_layer(plan.name, data)
        if layer is None:
            return None
        blob = self._store.standing(layer.descriptor.digest, layer.descriptor.size)
        return None if blob is None else layer

    def _segment(self, missing: _Missing) -> None:
        """Write one segment; the first of a layer carries the layer's diff_id on."""
        segment, todo = missing.plan, missing.todo
        members = any(isinstance(each.body, Member) for each in segment.entries)
        reader = self._reader_of(segment.owner) if members else None
        state = todo.state.copy() if todo is not None else None
        record = write_segment(
            segment,
            reader,
            self._store,
            self._encoder,
            self._workers,
            tap=state.update if state is not None else None,
            advance=partial(self._advance, missing.layer),
        )
        if todo is not None and state is not None and record.in_order:
            todo.state, todo.tapped = state, True

    def _assemble(self, todo: _Todo, waits: Sequence[Future[None]]) -> Layer:
        """Join directories, segments and end mark; hash, write and remember the layer.

        ``waits`` are those of its segments that are being written.
        """
        for each in waits:
            each.result()
        plan = todo.plan
        with self._store.create() as pending:
            join = _Join(todo, pending, self._written, self._encoder, self._workers)
            raw_size = join.run()
            annotations: tuple[tuple[str, str], ...] = ()
            if self._encoder.name == "zstd":
                end = chunked.trailer(join.rows, pending.size, self._encoder.compress)
                pending.write(end.data)
                annotations = end.annotations
            elif self._encoder.name == "estargz":
                annotations = ((estargz.TOC_DIGEST, join.toc), (estargz.SIZE, str(raw_size)))
            size = pending.size
        digest = self._store.digest_of(pending)
        layer = Layer(
            plan.name,
            Descriptor(self._encoder.media_type, digest, size, annotations),
            Digest(join.diff_id()),
            raw_size,
        )
        self._store.put_record(_RECORD, plan.key, _dump_layer(layer))
        self._finish(plan.name)
        return layer

    def _written(self, segment: SegmentPlan) -> tuple[Blob, SegmentRecord]:
        found = find_segment(segment, self._store)
        if found is None:
            raise LostError(
                f"the segment of {segment.owner} is gone from the store",
                why="it was removed or damaged while the build ran",
                mend="build again; if it persists, run `staunch store verify` and check the disk",
            )
        return found

    # -- progress

    def _start(self, plan: LayerPlan) -> None:
        if self._progress is not None:
            total = sum(each.size for segment in plan.segments for each in segment.entries)
            self._progress.start(f"layer:{plan.name}", f"layer {plan.name}", total)

    def _finish(self, layer: str) -> None:
        if self._progress is not None:
            self._progress.finish(f"layer:{layer}")

    def _advance(self, layer: str, amount: int) -> None:
        if self._progress is not None:
            self._progress.advance(f"layer:{layer}", amount)


def _soonest(
    todo: Iterable[_Todo], missing: Sequence[_Missing], written: Mapping[str, Future[None]]
) -> list[tuple[list[Future[None]], _Todo]]:
    """Layers with what they wait for; first those whose segments were begun last, being small."""
    begun = {each.plan.key: number for number, each in enumerate(missing)}

    def first(each: _Todo) -> int:
        return min((begun[s.key] for s in each.plan.segments if s.key in begun), default=len(begun))

    return [
        ([written[s.key] for s in each.plan.segments if s.key in written], each)
        for each in sorted(todo, key=first, reverse=True)
    ]


def _primed(plan: LayerPlan, encoder: Encoder) -> _Hash:
    """The diff_id's state after the layer's directories (eStargz: and its landmark)."""
    state = hashlib.sha256()
    for entry in plan.directories:
        state.update(tarheader.header(entry))
    if encoder.name == "estargz":
        state.update(tarheader.header(estargz.LANDMARK) + _LANDMARK)
    return state


class _Join:
    """Writes one layer's frames in order, inflating them for the diff_id where that is needed."""

    def __init__(
        self,
        todo: _Todo,
        pending: Pending,
        opened: Callable[[SegmentPlan], tuple[Blob, SegmentRecord]],
        encoder: Encoder,
        workers: Workers,
    ) -> None:
        self._todo, self._pending, self._opened = todo, pending, opened
        self._encoder, self._workers = encoder, workers
        self._state = todo.state
        self._queue: deque[tuple[int, Future[bytes]]] = deque()
        self._in_flight = 0
        self.rows: list[chunked.Row] = []
        self.toc = ""  # digest of the table of contents, once it is written (eStargz)

    def diff_id(self) -> str:
        return self._state.hexdigest()

    def run(self) -> int:
        """Write everything up to the end mark; gives the uncompressed size."""
        plan = self._todo.plan
        raw_size = self._directories(plan.directories)
        for number, segment in enumerate(plan.segments):
            blob, record = self._opened(segment)
            self._segment(segment, blob, record, hashed=number == 0 and self._todo.tapped)
            raw_size += segment.raw_size
        self._drain(-1)
        return raw_size + self._end()

    def _end(self) -> int:
        if self._encoder.name != "estargz":
            self._pending.write(self._encoder.compress(tarheader.END))
            self._state.update(tarheader.END)
            return len(tarheader.END)
        table = estargz.toc(self.rows)
        self.toc = str(Digest.of(table))
        tar, member = estargz.closing(table, self._encoder.compress)
        self._state.update(tar)
        self._pending.write(member + estargz.footer(self._pending.size))
        return len(tar)

    def _directories(self, entries: Sequence[Entry]) -> int:
        headers = [tarheader.header(entry) for entry in entries]
        self.rows.extend(map(chunked.Row, entries, headers))
        landmark = self._encoder.name == "estargz"
        if landmark:
            headers.append(tarheader.header(estargz.LANDMARK))
        data = b"".join(headers)
        for at in range(0, len(data), limits.BLOCK):
            self._pending.write(self._encoder.compress(data[at : at + limits.BLOCK]))
        if not landmark:
            return len(data)
        start = self._pending.size
        self._pending.write(self._encoder.compress(_LANDMARK))
        place = chunked.Payload(start, self._pending.size, 0)
        self.rows.append(chunked.Row(estargz.LANDMARK, headers[-1], place))
        return len(data) + len(_LANDMARK)

    def _segment(
        self, plan: SegmentPlan, blob: Blob, record: SegmentRecord, *, hashed: bool
    ) -> None:
        cut = blocks(plan)
        where = [0] * len(cut)
        for group in _groups(cut, record):
            start = record.frames[group[0]][0]
            last = record.frames[group[-1]]
            data = blob.pread(last[0] + last[1] - start, start)
            for index in group:
                where[index] = self._pending.size + record.frames[index][0] - start
            self._pending.write(data)
            if hashed:
                continue
            pieces = [
                (record.frames[index][0] - start, record.frames[index][1], cut[index].raw_size)
                for index in group
            ]
            size = sum(raw_size for _, _, raw_size in pieces)
            self._queue.append(
                (size, self._workers.submit(partial(_inflate, self._encoder, data, pieces)))
            )
            self._in_flight += size
            self._drain(_IN_FLIGHT_BYTES)
        self.rows.extend(_rows(plan, cut, record, where))

    def _drain(self, limit: int) -> None:
        while self._queue and (self._in_flight > limit or self._queue[0][1].done()):
            size, future = self._queue.popleft()
            self._in_flight -= size
            self._state.update(future.result())


def _inflate(encoder: Encoder, data: bytes, pieces: Sequence[tuple[int, int, int]]) -> bytes:
    view = memoryview(data)
    return b"".join(encoder.decompress(view[at : at + size], raw) for at, size, raw in pieces)


def _groups(cut: Sequence[Block], record: SegmentRecord) -> Iterator[list[int]]:
    """Runs of blocks whose frames lie one behind the other, some MiB at a time."""
    group: list[int] = []
    size = end = 0
    for index, block in enumerate(cut):
        offset, length = record.frames[index]
        if group and (offset != end or size + block.raw_size > _GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(index)
        size += block.raw_size
        end = offset + length
    if group:
        yield group


def _rows(
    plan: SegmentPlan, cut: Sequence[Block], record: SegmentRecord, where: Sequence[int]
) -> Iterator[chunked.Row]:
    """The segment's entries with the places of their payloads in the layer."""
    frames: dict[int, list[int]] = {}
    for index, block in enumerate(cut):
        if block.entry >= 0:
            frames.setdefault(block.entry, []).append(index)
    for number, (entry, header) in enumerate(zip(plan.entries, plan.headers, strict=True)):
        indexes = frames.get(number)
        if indexes is None:
            yield chunked.Row(entry, header)
            continue
        last = indexes[-1]
        chunks: tuple[chunked.Chunk, ...] = ()
        if len(indexes) > 1:
            chunks = tuple(
                chunked.Chunk(where[index], cut[index].start, cut[index].size, digest)
                for index, digest in zip(indexes, record.chunks[number], strict=True)
            )
        yield chunked.Row(
            entry,
            header,
            chunked.Payload(
                where[indexes[0]],
                where[last] + record.frames[last][1],
                record.crc64[number],
                chunks,
            ),
        )


def _dump_layer(layer: Layer) -> bytes:
    document = {
        "media_type": layer.descriptor.media_type,
        "digest": layer.descriptor.digest.hex,
        "size": layer.descriptor.size,
        "annotations": layer.descriptor.annotations,
        "diff_id": layer.diff_id.hex,
        "raw_size": layer.raw_size,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _parse_layer(name: str, data: bytes) -> Layer | None:
    try:
        document = json.loads(data)
        return Layer(
            name,
            Descriptor(
                str(document["media_type"]),
                Digest.from_hex(document["digest"]),
                int(document["size"]),
                tuple((str(key), str(value)) for key, value in document["annotations"]),
            ),
            Digest.from_hex(document["diff_id"]),
            int(document["raw_size"]),
        )
    except (ValueError, KeyError, TypeError, SpecError, RecursionError):
        return None

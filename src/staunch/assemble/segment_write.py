"""Writing a segment: one pass over the part's archive, checked, compressed and hashed on the way.

The reader's thread only inflates and cuts; compressing runs on the workers, and so does what must
see the bytes in order (content digests of large payloads, the layer's diff_id), on a lane.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from fastcrc import crc64

from staunch.assemble.segment import Block, SegmentPlan, SegmentRecord, bad_plan, blocks
from staunch.assemble.segment_store import KIND, put_facts, write_record
from staunch.assemble.workers import Lane, Workers
from staunch.errors import LostError, UntrustedError
from staunch.formats.elf import parse_elf
from staunch.formats.encoder import Encoder
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Inline, Kind, Member, Slice
from staunch.ports import Blob, PartReader, Pending, Store

__all__ = ["write_segment"]

BATCH_BYTES = 512 * limits.KIB  # small blocks travel to the workers together
BATCH_BLOCKS = 128
IN_FLIGHT_BYTES = 32 * limits.MIB  # raw bytes of one segment between reader and disk
_PIECE = limits.MIB
_ELF_MAGIC = b"\x7fELF"
_UNSENT, _SENT = -1, -2  # in place of a frame's offset, while it has none


def write_segment(
    plan: SegmentPlan,
    reader: PartReader | None,
    store: Store,
    encoder: Encoder,
    workers: Workers,
    *,
    tap: Callable[[bytes], None] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> SegmentRecord:
    """Read, check, compress and store a segment, in one pass over its archive.

    Args:
        plan: what to write.
        reader: of the part's archive; None when no entry has a ``Member`` body.
        store: keeps the segment.
        encoder: the one the plan was made for.
        workers: compress and hash.
        tap: is given the uncompressed stream, in order; worthless unless the record says
            ``in_order``.
        advance: is told of payload bytes done.

    Raises:
        UntrustedError: a payload is not what its entry promised (both values named), or missing.
    """
    with store.create_file(KIND, plan.key) as pending:
        writer = _Writer(plan, pending, encoder, workers, tap, advance)
        for number, pieces in _payloads(plan, reader, store):
            writer.payload(number, pieces)
        record = writer.finish()
        found = writer.facts()
        write_record(record, pending)
    put_facts(plan.key, found, store)
    return record


def _payloads(
    plan: SegmentPlan, reader: PartReader | None, store: Store
) -> Iterator[tuple[int, Iterable[bytes]]]:
    """Number and pieces of each file's payload: made ones first, then as the archive gives them."""
    wanted: dict[str, int] = {}
    opened: dict[Digest, Blob] = {}
    for number, entry in enumerate(plan.entries):
        if entry.kind is not Kind.FILE:
            continue
        match entry.body:
            case Inline(data):
                yield number, (data,)
            case Slice(digest, offset):
                if digest not in opened:
                    opened[digest] = _open(entry, digest, store)
                yield number, _slice(entry, opened[digest], offset)
            case Member(name):
                wanted[name] = number
            case None:
                raise bad_plan(plan.owner, f"{entry.path} has no content")
    if not wanted:
        return
    if reader is None:
        raise bad_plan(plan.owner, "its archive is not at hand")
    missing = set(wanted)
    for name, pieces in reader.payloads(list(wanted)):
        if name not in missing:
            raise _untrusted(plan.owner, name, "wanted it once", "the archive gives it twice")
        missing.discard(name)
        yield wanted[name], pieces
    if missing:
        raise _untrusted(plan.owner, min(missing), "wanted a member", "the archive has none")


def _open(entry: Entry, digest: Digest, store: Store) -> Blob:
    blob = store.standing(digest)
    if blob is None:
        raise LostError(
            f"{entry.path} is gone from the store",
            why=f"its blob {digest} was removed or damaged",
            mend="build again",
        )
    return blob


def _slice(entry: Entry, blob: Blob, start: int) -> Iterator[bytes]:
    for offset in range(0, entry.size, _PIECE):
        yield blob.pread(min(_PIECE, entry.size - offset), start + offset)


@dataclass(frozen=True, slots=True)
class _Job:
    """One block on its way: what to compress, and what to learn of its payload."""

    index: int
    payload: bytes
    block: Block
    entry: Entry | None  # set for a payload of a single block: check and describe it here
    large: _Large | None  # set for a block of a larger payload
    tapped: bool


class _Large:
    """What runs over a payload of several blocks; fed in order, on the lane."""

    def __init__(self) -> None:
        self.state, self.crc = hashlib.sha256(), 0

    def update(self, payload: bytes) -> None:
        self.state.update(payload)
        self.crc = crc64.go_iso(payload, self.crc)


@dataclass(frozen=True, slots=True)
class _Done:
    index: int
    frame: bytes
    chunk: str
    crc64: int
    facts: ElfFacts | None


class _Writer:
    """Carries one segment from payloads to frames."""

    def __init__(
        self,
        plan: SegmentPlan,
        pending: Pending,
        encoder: Encoder,
        workers: Workers,
        tap: Callable[[bytes], None] | None,
        advance: Callable[[int], None],
    ) -> None:
        self._plan, self._pending = plan, pending
        self._encoder, self._workers = encoder, workers
        self._tap, self._advance = tap, advance
        self._blocks = blocks(plan)
        self._first = {
            block.entry: index
            for index, block in enumerate(self._blocks)
            if block.entry >= 0 and block.start == 0
        }
        self._frames: list[tuple[int, int]] = [(_UNSENT, 0)] * len(self._blocks)
        self._crc64: dict[int, int] = {}
        self._chunks: dict[int, list[str]] = {}
        self._facts: dict[str, ElfFacts] = {}
        self._large_elf: list[int] = []
        self._next = 0
        self._in_order = True
        self._batch: list[_Job] = []
        self._batch_bytes = 0
        self._lane = Lane(workers)
        self._queue: deque[tuple[int, Future[list[_Done]], Future[None] | None]] = deque()
        self._in_flight = 0

    def payload(self, number: int, pieces: Iterable[bytes]) -> None:
        """Take one file's content."""
        entry = self._plan.entries[number]
        limited = self._limited(entry, pieces)
        if entry.size == 0:
            self._check(entry, b"".join(limited))
        elif entry.size <= limits.BLOCK:
            data = b"".join(limited)
            if len(data) != entry.size:
                raise self._short(entry, len(data))
            self._emit(self._first[number], data, entry=entry)
        else:
            self._large(number, entry, limited)
        self._advance(entry.size)

    def _large(self, number: int, entry: Entry, pieces: Iterator[bytes]) -> None:
        """A payload of several blocks: none of them is checked alone, so the lane does it."""
        large, size = _Large(), 0
        index = self._first[number]
        for payload in _regroup(pieces, limits.BLOCK):
            if size == 0 and payload[:4] == _ELF_MAGIC:
                self._large_elf.append(number)
            size += len(payload)
            self._emit(index, payload, large=large)
            index += 1
        if size != entry.size:
            raise self._short(entry, size)
        self._flush()
        self._queue.append(
            (
                0,
                self._workers.submit(list),
                self._lane.submit(lambda: self._compare_large(number, entry, large)),
            )
        )

    def _compare_large(self, number: int, entry: Entry, large: _Large) -> None:
        _compare(self._plan.owner, entry, large.state.hexdigest())
        self._crc64[number] = large.crc

    def _limited(self, entry: Entry, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, as long as they stay within what was promised."""
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > entry.size:
                raise _untrusted(
                    self._plan.owner, entry.path, f"{entry.size} bytes", f"{size} bytes or more"
                )
            yield piece

    def _short(self, entry: Entry, size: int) -> UntrustedError:
        return _untrusted(self._plan.owner, entry.path, f"{entry.size} bytes", f"{size} bytes")

    def _check(self, entry: Entry, data: bytes) -> None:
        _compare(self._plan.owner, entry, hashlib.sha256(data).hexdigest())

    def _emit(
        self, index: int, payload: bytes, *, entry: Entry | None = None, large: _Large | None = None
    ) -> None:
        """Send block ``index`` on, after the header blocks that stand before it."""
        while (
            self._next < index
            and self._blocks[self._next].entry < 0
            and self._frames[self._next][0] == _UNSENT
        ):
            self._send(self._next)
        if index != self._next:
            self._in_order = False
        self._send(index, payload, entry, large)

    def _send(
        self,
        index: int,
        payload: bytes = b"",
        entry: Entry | None = None,
        large: _Large | None = None,
    ) -> None:
        block = self._blocks[index]
        tapped = self._tap is not None and self._in_order
        self._frames[index] = (_SENT, 0)
        self._next = index + 1
        self._batch.append(_Job(index, payload, block, entry, large, tapped))
        self._batch_bytes += block.raw_size
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_BLOCKS:
            self._flush()

    def _flush(self) -> None:
        if not self._batch:
            return
        batch, size = self._batch, self._batch_bytes
        self._batch, self._batch_bytes = [], 0
        ordered = None
        if any(job.tapped or job.large is not None for job in batch):
            ordered = self._lane.submit(partial(self._in_turn, batch))
        self._queue.append((size, self._workers.submit(partial(self._work, batch)), ordered))
        self._in_flight += size
        self._drain(IN_FLIGHT_BYTES)

    def _in_turn(self, batch: list[_Job]) -> None:
        """On the lane: what must see the bytes in their order."""
        for job in batch:
            if job.large is not None:
                job.large.update(job.payload)
            if job.tapped and self._tap is not None:
                self._tap(job.payload)
                self._tap(job.block.tail)

    def _drain(self, limit: int) -> None:
        """Write finished frames; wait while more than ``limit`` raw bytes are under way."""
        while self._queue and (self._in_flight > limit or self._is_done(*self._queue[0][1:])):
            size, future, ordered = self._queue.popleft()
            self._in_flight -= size
            for done in future.result():
                self._write(done)
            if ordered is not None:
                ordered.result()

    @staticmethod
    def _is_done(future: Future[list[_Done]], ordered: Future[None] | None) -> bool:
        return future.done() and (ordered is None or ordered.done())

    def _write(self, done: _Done) -> None:
        self._frames[done.index] = (self._pending.size, len(done.frame))
        self._pending.write(done.frame)
        block = self._blocks[done.index]
        if block.entry < 0:
            return
        if done.chunk:
            self._chunks.setdefault(block.entry, []).append(done.chunk)
        else:
            self._crc64[block.entry] = done.crc64
        if done.facts is not None:
            self._facts[self._plan.entries[block.entry].path] = done.facts

    def _work(self, batch: list[_Job]) -> list[_Done]:
        """In a worker: compress; check and describe payloads of a single block."""
        return [self._one(job) for job in batch]

    def _one(self, job: _Job) -> _Done:
        found: ElfFacts | None = None
        crc, chunk = 0, ""
        payload = job.payload
        if job.entry is not None:
            self._check(job.entry, payload)
            crc = crc64.go_iso(payload)
            if payload[:4] == _ELF_MAGIC:
                found = parse_elf(
                    lambda size, offset: payload[offset : offset + size],
                    len(payload),
                    what=job.entry.path,
                )
        elif payload:
            chunk = hashlib.sha256(payload).hexdigest()
        frame = self._encoder.compress(payload + job.block.tail if job.block.tail else payload)
        return _Done(job.index, frame, chunk, crc, found)

    def finish(self) -> SegmentRecord:
        """Send what is left, wait for all, and tell where everything is."""
        for index, block in enumerate(self._blocks):
            if block.entry < 0 and self._frames[index][0] == _UNSENT:
                self._in_order = self._in_order and index == self._next
                self._send(index)
        self._flush()
        self._drain(-1)
        return SegmentRecord(
            tuple(self._frames),
            dict(sorted(self._crc64.items())),
            {number: tuple(self._chunks[number]) for number in sorted(self._chunks)},
            self._in_order,
        )

    def facts(self) -> dict[str, ElfFacts]:
        """Facts of every ELF payload; large ones are read back through their frames."""
        for number in self._large_elf:
            entry = self._plan.entries[number]
            view = _Frames(self._pending, self._encoder, self._blocks, self._frames)
            read = partial(view.read, self._first[number])
            found = parse_elf(read, entry.size, what=entry.path)
            if found is not None:
                self._facts[entry.path] = found
        return dict(sorted(self._facts.items()))


class _Frames:
    """Random access to one payload's bytes through its frames; the last few stay unpacked."""

    def __init__(
        self,
        source: Blob | Pending,
        encoder: Encoder,
        cut: Sequence[Block],
        frames: Sequence[tuple[int, int]],
    ) -> None:
        self._source, self._encoder, self._cut, self._where = source, encoder, cut, frames
        self._open: dict[int, bytes] = {}

    def read(self, first: int, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at ``offset`` of the payload that begins in block ``first``."""
        found = []
        while size > 0:
            number, at = divmod(offset, limits.BLOCK)
            if first + number >= len(self._cut) or self._cut[first + number].start != offset - at:
                break
            block = self._cut[first + number]
            piece = self._block(first + number)[at : min(block.size, at + size)]
            if not piece:
                break
            found.append(piece)
            offset += len(piece)
            size -= len(piece)
        return b"".join(found)

    def _block(self, index: int) -> bytes:
        data = self._open.pop(index, None)
        if data is None:
            offset, size = self._where[index]
            raw_size = self._cut[index].raw_size
            data = self._encoder.decompress(self._source.pread(size, offset), raw_size)
        self._open[index] = data
        if len(self._open) > 4:
            del self._open[next(iter(self._open))]
        return data


def _regroup(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of exactly ``size``, but for the last. Each is copied once."""
    held: list[bytes | memoryview] = []
    have = 0
    for piece in pieces:
        view, at = memoryview(piece), 0
        while have + len(piece) - at >= size:
            cut = at + size - have
            held.append(view[at:cut])
            yield b"".join(held)
            held, have, at = [], 0, cut
        if at < len(piece):
            held.append(view[at:])
            have += len(piece) - at
    if held:
        yield b"".join(held)


def _compare(owner: str, entry: Entry, got: str) -> None:
    wanted = entry.digest.hex if entry.digest else ""
    if wanted != got:
        raise _untrusted(owner, entry.path, f"sha256:{wanted}", f"sha256:{got}")


def _untrusted(owner: str, path: str, wanted: str, got: str) -> UntrustedError:
    if owner.startswith("files:"):
        return UntrustedError(
            f"{path} of `files` has changed while the image was built",
            why=f"first it had {wanted}, then {got}",
            mend="build again when nothing writes to that folder",
        )
    lie = " (a wheel whose RECORD lies)" if owner.startswith("wheel:") else ""
    return UntrustedError(
        f"{path} in {owner} is not what the package promised{lie}",
        why=f"wanted {wanted}, got {got}",
        mend="report the package to whoever offers it, and choose another release",
    )

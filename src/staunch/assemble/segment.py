"""Segments: one part's entries, turned once into independent frames (DESIGN.md §6).

The uncompressed stream of a segment is a piece of a tar archive: headers, payloads, padding; no
directories, no end mark. It is cut into *blocks*, and each block becomes one frame:

- the first block holds the leading headers, up to the first payload's own;
- then one block per payload: payload, padding, and the headers that follow, up to the next
  payload's own. Payloads over 4 MiB are cut in 4 MiB blocks; the last carries padding and headers.
- a run of headers over 1 MiB goes on in a block of its own.

The cut is a function of the plan alone, and each block is compressed by one call, so the bytes do
not depend on threads, on feed sizes, or on the order in which the archive gave its members.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from threading import Event
from typing import TypeVar

from fastcrc import crc64

from staunch.errors import HostError, SpecError, UntrustedError
from staunch.formats import tarheader
from staunch.formats.elf import parse_elf
from staunch.formats.encoder import Encoder
from staunch.model import limits
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Inline, Kind, Member, Slice
from staunch.ports import Blob, PartReader, Pending, Store

__all__ = [
    "Block",
    "SegmentPlan",
    "SegmentRecord",
    "Workers",
    "blocks",
    "facts",
    "find_facts",
    "find_segment",
    "plan_segment",
    "write_segment",
]

T = TypeVar("T")

HEADERS_BYTES = limits.MIB  # of one block
BATCH_BYTES = 512 * limits.KIB  # small blocks travel to the workers together
BATCH_BLOCKS = 128
IN_FLIGHT_BYTES = 32 * limits.MIB  # raw bytes of one segment between reader and disk
_PIECE = limits.MIB
_ELF_MAGIC = b"\x7fELF"
_FORMAT = b"staunch segment 1\n"
_KIND = "segment"
_FACTS = "segment-facts"
_MAGIC = b"STAUNSEG"
_FOOTER = 16 + len(_MAGIC)
_UNSENT, _SENT = -1, -2  # in place of a frame's offset, while it has none


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """What a segment will hold, in its order; ``headers`` pairs with ``entries``.

    ``key`` is 64 hex digits over encoder id, headers and content digests: equal keys, equal bytes.
    """

    owner: str
    encoder_id: str
    key: str
    entries: tuple[Entry, ...]
    headers: tuple[bytes, ...]
    raw_size: int


@dataclass(frozen=True, slots=True)
class Block:
    """One block: ``size`` payload bytes of entry number ``entry`` from ``start``, then ``tail``.

    ``entry`` is -1 for a block of headers alone; ``last`` tells the last block of its payload.
    """

    entry: int
    start: int
    size: int
    tail: bytes
    last: bool = True

    @property
    def raw_size(self) -> int:
        """Length of the uncompressed block."""
        return self.size + len(self.tail)


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """Where the frames are, and what zstd:chunked wants to know of the payloads.

    ``frames`` are (offset, size) in block order; ``crc64`` (CRC-64/ISO) and ``chunks`` (sha256 of
    each block's payload, for payloads of several blocks) are by entry number.
    """

    frames: tuple[tuple[int, int], ...]
    crc64: dict[int, int]
    chunks: dict[int, tuple[str, ...]]
    in_order: bool


def plan_segment(owner: str, entries: Sequence[Entry], encoder: Encoder) -> SegmentPlan:
    """Order the entries of one owner and compute the segment's key.

    Args:
        owner: the part's id, for messages and for finding its reader.
        entries: no directories; those with ``Member`` bodies in archive order.
        encoder: its id is part of the key.

    Raises:
        SpecError: a directory, a path twice, a file without body or digest, a hard link whose
            target lies in another segment.
    """
    ordered = _ordered(owner, entries)
    headers = tuple(tarheader.header(entry) for entry in ordered)
    state = hashlib.sha256(_FORMAT + encoder.id.encode() + b"\n")
    raw_size = 0
    for entry, head in zip(ordered, headers, strict=True):
        state.update(head)
        raw_size += len(head)
        if entry.kind is Kind.FILE:
            state.update(bytes.fromhex(entry.digest.hex) if entry.digest else b"")
            raw_size += entry.size + len(tarheader.padding(entry.size))
    return SegmentPlan(owner, encoder.id, state.hexdigest(), ordered, headers, raw_size)


def _ordered(owner: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Small and made ones by path, archive members as they come, hard links last by path."""
    made = [each for each in entries if each.kind is Kind.SYMLINK or _is_made(each)]
    members = [each for each in entries if each.kind is Kind.FILE and not _is_made(each)]
    links = [each for each in entries if each.kind is Kind.HARDLINK]
    paths = {each.path for each in entries}
    files = {each.path for each in entries if each.kind is Kind.FILE}
    names = {each.body.name for each in members if isinstance(each.body, Member)}
    if len(made) + len(members) + len(links) != len(entries):
        raise _bad_plan(owner, "a segment holds no directories")
    for each in entries:
        if each.kind is Kind.FILE and (each.body is None or each.digest is None):
            raise _bad_plan(owner, f"{each.path} has no content, or none with a digest")
        if each.kind is Kind.HARDLINK and each.link not in files:
            raise _bad_plan(owner, f"the hard link {each.path} leads to {each.link}, not in it")
    if len(paths) != len(entries) or len(names) != len(members):
        raise _bad_plan(owner, "a path, or a member of its archive, stands twice")

    def path(entry: Entry) -> str:
        return entry.path

    return (*sorted(made, key=path), *members, *sorted(links, key=path))


def _is_made(entry: Entry) -> bool:
    return entry.kind is Kind.FILE and isinstance(entry.body, Inline | Slice)


def _bad_plan(owner: str, why: str) -> SpecError:
    return SpecError(
        f"cannot lay out what {owner} brings", why=why, mend="leave the package or folder out"
    )


def blocks(plan: SegmentPlan) -> tuple[Block, ...]:
    """How the segment's stream is cut. Concatenated, the blocks are the stream."""
    found: list[Block] = []
    entry, start, size = -1, 0, 0
    tail: list[bytes] = []
    run = 0
    for number, (each, head) in enumerate(zip(plan.entries, plan.headers, strict=True)):
        tail.append(head)
        run += len(head)
        if each.kind is Kind.FILE and each.size:
            found.append(Block(entry, start, size, b"".join(tail)))
            last = (each.size - 1) // limits.BLOCK * limits.BLOCK
            found.extend(
                Block(number, at, limits.BLOCK, b"", last=False)
                for at in range(0, last, limits.BLOCK)
            )
            entry, start, size = number, last, each.size - last
            tail, run = [tarheader.padding(each.size)], 0
        elif run >= HEADERS_BYTES:
            found.append(Block(entry, start, size, b"".join(tail)))
            entry, start, size, tail, run = -1, 0, 0, [], 0
    if size or run:
        found.append(Block(entry, start, size, b"".join(tail)))
    return tuple(found)


class Workers:
    """A bounded pool for compressing and inflating; with one thread all runs in the caller's."""

    def __init__(self, threads: int) -> None:
        """At most ``threads`` threads, started when first needed."""
        self._pool = ThreadPoolExecutor(threads, "staunch-encode") if threads > 1 else None
        self._stopped = Event()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` soon, or now; CancelledError after ``stop``."""
        if self._stopped.is_set():
            raise CancelledError
        if self._pool is not None:
            return self._pool.submit(work)
        done: Future[T] = Future()
        done.set_result(work())
        return done

    def stop(self) -> None:
        """Let no new work begin: others waste no time after a failure or Ctrl-C."""
        self._stopped.set()

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


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
        workers: compress.
        tap: is given the uncompressed stream, in order; worthless unless the record says
            ``in_order``.
        advance: is told of payload bytes done.

    Raises:
        UntrustedError: a payload is not what its entry promised (both values named), or missing.
    """
    with store.create_file(_KIND, plan.key) as pending:
        writer = _Writer(plan, pending, encoder, workers, tap, advance)
        for number, pieces in _payloads(plan, reader, store):
            writer.payload(number, pieces)
        record = writer.finish()
        found = writer.facts()
        tail = _dump_record(record)
        offset = pending.size
        pending.write(tail)
        pending.write(offset.to_bytes(8, "little") + len(tail).to_bytes(8, "little") + _MAGIC)
    store.put_record(_FACTS, plan.key, _dump_facts(found))
    return record


def _payloads(
    plan: SegmentPlan, reader: PartReader | None, store: Store
) -> Iterator[tuple[int, Iterable[bytes]]]:
    """Number and pieces of each file's payload: made ones first, then as the archive gives them."""
    wanted: dict[str, int] = {}
    for number, entry in enumerate(plan.entries):
        if entry.kind is not Kind.FILE:
            continue
        match entry.body:
            case Inline(data):
                yield number, (data,)
            case Slice():
                yield number, _slice(entry, entry.body, store)
            case Member(name):
                wanted[name] = number
            case None:
                raise _bad_plan(plan.owner, f"{entry.path} has no content")
    if not wanted:
        return
    if reader is None:
        raise _bad_plan(plan.owner, "its archive is not at hand")
    missing = set(wanted)
    for name, pieces in reader.payloads(list(wanted)):
        if name not in missing:
            raise _untrusted(plan.owner, name, "wanted it once", "the archive gives it twice")
        missing.discard(name)
        yield wanted[name], pieces
    if missing:
        raise _untrusted(plan.owner, min(missing), "wanted a member", "the archive has none")


def _slice(entry: Entry, body: Slice, store: Store) -> Iterator[bytes]:
    blob = store.blob(body.blob)
    if blob is None:
        raise HostError(
            f"{entry.path} is gone from the store",
            why=f"its blob {body.blob} was removed or damaged",
            mend="build again",
        )
    for offset in range(0, entry.size, _PIECE):
        yield blob.pread(min(_PIECE, entry.size - offset), body.offset + offset)


@dataclass(frozen=True, slots=True)
class _Job:
    """One block on its way: what to compress, and what to learn of its payload."""

    index: int
    payload: bytes
    block: Block
    entry: Entry | None  # set for a payload of a single block: check and describe it here


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
        self._queue: deque[tuple[int, Future[list[_Done]]]] = deque()
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
            self._emit(self._first[number], data, entry)
        else:
            self._large(number, entry, limited)
        self._advance(entry.size)

    def _large(self, number: int, entry: Entry, pieces: Iterator[bytes]) -> None:
        """A payload of several blocks: content digest and CRC run here, the rest in workers."""
        state, crc, size = hashlib.sha256(), 0, 0
        index = self._first[number]
        for payload in _regroup(pieces, limits.BLOCK):
            if size == 0 and payload[:4] == _ELF_MAGIC:
                self._large_elf.append(number)
            state.update(payload)
            crc = crc64.go_iso(payload, crc)
            size += len(payload)
            self._emit(index, payload, None)
            index += 1
        if size != entry.size:
            raise self._short(entry, size)
        _compare(self._plan.owner, entry, state.hexdigest())
        self._crc64[number] = crc

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

    def _emit(self, index: int, payload: bytes, entry: Entry | None) -> None:
        """Send block ``index`` on, after the header blocks that stand before it."""
        while (
            self._next < index
            and self._blocks[self._next].entry < 0
            and self._frames[self._next][0] == _UNSENT
        ):
            self._send(_Job(self._next, b"", self._blocks[self._next], None))
        if index != self._next:
            self._in_order = False
        self._send(_Job(index, payload, self._blocks[index], entry))

    def _send(self, job: _Job) -> None:
        if self._tap is not None and self._in_order:
            self._tap(job.payload)
            self._tap(job.block.tail)
        self._frames[job.index] = (_SENT, 0)
        self._next = job.index + 1
        self._batch.append(job)
        self._batch_bytes += job.block.raw_size
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_BLOCKS:
            self._flush()

    def _flush(self) -> None:
        if not self._batch:
            return
        batch, size = self._batch, self._batch_bytes
        self._batch, self._batch_bytes = [], 0
        self._queue.append((size, self._workers.submit(lambda: self._work(batch))))
        self._in_flight += size
        self._drain(IN_FLIGHT_BYTES)

    def _drain(self, limit: int) -> None:
        """Write finished frames; wait while more than ``limit`` raw bytes are under way."""
        while self._queue and (self._in_flight > limit or self._queue[0][1].done()):
            size, future = self._queue.popleft()
            self._in_flight -= size
            for done in future.result():
                self._write(done)

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
                self._send(_Job(index, b"", block, None))
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
    """The same bytes in pieces of exactly ``size``, but for the last."""
    held: list[bytes] = []
    have = 0
    for piece in pieces:
        at = 0
        while have + len(piece) - at >= size:
            cut = at + size - have
            held.append(piece[at:cut])
            yield b"".join(held)
            held, have, at = [], 0, cut
        if at < len(piece):
            held.append(piece[at:] if at else piece)
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


# -- what the store keeps


def find_segment(plan: SegmentPlan, store: Store) -> tuple[Blob, SegmentRecord] | None:
    """The segment of that key with its record, or None when it must be written."""
    blob = store.file(_KIND, plan.key)
    if blob is None or blob.size < _FOOTER:
        return None
    footer = blob.pread(_FOOTER, blob.size - _FOOTER)
    offset, size = int.from_bytes(footer[:8], "little"), int.from_bytes(footer[8:16], "little")
    if footer[16:] != _MAGIC or offset + size + _FOOTER != blob.size:
        return None
    record = _parse_record(blob.pread(size, offset))
    if record is None or len(record.frames) != len(blocks(plan)):
        return None
    return blob, record


def find_facts(plan: SegmentPlan, store: Store) -> dict[str, ElfFacts] | None:
    """ELF facts of a segment, or None when it must be written (again)."""
    data = store.record(_FACTS, plan.key)
    return None if data is None else _parse_facts(data)


def facts(plan: SegmentPlan, store: Store) -> dict[str, ElfFacts]:
    """ELF facts by path of every ELF file in a segment that was written.

    Raises:
        HostError: the store lost them since.
    """
    found = find_facts(plan, store)
    if found is None:
        raise HostError(
            f"what the ELF files of {plan.owner} need is gone from the store",
            why="the record was removed or damaged while the build ran",
            mend="build again; if it persists, run `staunch store verify` and check the disk",
        )
    return found


def _dump_record(record: SegmentRecord) -> bytes:
    document = {
        "frames": record.frames,
        "crc64": record.crc64,
        "chunks": record.chunks,
        "in_order": record.in_order,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _parse_record(data: bytes) -> SegmentRecord | None:
    try:
        document = json.loads(data)
        return SegmentRecord(
            tuple((int(offset), int(size)) for offset, size in document["frames"]),
            {int(key): int(value) for key, value in document["crc64"].items()},
            {int(key): tuple(map(str, value)) for key, value in document["chunks"].items()},
            bool(document["in_order"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _dump_facts(found: dict[str, ElfFacts]) -> bytes:
    document = {path: asdict(each) for path, each in found.items()}
    return json.dumps(document, separators=(",", ":")).encode()


def _parse_facts(data: bytes) -> dict[str, ElfFacts] | None:
    try:
        return {str(path): _one_fact(each) for path, each in json.loads(data).items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _one_fact(value: dict[str, object]) -> ElfFacts:
    frozen = {key: _freeze(each) for key, each in value.items()}
    return ElfFacts(**frozen)  # type: ignore[arg-type]  # our own record, checked by its digest


def _freeze(value: object) -> object:
    return tuple(_freeze(each) for each in value) if isinstance(value, list) else value

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
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from staunch.errors import SpecError
from staunch.formats import tarheader
from staunch.formats.encoder import Encoder
from staunch.model import limits
from staunch.model.entry import Entry, Inline, Kind, Member, Slice

__all__ = ["Block", "SegmentPlan", "SegmentRecord", "bad_plan", "blocks", "plan_segment"]

HEADERS_BYTES = limits.MIB  # of one block
_FORMAT = b"staunch segment 1\n"


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
    pieces = [_FORMAT, encoder.id.encode(), b"\n"]
    raw_size = 0
    for entry, head in zip(ordered, headers, strict=True):
        pieces.append(head)
        raw_size += len(head)
        if entry.kind is Kind.FILE:
            if entry.digest is not None:
                pieces.append(bytes.fromhex(entry.digest.hex))
            raw_size += entry.size + len(tarheader.padding(entry.size))
    state = hashlib.sha256(b"".join(pieces))
    return SegmentPlan(owner, encoder.id, state.hexdigest(), ordered, headers, raw_size)


def _ordered(owner: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Small and made ones by path, archive members as they come, hard links last by path."""
    made: list[Entry] = []
    members: list[Entry] = []
    links: list[Entry] = []
    paths: set[str] = set()
    files: set[str] = set()
    names: set[str] = set()
    for each in entries:
        path = each.path
        paths.add(path)
        if each.kind is Kind.SYMLINK:
            made.append(each)
        elif each.kind is Kind.HARDLINK:
            links.append(each)
        elif each.kind is Kind.FILE:
            files.add(path)
            if isinstance(each.body, Inline | Slice):
                made.append(each)
            else:
                members.append(each)
                if isinstance(each.body, Member):
                    names.add(each.body.name)
    if len(made) + len(members) + len(links) != len(entries):
        raise bad_plan(owner, "a segment holds no directories")
    for each in entries:
        if each.kind is Kind.FILE and (each.body is None or each.digest is None):
            raise bad_plan(owner, f"{each.path} has no content, or none with a digest")
        if each.kind is Kind.HARDLINK and each.link not in files:
            raise bad_plan(owner, f"the hard link {each.path} leads to {each.link}, not in it")
    if len(paths) != len(entries) or len(names) != len(members):
        raise bad_plan(owner, "a path, or a member of its archive, stands twice")

    by_path = attrgetter("path")
    return (*sorted(made, key=by_path), *members, *sorted(links, key=by_path))


def bad_plan(owner: str, why: str) -> SpecError:
    """What is said of entries that make no segment."""
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

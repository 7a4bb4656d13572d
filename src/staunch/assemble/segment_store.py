"""Segments as the store keeps them: frames, then a record of where they are; ELF facts beside."""

from __future__ import annotations

import json
from dataclasses import asdict

from staunch.assemble.segment import SegmentPlan, SegmentRecord, blocks
from staunch.errors import LostError
from staunch.model.elf import ElfFacts
from staunch.ports import Blob, Pending, Store

__all__ = ["FACTS", "KIND", "facts", "find_facts", "find_segment", "put_facts", "write_record"]

KIND = "segment"
FACTS = "segment-facts"
_MAGIC = b"STAUNSEG"
_FOOTER = 16 + len(_MAGIC)


def write_record(record: SegmentRecord, pending: Pending) -> None:
    """Append ``record`` to the frames, and a footer by which it is found."""
    tail = _dump_record(record)
    offset = pending.size
    pending.write(tail)
    pending.write(offset.to_bytes(8, "little") + len(tail).to_bytes(8, "little") + _MAGIC)


def put_facts(key: str, found: dict[str, ElfFacts], store: Store) -> None:
    """Keep what a segment's ELF files need and offer, under the segment's key."""
    store.put_record(FACTS, key, _dump_facts(found))


def find_segment(plan: SegmentPlan, store: Store) -> tuple[Blob, SegmentRecord] | None:
    """The segment of that key with its record, or None when it must be written."""
    blob = store.file(KIND, plan.key)
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
    data = store.record(FACTS, plan.key)
    return None if data is None else _parse_facts(data)


def facts(plan: SegmentPlan, store: Store) -> dict[str, ElfFacts]:
    """ELF facts by path of every ELF file in a segment that was written.

    Raises:
        LostError: the store lost them since.
    """
    found = find_facts(plan, store)
    if found is None:
        raise LostError(
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

"""zstd:chunked: a table of contents and tar-split data at the end of a zstd layer.

Both, and a footer, are skippable frames, so an ordinary reader sees ordinary zstd. A reader that
knows them (containers/storage) finds them by three annotations of the layer's descriptor, fetches
only the payloads that it lacks, and rebuilds the exact tar stream from tar-split, which holds every
byte between payloads and a CRC-64/ISO of each.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from json.encoder import encode_basestring

from staunch.formats import tarheader, zstd
from staunch.model.entry import Entry, Kind

__all__ = ["Chunk", "Payload", "Row", "Trailer", "trailer"]

MANIFEST_CHECKSUM = "io.github.containers.zstd-chunked.manifest-checksum"
MANIFEST_POSITION = "io.github.containers.zstd-chunked.manifest-position"
TARSPLIT_POSITION = "io.github.containers.zstd-chunked.tarsplit-position"
_MANIFEST_TYPE = 1
_FOOTER_MAGIC = b"GNUlInUx"
_SKIPPABLE_HEADER = 8
_TYPES = {Kind.FILE: "reg", Kind.HARDLINK: "hardlink", Kind.SYMLINK: "symlink", Kind.DIR: "dir"}
_MODTIME = "1980-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One frame's share of a payload: where the frame begins, and what of the payload it holds."""

    offset: int
    start: int
    size: int
    digest: str  # 64 hex digits


@dataclass(frozen=True, slots=True)
class Payload:
    """Where a non-empty payload's frames stand in the layer; ``chunks`` only if there are several."""

    offset: int
    end: int
    crc64: int
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of a layer, in tar order, with its exact header."""

    entry: Entry
    header: bytes
    payload: Payload | None = None


@dataclass(frozen=True, slots=True)
class Trailer:
    """What follows the last frame, and the annotations that lead there (sorted)."""

    data: bytes
    annotations: tuple[tuple[str, str], ...]


def trailer(
    rows: Iterable[Row], offset: int, compress: Callable[[bytes], bytes] = zstd.compress
) -> Trailer:
    """Table of contents, tar-split and footer of a layer whose frames end at ``offset``.

    ``rows`` must be every entry of the layer, each path once; the tar stream ends with two zero
    blocks.
    """
    lines: list[str] = []
    split: list[str] = []
    pending = b""  # padding of the payload before
    for row in rows:
        name = row.entry.path + "/" if row.entry.kind is Kind.DIR else row.entry.path
        lines.extend(_toc_entries(row, name))
        split.append(_split_segment(pending + row.header, len(split)))
        split.append(_split_file(row, name, len(split)))
        size = row.entry.size if row.entry.kind is Kind.FILE else 0
        pending = tarheader.padding(size)
    split.append(_split_segment(pending + tarheader.END, len(split)))
    split_raw = "".join(split).encode()
    split_frame = compress(split_raw)
    toc_raw = (
        '{"version":1,"entries":['
        + ",".join(lines)
        + f'],"tarSplitDigest":"sha256:{hashlib.sha256(split_frame).hexdigest()}"}}'
    ).encode()
    toc_frame = compress(toc_raw)

    toc_at = offset + _SKIPPABLE_HEADER
    split_at = toc_at + len(toc_frame) + _SKIPPABLE_HEADER
    numbers = (
        toc_at,
        len(toc_frame),
        len(toc_raw),
        _MANIFEST_TYPE,
        split_at,
        len(split_frame),
        len(split_raw),
    )
    footer = b"".join(each.to_bytes(8, "little") for each in numbers) + _FOOTER_MAGIC
    data = b"".join(zstd.skippable(each) for each in (toc_frame, split_frame, footer))
    return Trailer(
        data,
        (
            (MANIFEST_CHECKSUM, f"sha256:{hashlib.sha256(toc_frame).hexdigest()}"),
            (MANIFEST_POSITION, ":".join(map(str, numbers[:4]))),
            (TARSPLIT_POSITION, ":".join(map(str, numbers[4:]))),
        ),
    )


def _toc_entries(row: Row, name: str) -> list[str]:
    """The entry, and one of type ``chunk`` for each further frame of its payload."""
    entry, payload = row.entry, row.payload
    size = entry.size if entry.kind is Kind.FILE else 0
    parts = [f'{{"type":"{_TYPES[entry.kind]}","name":{encode_basestring(name)}']
    if entry.kind in (Kind.SYMLINK, Kind.HARDLINK):
        parts.append(f'"linkName":{encode_basestring(entry.link)}')
    for key, value in (
        ("mode", entry.mode & 0o7777),
        ("size", size),
        ("uid", entry.uid),
        ("gid", entry.gid),
    ):
        if value:
            parts.append(f'"{key}":{value}')
    parts.append(f'"modtime":"{_MODTIME}"')
    if entry.xattrs:
        xattrs = {key: base64.b64encode(value).decode() for key, value in sorted(entry.xattrs)}
        parts.append('"xattrs":' + json.dumps(xattrs, ensure_ascii=False, separators=(",", ":")))
    if payload is None:
        return [",".join(parts) + "}"]
    parts.append(f'"digest":"{entry.digest}","offset":{payload.offset},"endOffset":{payload.end}')
    if not payload.chunks:
        return [",".join(parts) + "}"]
    first = payload.chunks[0]
    parts.append(f'"chunkSize":{first.size},"chunkDigest":"sha256:{first.digest}"')
    ends = (*(chunk.offset for chunk in payload.chunks[1:]), payload.end)
    return [
        ",".join(parts) + "}",
        *(
            f'{{"type":"chunk","name":{encode_basestring(name)},"offset":{chunk.offset},'
            f'"endOffset":{end},"chunkSize":{chunk.size},"chunkOffset":{chunk.start},'
            f'"chunkDigest":"sha256:{chunk.digest}"}}'
            for chunk, end in zip(payload.chunks[1:], ends[1:], strict=True)
        ),
    ]


def _split_segment(data: bytes, position: int) -> str:
    return f'{{"type":2,"payload":"{base64.b64encode(data).decode()}","position":{position}}}\n'


def _split_file(row: Row, name: str, position: int) -> str:
    text = f'{{"type":1,"name":{encode_basestring(name)}'
    if row.payload is None:
        return f'{text},"payload":null,"position":{position}}}\n'
    crc = base64.b64encode(row.payload.crc64.to_bytes(8, "big")).decode()
    return f'{text},"size":{row.entry.size},"payload":"{crc}","position":{position}}}\n'

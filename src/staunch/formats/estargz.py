"""eStargz: a gzip layer whose files can be fetched one by one (stargz-snapshotter, docs/estargz.md).

A table of contents is the layer's last tar entry, in a gzip member of its own, and an empty member
behind it says where that begins. A landmark file says that nothing is to be fetched ahead. Both stand
in the file system of whoever unpacks such a layer, so its diff_id is another than plain gzip's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from json.encoder import encode_basestring
from typing import Final

from staunch.formats import gzip, tarheader
from staunch.formats.chunked import Row
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind

__all__ = ["LANDMARK", "SIZE", "TOC", "TOC_DIGEST", "closing", "footer", "toc", "toc_entry"]

TOC: Final = "stargz.index.json"
TOC_DIGEST: Final = "containerd.io/snapshot/stargz/toc.digest"  # annotation: of the table's JSON
SIZE: Final = "io.containers.estargz.uncompressed-size"  # annotation
LANDMARK: Final = Entry.inline(".no.prefetch.landmark", b"\x0f", owner="staunch")
_TYPES: Final = {
    Kind.FILE: "reg",
    Kind.HARDLINK: "hardlink",
    Kind.SYMLINK: "symlink",
    Kind.DIR: "dir",
}
_MODTIME: Final = "1980-01-01T00:00:00Z"


def toc(rows: Iterable[Row]) -> bytes:
    """The table of contents of a layer: every entry but the table itself, in the layer's order."""
    lines = ",\n".join(line for row in rows for line in _entries(row))
    return f'{{"version":1,"entries":[\n{lines}\n]}}'.encode()


def toc_entry(data: bytes) -> Entry:
    """The table as an entry of the layer."""
    return Entry.inline(TOC, data, mode=0o444, owner="staunch")


def closing(data: bytes, compress: Callable[[bytes], bytes] = gzip.compress) -> tuple[bytes, bytes]:
    """The end of a layer: the table's entry and the archive's end, as tar and as one gzip member."""
    entry = toc_entry(data)
    tar = tarheader.header(entry) + data + tarheader.padding(entry.size) + tarheader.END
    return tar, compress(tar)


def footer(offset: int) -> bytes:
    """The 51 bytes at the end of the blob: the table's member begins at ``offset``."""
    extra = b"SG" + (22).to_bytes(2, "little") + b"%016xSTARGZ" % offset
    header = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + len(extra).to_bytes(2, "little") + extra
    return header + b"\x01\0\0\xff\xff" + bytes(8)


def _entries(row: Row) -> Iterator[str]:
    """The entry, and one of type ``chunk`` for each further member of its payload."""
    entry, payload = row.entry, row.payload
    name = encode_basestring(entry.path + "/" if entry.kind is Kind.DIR else entry.path)
    parts = [f'{{"name":{name},"type":"{_TYPES[entry.kind]}"']
    size = entry.size if entry.kind is Kind.FILE else 0
    if size:
        parts.append(f'"size":{size}')
    parts.append(f'"modtime":"{_MODTIME}"')
    if entry.kind in (Kind.SYMLINK, Kind.HARDLINK):
        parts.append(f'"linkName":{encode_basestring(entry.link)}')
    parts.append(f'"mode":{entry.mode & 0o7777},"uid":{entry.uid},"gid":{entry.gid}')
    if entry.xattrs:
        xattrs = {key: base64.b64encode(value).decode() for key, value in sorted(entry.xattrs)}
        parts.append('"xattrs":' + json.dumps(xattrs, ensure_ascii=False, separators=(",", ":")))
    if payload is None:
        if entry.kind is Kind.FILE:
            parts.append(f'"digest":"{entry.digest or Digest.of(b"")}"')
        yield ",".join(parts) + "}"
        return
    chunks = payload.chunks
    digest = f"sha256:{chunks[0].digest}" if chunks else str(entry.digest)
    parts.append(f'"offset":{payload.offset},"digest":"{entry.digest}","chunkDigest":"{digest}"')
    if chunks:
        parts.append(f'"chunkSize":{chunks[0].size}')
    yield ",".join(parts) + "}"
    for chunk in chunks[1:]:
        # the last one's size is 0: up to the end of the file
        length = 0 if chunk is chunks[-1] else chunk.size
        yield (
            f'{{"name":{name},"type":"chunk","offset":{chunk.offset},"chunkOffset":{chunk.start},'
            f'"chunkSize":{length},"chunkDigest":"sha256:{chunk.digest}"}}'
        )

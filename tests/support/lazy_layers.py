"""Layers with tables of contents, made by the words of their specifications: zstd:chunked, eStargz."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from backports import zstd

from staunch.formats.chunked import Chunk, Payload, Row, trailer
from staunch.formats.tarheader import END, header, padding
from staunch.model.digest import Digest
from staunch.model.entry import Entry

CHUNK = 1000  # bytes of a payload in one frame


@dataclass(frozen=True)
class Lazy:
    """A stored layer, what it unpacks to, and the annotations of its descriptor."""

    stored: bytes
    tar: bytes
    annotations: dict[str, str]


def chunked(files: Mapping[str, bytes | str]) -> Lazy:
    """zstd:chunked, by Staunch's own writer of tables; texts are symbolic links."""
    out, raw, rows = bytearray(), bytearray(), []
    for path, body in files.items():
        if isinstance(body, str):
            entry = Entry.symlink(path, body)
            out += zstd.compress(header(entry))
            raw += header(entry)
            rows.append(Row(entry, header(entry)))
            continue
        entry = Entry.inline(path, body, mode=0o755)
        out += zstd.compress(header(entry))
        chunks = []
        for at in range(0, len(body), CHUNK):
            part = body[at : at + CHUNK]
            chunks.append(Chunk(len(out), at, len(part), hashlib.sha256(part).hexdigest()))
            out += zstd.compress(part)
        payload = (
            Payload(chunks[0].offset, len(out), 0, tuple(chunks) if len(chunks) > 1 else ())
            if body
            else None
        )
        out += zstd.compress(padding(len(body)) or b"")
        raw += header(entry) + body + padding(len(body))
        rows.append(Row(entry, header(entry), payload))
    out += zstd.compress(END)
    raw += END
    tail = trailer(rows, len(out))
    return Lazy(bytes(out) + tail.data, bytes(raw), dict(tail.annotations))


def stargz(files: Mapping[str, bytes | str]) -> Lazy:
    """eStargz: a gzip member for each payload, the table as the last entry of the tar, a footer."""
    out, raw, entries = bytearray(), bytearray(), []

    def add(data: bytes) -> None:
        out.extend(gzip.compress(data, mtime=0))
        raw.extend(data)

    for path, body in files.items():
        info = tarfile.TarInfo(path)
        info.mode = 0o755
        if isinstance(body, str):
            info.type, info.linkname = tarfile.SYMTYPE, body
            add(info.tobuf())
            entries.append({"name": path, "type": "symlink", "linkName": body, "mode": 0o777})
            continue
        info.size = len(body)
        add(info.tobuf())
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for at in range(0, max(len(body), 1), CHUNK):
            part = body[at : at + CHUNK]
            row = {"name": path, "offset": len(out), "chunkOffset": at, "chunkSize": len(part),
                   "chunkDigest": f"sha256:{hashlib.sha256(part).hexdigest()}"}  # fmt: skip
            if at == 0:
                row |= {"type": "reg", "size": len(body), "mode": 0o755, "digest": digest}
            else:
                row |= {"type": "chunk"}
            entries.append({k: v for k, v in row.items() if v or k == "offset"})
            add(part)
        add(padding(len(body)))
    table = json.dumps({"version": 1, "entries": entries}).encode()
    at = len(out)
    member = tarfile.TarInfo("stargz.index.json")
    member.size = len(table)
    add(member.tobuf() + table + padding(len(table)) + END)
    extra = b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % at
    footer = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff" + struct.pack("<H", len(extra)) + extra
    footer += b"\x01\x00\x00\xff\xff" + bytes(8)
    out.extend(footer)
    return Lazy(
        bytes(out),
        bytes(raw),
        {"containerd.io/snapshot/stargz/toc.digest": str(Digest.of(table))},
    )


def plain(files: Mapping[str, bytes | str]) -> bytes:
    """The same as an ordinary tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, body in files.items():
            info = tarfile.TarInfo(path)
            if isinstance(body, str):
                info.type, info.linkname = tarfile.SYMTYPE, body
                tar.addfile(info)
            else:
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
    return out.getvalue()

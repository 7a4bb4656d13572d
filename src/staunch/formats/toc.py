"""Tables of contents of layers: zstd:chunked and eStargz, ours and those that other tools write.

containers/storage, docs/containers-storage-zstd-chunked.md; containerd/stargz-snapshotter,
docs/estargz.md. A table is found by annotations of the layer's descriptor, which the manifest's digest
covers, and is checked against the digest that stands there; each chunk of a file against the digest
that the table gives. Whether the table tells the truth about the layer is **not** known without
reading the layer.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from staunch.errors import UntrustedError
from staunch.formats.chunked import MANIFEST_CHECKSUM, MANIFEST_POSITION
from staunch.formats.stream import blob_chunks, inflate
from staunch.formats.tar import read_tar
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Kind
from staunch.model.image import Descriptor
from staunch.ports import Blob

__all__ = ["Toc", "TocEntry", "TocFile", "has_toc", "read_toc"]

_OLD = "io.containers.zstd-chunked.manifest-"  # how podman 4 named the two
TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
TOC_BYTES = 128 * limits.MIB  # unpacked; some 300 bytes for each file
CHUNK_BYTES = 64 * limits.MIB
ENTRIES = 1_000_000

_POSITION = re.compile(r"([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,3})")
_HEX = re.compile(r"sha256:([0-9a-f]{64})")
_FOOTER = re.compile(rb"([0-9a-f]{16})STARGZ")
_FOOTER_BYTES = 51
_INDEX_NAME = "stargz.index.json"
_KINDS = {
    "dir": Kind.DIR,
    "reg": Kind.FILE,
    "symlink": Kind.SYMLINK,
    "hardlink": Kind.HARDLINK,
}
_SPECIAL = {"char": "a character device", "block": "a block device", "fifo": "a FIFO"}


@dataclass(frozen=True, slots=True)
class TocChunk:
    """A part of a payload: ``start`` and ``size`` in the file, ``offset`` to ``end`` in the layer.

    ``inner``: bytes to pass over in what is unpacked there. ``digest`` is 64 hex digits.
    """

    start: int
    size: int
    offset: int
    end: int
    inner: int
    digest: str


@dataclass(frozen=True, slots=True)
class TocEntry:
    """One path, as the table has it; ``special`` as ``TarMember.special``."""

    path: str
    kind: Kind
    mode: int
    size: int
    link: str
    special: str
    chunks: tuple[TocChunk, ...]


@dataclass(frozen=True, slots=True)
class Toc:
    """A layer's table; ``format`` is ``zst`` or ``gz``."""

    format: str
    entries: tuple[TocEntry, ...]


def has_toc(layer: Descriptor) -> bool:
    """Whether a layer's annotations lead to a table of a kind that is read here."""
    annotations = _annotations(layer)
    chunked = MANIFEST_CHECKSUM in annotations and MANIFEST_POSITION in annotations
    return chunked or TOC_DIGEST in annotations


def _annotations(layer: Descriptor) -> dict[str, str]:
    found = dict(layer.annotations)
    for new, old in ((MANIFEST_CHECKSUM, "checksum"), (MANIFEST_POSITION, "position")):
        if _OLD + old in found:
            found.setdefault(new, found[_OLD + old])
    return found


def read_toc(layer: Descriptor, blob: Blob) -> Toc:
    """The table of a layer for which ``has_toc``.

    Raises:
        UntrustedError: it is not what the annotation promises, or damaged, or over a limit.
    """
    annotations = _annotations(layer)
    if MANIFEST_CHECKSUM in annotations and MANIFEST_POSITION in annotations:
        data = _chunked(annotations, blob)
        return Toc("zst", tuple(_Table(data, layer.size).entries()))
    data, end = _stargz(annotations[TOC_DIGEST], blob)
    return Toc("gz", tuple(_Table(data, end).entries()))


def _chunked(annotations: dict[str, str], blob: Blob) -> bytes:
    match = _POSITION.fullmatch(annotations[MANIFEST_POSITION])
    if match is None or match[4] != "1":
        _refuse(f"annotation {MANIFEST_POSITION}: {annotations[MANIFEST_POSITION][:80]!r}")
    offset, packed, size = (int(match[n]) for n in (1, 2, 3))
    if size > TOC_BYTES or packed > TOC_BYTES or offset + packed > blob.size:
        _refuse(f"{packed} bytes at {offset} that unpack to {size}")
    frame = _exactly(blob, packed, offset)
    _compare(frame, annotations[MANIFEST_CHECKSUM])
    return b"".join(inflate([frame], format="zst", max_bytes=size, what="a table of contents"))


def _stargz(promised: str, blob: Blob) -> tuple[bytes, int]:
    """The table, and where it begins in the layer."""
    footer = _exactly(blob, min(_FOOTER_BYTES, blob.size), max(0, blob.size - _FOOTER_BYTES))
    match = _FOOTER.search(footer)
    if match is None:
        _refuse("its last bytes do not say where it stands")
    offset = int(match[1], 16)
    packed = blob.size - _FOOTER_BYTES - offset
    if not 0 < packed <= TOC_BYTES:
        _refuse(f"{packed} bytes at {offset}")
    stream = inflate(
        [_exactly(blob, packed, offset)],
        format="gz",
        max_bytes=TOC_BYTES,
        what="a table of contents",
    )
    data = b""
    for member in read_tar(stream, what="a table of contents"):
        if member.name == _INDEX_NAME:
            data = b"".join(member.pieces())
    if not data:
        _refuse(f"it holds no {_INDEX_NAME}")
    _compare(data, promised)
    return data, offset


def _exactly(blob: Blob, size: int, offset: int) -> bytes:
    return b"".join(blob_chunks(blob, offset, size))


def _compare(data: bytes, promised: str) -> None:
    got = Digest.of(data)
    if str(got) != promised:
        _refuse(f"the manifest promises {promised[:80]}, it is {got}")


class _Table:
    """The JSON of a table, read entry by entry."""

    def __init__(self, data: bytes, end: int) -> None:
        self._end = end  # of the last chunk
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as fault:
            _refuse(f"it is not JSON: {str(fault)[:100]}")
        rows = document.get("entries") if isinstance(document, dict) else None
        if not isinstance(rows, list) or len(rows) > ENTRIES:
            _refuse(f"it has no list of at most {ENTRIES} entries")
        self._rows: list[object] = rows

    def entries(self) -> Iterator[TocEntry]:
        ends = self._ends()
        current: dict[str, object] | None = None
        chunks: list[TocChunk] = []
        for row in self._rows:
            if not isinstance(row, dict):
                _refuse("an entry is no object")
            kind = row.get("type")
            if kind == "chunk":
                if current is None or _text(row, "name") != _text(current, "name"):
                    _refuse(f"a chunk of {_text(row, 'name')[:100]!r} follows another file")
                chunks.append(_chunk(row, ends, current))
                continue
            if current is not None:
                yield _entry(current, tuple(chunks))
            current, chunks = row, []
            if kind == "reg" and _number(row, "size"):
                chunks.append(_chunk(row, ends, row))
        if current is not None:
            yield _entry(current, tuple(chunks))

    def _ends(self) -> dict[int, int]:
        """Where the chunk at an offset ends: where the next begins (eStargz has no endOffset)."""
        offsets = sorted(
            {
                offset
                for row in self._rows
                if isinstance(row, dict) and isinstance(offset := row.get("offset"), int)
            }
        )
        return dict(zip(offsets, [*offsets, self._end][1:], strict=True))


def _chunk(row: dict[str, object], ends: dict[int, int], file: dict[str, object]) -> TocChunk:
    start, total = _number(row, "chunkOffset"), _number(file, "size")
    size = _number(row, "chunkSize") or total - start
    offset = _number(row, "offset")
    end = _number(row, "endOffset") or ends.get(offset, 0)
    digest = _HEX.fullmatch(_text(row, "chunkDigest") or _text(row, "digest"))
    if digest is None or size <= 0 or start + size > total or not offset < end:
        _refuse(f"{_text(row, 'name')[:100]!r}: its chunk at {start} of {size} bytes is none")
    return TocChunk(start, size, offset, end, _number(row, "innerOffset"), digest[1])


def _entry(row: dict[str, object], chunks: tuple[TocChunk, ...]) -> TocEntry:
    kind, name = _text(row, "type"), _text(row, "name")
    size = _number(row, "size") if kind == "reg" else 0
    at = 0
    for chunk in chunks:
        if chunk.start != at:
            _refuse(f"{name[:100]!r}: byte {at} stands in no chunk")
        at += chunk.size
    if (kind not in _KINDS and kind not in _SPECIAL) or at != size:
        _refuse(f"{name[:100]!r}: of type {kind[:20]!r}, {at} of {size} bytes in chunks")
    return TocEntry(
        name.rstrip("/") or "/",
        _KINDS.get(kind, Kind.FILE),
        _number(row, "mode") & 0o7777,
        size,
        _text(row, "linkName"),
        _SPECIAL.get(kind, ""),
        chunks,
    )


def _text(row: dict[str, object], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        _refuse(f"{key} is no text")
    return value


def _number(row: dict[str, object], key: str) -> int:
    value = row.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        _refuse(f"{key} is no size")
    return value


class TocFile:
    """``ports.Blob`` of one file: chunks are fetched when asked for, and checked."""

    def __init__(self, blob: Blob, format_: str, entry: TocEntry) -> None:
        """Fetch nothing yet."""
        self._blob, self._format, self._entry = blob, format_, entry
        self._last: tuple[int, bytes] = (-1, b"")
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Of the file."""
        return self._entry.size

    def pread(self, size: int, offset: int) -> bytes:
        """Bytes of one chunk: fewer than asked for at its end.

        Raises:
            UntrustedError: the chunk is not what the table promises.
        """
        for index, chunk in enumerate(self._entry.chunks):
            if chunk.start <= offset < chunk.start + chunk.size:
                data = self._chunk(index, chunk)
                return data[offset - chunk.start : offset - chunk.start + size]
        return b""

    def _chunk(self, index: int, chunk: TocChunk) -> bytes:
        with self._lock:
            if self._last[0] != index:
                self._last = index, self._fetch(chunk)
            return self._last[1]

    def _fetch(self, chunk: TocChunk) -> bytes:
        packed = chunk.end - chunk.offset
        if packed > CHUNK_BYTES or chunk.size + chunk.inner > CHUNK_BYTES:
            _refuse(f"{self._entry.path[:100]!r}: a chunk of {packed} bytes")
        wanted = chunk.inner + chunk.size
        data = bytearray()
        for piece in inflate(
            [_exactly(self._blob, packed, chunk.offset)],
            format=self._format,
            max_bytes=CHUNK_BYTES,
            what=f"a chunk of {self._entry.path[:100]!r}",
        ):
            data += piece
            if len(data) >= wanted:
                break  # padding and the headers that follow
        body = bytes(data[chunk.inner : wanted])
        got = hashlib.sha256(body).hexdigest()
        if got != chunk.digest:
            raise UntrustedError(
                "a file of the image is not what its layer's table of contents promises",
                why=f"{self._entry.path[:200]!r}: wanted sha256:{chunk.digest}, got sha256:{got}",
                mend="fetch the image again; if it persists, do not use it",
            )
        return body


def _refuse(why: str) -> NoReturn:
    raise UntrustedError(
        "a layer's table of contents cannot be used",
        why=why,
        mend="push the image again, or have the layers read whole",
    )

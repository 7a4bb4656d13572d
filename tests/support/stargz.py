"""An eStargz reader after the published format (stargz-snapshotter, docs/estargz.md), stdlib alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from typing import Any


def table(blob: bytes) -> tuple[dict[str, Any], bytes, int]:
    """The table of contents, its bytes and where its gzip member begins; every promise is checked."""
    footer = blob[-51:]
    assert footer[:4] == b"\x1f\x8b\x08\x04"
    assert footer[10:12] == (26).to_bytes(2, "little")
    assert footer[12:16] == b"SG" + (22).to_bytes(2, "little")
    assert footer[32:38] == b"STARGZ"
    assert footer[38:] == b"\x01\0\0\xff\xff" + bytes(8)
    assert gzip.decompress(footer) == b""
    offset = int(footer[16:32], 16)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob[offset:-51]))) as tar:
        (member,) = tar.getmembers()
        assert member.name == "stargz.index.json"
        data = tar.extractfile(member).read()  # type: ignore[union-attr]
    document = json.loads(data)
    assert document["version"] == 1
    return document, data, offset


def member(blob: bytes, offset: int) -> bytes:
    """The one gzip member that begins there, unpacked."""
    reader = zlib.decompressobj(31)
    data = reader.decompress(blob[offset:])
    assert reader.eof
    return data


def read(blob: bytes) -> dict[str, bytes]:
    """Every regular file, fetched member by member as a snapshotter does, each chunk checked."""
    document, _, _ = table(blob)
    files: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    wholes: dict[str, str] = {}
    for entry in document["entries"]:
        if entry["type"] == "reg":
            name = entry["name"]
            sizes[name], wholes[name] = entry.get("size", 0), entry.get("digest", "")
            files[name] = b""
        if entry["type"] in ("reg", "chunk") and sizes[entry["name"]]:
            name = entry["name"]
            assert entry.get("chunkOffset", 0) == len(files[name])
            size = entry.get("chunkSize", 0) or sizes[name] - len(files[name])
            chunk = member(blob, entry["offset"])[:size]
            assert f"sha256:{hashlib.sha256(chunk).hexdigest()}" == entry["chunkDigest"]
            files[name] += chunk
    for name, data in files.items():
        assert len(data) == sizes[name]
        assert not wholes[name] or wholes[name] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    return files

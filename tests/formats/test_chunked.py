"""zstd:chunked, read back as containers/storage reads it."""

import base64
import hashlib
import json

import pytest
from fastcrc import crc64
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.adapters.store import FileStore
from staunch.assemble.layer_write import write_layers
from staunch.assemble.layers import plan_layers
from staunch.formats import chunked, zstd
from staunch.formats.encoder import encoder
from staunch.model.entry import Entry, Kind
from tests.support.assembly import MemoryReader, member, noise, part, small_tree, tree


def frames(blob: bytes) -> list[tuple[int, int]]:
    """Offset and length of every frame, skippable ones, too."""
    from backports.zstd import get_frame_size

    found, at = [], 0
    while at < len(blob):
        size = get_frame_size(blob[at:])
        found.append((at, size))
        at += size
    return found


def unpack(frame: bytes) -> bytes:
    from backports.zstd import decompress

    return decompress(frame)


class Opened:
    """A layer as a partial pull sees it: annotations, table of contents, tar-split, ranges."""

    def __init__(self, blob: bytes, annotations: dict[str, str]) -> None:
        self.blob = blob
        at, size, raw, kind = map(int, annotations[chunked.MANIFEST_POSITION].split(":"))
        assert kind == 1
        packed = blob[at : at + size]
        assert annotations[chunked.MANIFEST_CHECKSUM] == (
            "sha256:" + hashlib.sha256(packed).hexdigest()
        )
        data = unpack(packed)
        assert len(data) == raw
        self.toc = json.loads(data)
        split_at, split_size, split_raw = map(
            int, annotations[chunked.TARSPLIT_POSITION].split(":")
        )
        packed = blob[split_at : split_at + split_size]
        assert self.toc["tarSplitDigest"] == "sha256:" + hashlib.sha256(packed).hexdigest()
        data = unpack(packed)
        assert len(data) == split_raw
        self.split = [json.loads(line) for line in data.splitlines()]
        numbers = [int.from_bytes(blob[i : i + 8], "little") for i in range(-64, -8, 8)]
        assert numbers == [at, size, raw, 1, split_at, split_size, split_raw]
        assert blob[-8:] == b"GNUlInUx"

    def files(self) -> dict[str, bytes]:
        """Payload by name, each chunk fetched by its range and checked by its digest."""
        found: dict[str, bytes] = {}
        entries = self.toc["entries"]
        for number, entry in enumerate(entries):
            if entry["type"] != "reg":
                continue
            if not entry.get("size"):
                assert "digest" not in entry
                found[entry["name"]] = b""
                continue
            chunks = [entry]
            for each in entries[number + 1 :]:
                if each["type"] != "chunk":
                    break
                chunks.append(each)
            data = b""
            ends = [each["offset"] for each in chunks[1:]] + [chunks[-1]["endOffset"]]
            for each, end in zip(chunks, ends, strict=True):
                size = each.get("chunkSize", entry["size"] - len(data))
                assert each.get("chunkOffset", 0) == len(data)
                piece = unpack(self.blob[each["offset"] : end])[:size]
                if "chunkDigest" in each:
                    assert each["chunkDigest"] == "sha256:" + hashlib.sha256(piece).hexdigest()
                data += piece
            assert entry["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
            found[entry["name"]] = data
        return found

    def rebuild(self) -> bytes:
        """The tar stream from tar-split and the files, as WriteOutputTarStream does."""
        files = self.files()
        out = []
        for position, line in enumerate(self.split):
            assert line["position"] == position
            if line["type"] == 2:
                out.append(base64.b64decode(line["payload"]))
            elif line.get("size"):
                data = files[line["name"]]
                crc = int.from_bytes(base64.b64decode(line["payload"]), "big")
                assert crc == crc64.go_iso(data)
                out.append(data)
            else:
                assert line["payload"] is None
        return b"".join(out)


def layers_of(tmp_path, given):
    assembled, readers = given
    store, code = FileStore(tmp_path / "store"), encoder("zstd")
    plans = plan_layers(assembled, code)
    for layer in write_layers(plans, readers.__getitem__, store, code, threads=1).layers:
        blob = store.blob(layer.descriptor.digest)
        yield layer, blob.pread(blob.size, 0)


def test_a_partial_pull_gives_the_exact_tar(tmp_path):
    seen = []
    for layer, blob in layers_of(tmp_path, small_tree()):
        opened = Opened(blob, dict(layer.descriptor.annotations))
        assert "sha256:" + hashlib.sha256(opened.rebuild()).hexdigest() == str(layer.diff_id)
        whole = b"".join(unpack(blob[at : at + size]) for at, size in frames(blob))
        assert hashlib.sha256(whole).hexdigest() == layer.diff_id.hex
        seen.extend(entry["name"] for entry in opened.toc["entries"] if entry["type"] != "chunk")
        assert all(entry.get("offset", 1) > 0 for entry in opened.toc["entries"])
    assert "usr/share/é/ü" in seen
    assert "usr/lib/" in seen


def test_entries_tell_what_the_headers_tell(tmp_path):
    """containers/storage compares each entry with its header in tar-split, and fails."""
    entries = [
        Entry("a", Kind.FILE, 0o4755, uid=7, gid=1 << 22, size=3, digest=None,
              xattrs=(("security.capability", b"\1\0\n\xff"),), owner="files:0"),
        Entry.symlink("b", "größe", owner="files:0"),
    ]  # fmt: skip
    made = member("a", b"abc", "files:0")
    entries[0] = Entry(
        **{name: getattr(entries[0], name) for name in Entry.__slots__}
        | {"digest": made.digest, "body": made.body}
    )
    reader = MemoryReader({"a": b"abc"})
    ((layer, blob),) = layers_of(tmp_path, (tree(entries, [part("files:0")]), {"files:0": reader}))
    link, file = Opened(blob, dict(layer.descriptor.annotations)).toc["entries"]
    assert link == {
        "type": "symlink", "name": "b", "linkName": "größe", "mode": 0o777,
        "modtime": "1980-01-01T00:00:00Z",
    }  # fmt: skip
    assert file["xattrs"] == {"security.capability": base64.b64encode(b"\1\0\n\xff").decode()}
    assert (file["uid"], file["gid"], file["mode"]) == (7, 1 << 22, 0o4755)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), max_size=12), big=st.integers(0, 9 << 20))
def test_any_sizes(tmp_path_factory, sizes, big):
    files = {f"f{number}": noise(number, size) for number, size in enumerate([*sizes, big])}
    given = (
        tree([member(name, data, "files:0") for name, data in files.items()], [part("files:0")]),
        {"files:0": MemoryReader(files)},
    )
    ((layer, blob),) = layers_of(tmp_path_factory.mktemp("x"), given)
    opened = Opened(blob, dict(layer.descriptor.annotations))
    assert opened.files() == files
    assert hashlib.sha256(opened.rebuild()).hexdigest() == layer.diff_id.hex


def test_names_with_quotes_and_controls():
    entry = Entry('a"\\\n\x7f', Kind.FILE, 0o644)
    end = chunked.trailer([chunked.Row(entry, b"h" * 512)], 100)
    assert Opened(bytes(100) + end.data, dict(end.annotations)).toc["entries"][0]["name"] == (
        entry.path
    )


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_skippable_frames_are_passed_over(size):
    blob = zstd.compress(b"x") + zstd.skippable(bytes(size)) + zstd.compress(b"y")
    assert unpack(blob) == b"xy"

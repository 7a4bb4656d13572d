"""OCI layouts on disk: exact, atomic, never over something else."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from staunch.adapters.store import FileStore
from staunch.errors import HostError, SpecError
from staunch.formats import oci
from staunch.model.digest import Digest
from staunch.model.image import Descriptor, PlatformImage
from staunch.publish.layout import write_layout
from staunch.publish.layout_files import Known
from staunch.publish.read import open_image
from tests.support.assembly import ARM64, build
from tests.support.listing import list_image

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "store")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(images, out, store, **extra):
    return write_layout(images, name="demo", tag="1.0", out=out, store=store, **extra)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_golden(tmp_path, store, encoding, update_golden):
    """The listing says where it broke, the digest that it broke."""
    out = tmp_path / "out"
    published = write([build(store, encoding=encoding)], out, store)
    text = f"{published.digest}\n{list_image(out)}"
    golden = GOLDEN / f"small-{encoding}.txt"
    if update_golden:
        golden.write_text(text)
    assert text == golden.read_text()


def test_layout_as_the_specification_says(tmp_path, store):
    image = build(store)
    published = write([image], tmp_path / "out", store)
    files = snapshot(tmp_path / "out")
    assert json.loads(files.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files.pop("index.json"))
    (entry,) = index["manifests"]
    assert entry["digest"] == str(published.digest) == str(image.manifest.digest)
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}
    assert entry["annotations"] == {
        "io.containerd.image.name": "demo:1.0",
        "org.opencontainers.image.ref.name": "1.0",
    }
    for path, data in files.items():
        assert path == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    assert len(files) == 2 + len(image.layers)


def test_two_platforms_share_an_index(tmp_path, store):
    images = [build(store, platform=ARM64), build(store)]
    published = write(images, tmp_path / "out", store, annotations=(("a", "b"),))
    with open_image(tmp_path / "out") as source:
        assert source.digest == published.digest
        assert [str(each.platform) for each in source.images] == ["linux/amd64", "linux/arm64"]
    again = write(images[::-1], tmp_path / "again", store, annotations=(("a", "b"),))
    assert again.digest == published.digest
    assert snapshot(tmp_path / "again") == snapshot(tmp_path / "out")


@pytest.mark.parametrize("count", [0, 2])
def test_no_platform_or_one_twice(tmp_path, store, count):
    with pytest.raises(SpecError, match="cannot write the image demo"):
        write([build(store)] * count, tmp_path / "out", store)
    assert not (tmp_path / "out").exists()


def test_referrers_come_along(tmp_path, store):
    image = build(store)
    sbom, empty = store.put(b'{"spdx":1}'), store.put(b"{}")
    data = oci.manifest(
        Descriptor("application/vnd.oci.empty.v1+json", empty, 2),
        [Descriptor("application/spdx+json", sbom, 10)],
        artifact_type="application/spdx+json",
        subject=image.manifest,
    )
    referrer = Descriptor(oci.MEDIA_MANIFEST, store.put(data), len(data))
    published = write([image], tmp_path / "out", store, referrers=[referrer])
    assert published.digest == image.manifest.digest
    with open_image(tmp_path / "out") as source:
        assert dict(source.annotations) == {"dev.staunch.referrers": str(referrer.digest)}
        found = oci.parse_manifest(source.read_blob(referrer.digest, max_bytes=1000))
        assert found.subject == image.manifest.digest
        assert source.read_blob(sbom, max_bytes=1000) == b'{"spdx":1}'
        assert len(source.images) == 1


# -- what stands there already


def test_a_layout_is_replaced(tmp_path, store):
    out = tmp_path / "out"
    write([build(store, encoding="gzip")], out, store)
    kept = write([build(store)], out, store)
    write([build(store)], tmp_path / "new", store)
    assert snapshot(out) == snapshot(tmp_path / "new")
    assert kept.digest == write([build(store)], out, store).digest


def test_blobs_that_are_right_are_not_written_again(tmp_path, store):
    out = tmp_path / "out"
    image = build(store)
    write([image], out, store)
    before = {path.name: path.stat().st_ino for path in (out / "blobs/sha256").iterdir()}
    bad = out / "blobs/sha256" / image.layers[0].descriptor.digest.hex
    bad.write_bytes(bytes(bad.stat().st_size))
    write([image], out, store)
    after = {path.name: path.stat().st_ino for path in (out / "blobs/sha256").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {bad.name}
    assert hashlib.sha256(bad.read_bytes()).hexdigest() == bad.name


def remembered(out: Path, store: FileStore) -> dict[str, list[int]]:
    return json.loads(store.record("layout", Digest.of(f"layout/1\0{out}".encode()).hex))


def test_blobs_that_nobody_touched_are_not_read_again(tmp_path, store):
    out = tmp_path / "out"
    image = build(store)
    write([image], out, store)
    time.sleep(0.03)  # states of the last moment are not remembered
    write([image], out, store)
    layer = image.layers[0].descriptor
    path = out / "blobs/sha256" / layer.digest.hex
    status = path.stat()
    state = [status.st_dev, status.st_ino, layer.size, status.st_mtime_ns, status.st_ctime_ns]
    assert remembered(out, store)[layer.digest.hex] == state
    time.sleep(0.03)
    path.write_bytes(bytes(layer.size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # ctime cannot be set back
    assert not Known(out, store).is_there(layer)
    # a state that this store says it found right is believed, so the file is not even opened
    state[4] = path.stat().st_ctime_ns
    known = Digest.of(f"layout/1\0{out}".encode()).hex
    store.put_record("layout", known, json.dumps({layer.digest.hex: state}).encode())
    assert Known(out, store).is_there(layer)


def test_what_is_remembered_of_a_layout_is_a_hint_only(tmp_path, store):
    out = tmp_path / "out"
    image = build(store)
    layer = image.layers[0].descriptor
    write([image], out, store)
    for nonsense in (b"", b"[]", b"{", b'{"a": 1}', b'{"a": [1, 2, 3, 4, "x"]}'):
        key = Digest.of(f"layout/1\0{out}".encode()).hex
        store.put_record("layout", key, nonsense)
        assert Known(out, store).is_there(layer)


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
def test_a_linked_folder_is_not_tidied_up(tmp_path, store, name):
    """A layout that somebody else made may lead to our own files; blobs nobody names are removed."""
    out = tmp_path / "out"
    write([build(store)], out, store)
    mine = tmp_path / "mine"
    (out / name).rename(mine)
    (out / name).symlink_to(mine)
    kept = mine if name == "blobs/sha256" else mine / "sha256"
    (kept / "thesis").write_text("mine")
    with pytest.raises(SpecError, match="will not overwrite"):
        write([build(store)], out, store)
    assert (kept / "thesis").read_text() == "mine"


@pytest.mark.parametrize("what", ["file", "folder", "half"])
def test_nothing_else_is_overwritten(tmp_path, store, what):
    out = tmp_path / "out"
    if what == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / ("thesis.txt" if what == "folder" else "oci-layout")).write_text("mine")
    before = snapshot(tmp_path / "out")
    with pytest.raises(SpecError, match="will not overwrite") as caught:
        write([build(store)], out, store)
    assert "not an OCI image layout" in caught.value.why
    assert snapshot(out) == before


def test_an_empty_folder_is_taken(tmp_path, store):
    (tmp_path / "out").mkdir()
    write([build(store)], tmp_path / "out", store)
    assert (tmp_path / "out/index.json").exists()


def test_a_lost_blob_leaves_what_was_there(tmp_path, store):
    out = tmp_path / "out"
    image = build(store)
    gone = Descriptor(oci.MEDIA_CONFIG, image.config.digest, image.config.size + 1)
    broken = PlatformImage(image.platform, image.manifest, gone, image.layers)
    with pytest.raises(HostError, match="is gone from the store"):
        write([broken], out, store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
    write([build(store, encoding="gzip")], out, store)
    before = snapshot(out)
    with pytest.raises(HostError, match="is gone from the store"):
        write([broken], out, store)
    assert snapshot(out) == before


def test_a_place_that_cannot_be_written(tmp_path, store):
    (tmp_path / "file").write_text("x")
    with pytest.raises(HostError, match="cannot write") as caught:
        write([build(store)], tmp_path / "file" / "out", store)
    assert caught.value.why == "File exists"


def test_the_umask_decides_who_may_read(tmp_path, store):
    image = build(store)
    before = os.umask(0o022)
    try:
        write([image], tmp_path / "out", store)
    finally:
        os.umask(before)
    assert (tmp_path / "out/index.json").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


LOOP = """
import sys
from pathlib import Path
from staunch.adapters.store import FileStore
from staunch.publish.layout import write_layout
from tests.support.assembly import build
store = FileStore(Path(sys.argv[1]))
images = [build(store, encoding=name) for name in ("zstd", "gzip")]
print("ready", flush=True)
while True:
    for image in images:
        write_layout([image], name="demo", tag="1.0", out=Path(sys.argv[2]), store=store)
"""


def test_kill_at_any_moment_leaves_a_whole_layout(tmp_path, store):
    """Before, between and after: index.json names only blobs that are whole."""
    out = tmp_path / "out"
    write([build(store)], out, store)
    for number in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", LOOP, store.root, out], stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"
        for _ in range(number * 40):
            (out / "index.json").stat()
        process.kill()
        process.communicate()
        with open_image(out) as source:
            for layer in source.image().raw_layers():
                for _ in layer:
                    pass
    write([build(store)], out, store)
    write([build(store)], tmp_path / "new", store)
    assert snapshot(out) == snapshot(tmp_path / "new")


def test_leftovers_of_killed_writers_go(tmp_path, store):
    left, other = tmp_path / f".out.{'ab' * 8}", tmp_path / ".out.mine"
    left.mkdir()
    (left / "x").write_text("x")
    other.mkdir()
    write([build(store)], tmp_path / "out", store)
    assert not left.exists()
    assert other.exists()

"""Images in one file."""

import hashlib
import json
import tarfile

import pytest

from staunch.adapters.store import FileStore
from staunch.errors import HostError, SpecError, UntrustedError
from staunch.model.digest import Digest
from staunch.model.image import Layer, PlatformImage
from staunch.publish.archive import write_docker_archive, write_oci_archive
from staunch.publish.layout import write_layout
from tests.support.assembly import ARM64, build
from tests.support.listing import list_image


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "store")


def contents(path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}


def test_oci_archive_is_the_layout(tmp_path, store):
    images = [build(store), build(store, platform=ARM64)]
    layout = write_layout(images, name="demo", tag="x", out=tmp_path / "out", store=store)
    archive = write_oci_archive(images, name="demo", tag="x", out=tmp_path / "o.tar", store=store)
    assert archive.digest == layout.digest
    assert contents(tmp_path / "o.tar") == {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert list_image(tmp_path / "o.tar") == list_image(tmp_path / "out")


def test_docker_archive(tmp_path, store):
    image = build(store)
    write_docker_archive([image], name="demo", tag="x", out=tmp_path / "d.tar", store=store)
    files = contents(tmp_path / "d.tar")
    (entry,) = json.loads(files["manifest.json"])
    assert entry["RepoTags"] == ["demo:x"]
    assert hashlib.sha256(files[entry["Config"]]).hexdigest() == image.config.digest.hex
    for path, layer in zip(entry["Layers"], image.layers, strict=True):
        assert hashlib.sha256(files[path]).hexdigest() == layer.diff_id.hex
    assert json.loads(files["repositories"]) == {"demo": {"x": image.layers[-1].diff_id.hex}}
    assert len(files) == len(image.layers) + 3
    write_layout([image], name="demo", tag="x", out=tmp_path / "out", store=store)
    assert list_image(tmp_path / "d.tar") == list_image(tmp_path / "out")


@pytest.mark.parametrize("write", [write_oci_archive, write_docker_archive])
def test_same_bytes_each_time_and_over_an_old_one(tmp_path, store, write):
    image = build(store)
    seen = set()
    for out in (tmp_path / "a.tar", tmp_path / "b.tar", tmp_path / "a.tar"):
        write([image], name="demo", tag="x", out=out, store=store)
        seen.add(out.read_bytes())
    assert len(seen) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar", "store"]


def test_docker_archives_hold_one_platform(tmp_path, store):
    images = [build(store), build(store, platform=ARM64)]
    with pytest.raises(SpecError, match="as a docker archive") as caught:
        write_docker_archive(images, name="demo", tag="x", out=tmp_path / "d.tar", store=store)
    assert "the image has 2" in caught.value.why


@pytest.mark.parametrize("write", [write_oci_archive, write_docker_archive])
def test_a_directory_is_not_overwritten(tmp_path, store, write):
    (tmp_path / "d").mkdir()
    with pytest.raises(SpecError, match="will not overwrite"):
        write([build(store)], name="demo", tag="x", out=tmp_path / "d", store=store)


def test_failure_leaves_the_old_file(tmp_path, store):
    image = build(store)
    out = tmp_path / "d.tar"
    out.write_bytes(b"old")
    first = image.layers[0]
    lie = Layer(first.name, first.descriptor, Digest.of(b"lie"), first.raw_size)
    short = Layer(first.name, first.descriptor, first.diff_id, first.raw_size + 512)
    for layer, error in ((lie, "is not what it was"), (short, "another length")):
        broken = PlatformImage(
            image.platform, image.manifest, image.config, (layer, *image.layers[1:])
        )
        with pytest.raises(UntrustedError, match=error):
            write_docker_archive([broken], name="demo", tag="x", out=out, store=store)
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.tar", "store"]


def test_a_place_that_cannot_be_written(tmp_path, store):
    (tmp_path / "file").write_text("x")
    with pytest.raises(HostError, match="cannot write"):
        write_oci_archive(
            [build(store)], name="d", tag="x", out=tmp_path / "file" / "o.tar", store=store
        )

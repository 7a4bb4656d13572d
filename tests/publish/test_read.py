"""Opening images: each promise is checked, whoever made them."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.adapters.store import FileStore
from staunch.errors import SpecError, StaunchError, UntrustedError
from staunch.formats import oci
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.platform import Platform
from staunch.publish.archive import write_docker_archive, write_oci_archive
from staunch.publish.layout import write_layout
from staunch.publish.read import open_image
from tests.support.assembly import AMD64, ARM64, build
from tests.support.layouts import tar_of


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "store")


@pytest.fixture
def image(store):
    return build(store)


@pytest.fixture
def layout(tmp_path, store, image):
    return write_layout([image], name="demo", tag="x", out=tmp_path / "out", store=store).path


def read_all(path: Path) -> list[bytes]:
    with open_image(path) as source:
        return [b"".join(layer) for layer in source.image().raw_layers()]


def test_every_form_gives_the_same(tmp_path, store, image, layout):
    write_oci_archive([image], name="demo", tag="x", out=tmp_path / "o.tar", store=store)
    write_docker_archive([image], name="demo", tag="x", out=tmp_path / "d.tar", store=store)
    seen = []
    for path, kind in (("out", "oci-dir"), ("o.tar", "oci-archive"), ("d.tar", "docker-archive")):
        with open_image(tmp_path / path) as source:
            assert source.kind == kind
            found = source.image(AMD64)
            assert found.config.user == "65532"
            assert Digest.of(found.config_bytes) == image.config.digest
            assert len(found.layers) == len(image.layers)
        seen.append(read_all(tmp_path / path))
    assert seen[0] == seen[1] == seen[2]


def test_platforms_are_chosen(tmp_path, store, image):
    both = [image, build(store, platform=ARM64)]
    write_layout(both, name="demo", tag="x", out=tmp_path / "two", store=store)
    with open_image(tmp_path / "two") as source:
        assert source.image(ARM64).config.architecture == "arm64"
        with pytest.raises(SpecError, match="no single image to choose") as caught:
            source.image()
        assert "linux/amd64, linux/arm64" in caught.value.why
    with open_image(tmp_path / "two") as source, pytest.raises(SpecError):
        source.image(Platform("linux", "riscv64"))


# -- tampering


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_one_byte_of_any_blob_is_noticed(layout):
    for path in sorted((layout / "blobs/sha256").iterdir()):
        good = path.read_bytes()
        change(path)
        with pytest.raises(UntrustedError):
            read_all(layout)
        path.write_bytes(good[:-1])
        with pytest.raises(UntrustedError):
            read_all(layout)
        path.write_bytes(good)
    assert read_all(layout)


def test_a_wrong_digest_names_both(layout, image):
    path = layout / "blobs/sha256" / image.manifest.digest.hex
    change(path)
    with pytest.raises(UntrustedError, match="not what it promises") as caught:
        read_all(layout)
    assert f"wanted {image.manifest.digest}" in caught.value.why
    assert f"got {Digest.of(path.read_bytes())}" in caught.value.why


def test_a_swapped_layer_is_noticed_by_its_diff_id(layout, store):
    """Stored digest and manifest fit; what it unpacks to is not what the config says."""
    other = gzip.compress(tar_of({"evil": b"x"}))
    rewrite(layout, lambda manifest, config: manifest["layers"][0].update(put(layout, other)))
    with pytest.raises(UntrustedError, match="not what it promises") as caught:
        read_all(layout)
    assert "unpacked" in caught.value.why


def put(layout: Path, data: bytes) -> dict[str, object]:
    digest = Digest.of(data)
    (layout / "blobs/sha256" / digest.hex).write_bytes(data)
    return {"digest": str(digest), "size": len(data)}


def rewrite(layout: Path, edit) -> None:
    """Change manifest and config, and mend all digests above them."""
    index = json.loads((layout / "index.json").read_bytes())
    blob = layout / "blobs/sha256"
    manifest = json.loads((blob / index["manifests"][0]["digest"][7:]).read_bytes())
    config = json.loads((blob / manifest["config"]["digest"][7:]).read_bytes())
    edit(manifest, config)
    manifest["config"].update(put(layout, json.dumps(config).encode()))
    index["manifests"][0].update(put(layout, json.dumps(manifest).encode()))
    (layout / "index.json").write_text(json.dumps(index))


def test_layers_and_diff_ids_must_pair(layout):
    rewrite(layout, lambda _, config: config["rootfs"]["diff_ids"].pop())
    with pytest.raises(UntrustedError, match="cannot read the image") as caught:
        read_all(layout)
    assert "5 layers, 4 diff_ids" in caught.value.why


def test_foreign_platforms_are_passed_over(layout):
    rewrite(layout, lambda _, config: config.update(os="unknown", architecture="unknown"))
    with open_image(layout) as source:
        assert source.images == ()
        with pytest.raises(SpecError, match="no single image") as caught:
            source.image()
    assert "it holds none" in caught.value.why


def test_indexes_in_a_circle_end(layout):
    data = oci.index([(None, Descriptor(oci.MEDIA_INDEX, Digest.of(b"x"), 1))])
    for _ in range(8):
        made = put(layout, data)
        data = oci.index(
            [(None, Descriptor(oci.MEDIA_INDEX, Digest.parse(str(made["digest"])), len(data)))]
        )
    (layout / "index.json").write_bytes(data)
    with pytest.raises(UntrustedError, match="cannot read the image") as caught:
        read_all(layout)
    assert "nested more than 4 deep" in caught.value.why


def test_a_bomb_of_indexes_ends(layout, image):
    """Four indexes of a thousand entries each, all the same, would be read 10^12 times."""
    each = Descriptor(oci.MEDIA_MANIFEST, image.manifest.digest, image.manifest.size)
    for _ in range(4):
        data = oci.index([(None, each)] * 1000)
        made = put(layout, data)
        each = Descriptor(oci.MEDIA_INDEX, Digest.parse(str(made["digest"])), len(data))
    (layout / "index.json").write_bytes(oci.index([(None, each)]))
    with pytest.raises(UntrustedError, match="cannot read the image") as caught:
        read_all(layout)
    assert "named more than once" in caught.value.why


def test_a_platform_twice(layout, image):
    blob = layout / "blobs/sha256" / image.manifest.digest.hex
    document = json.loads(blob.read_bytes())
    document["annotations"] = {"other": "1"}
    second = put(layout, json.dumps(document).encode())
    both = oci.index(
        [
            (AMD64, image.manifest),
            (AMD64, Descriptor(oci.MEDIA_MANIFEST, Digest.parse(str(second["digest"])), int(str(second["size"])))),
        ]
    )  # fmt: skip
    made = put(layout, both)
    (layout / "index.json").write_bytes(
        oci.index(
            [(None, Descriptor(oci.MEDIA_INDEX, Digest.parse(str(made["digest"])), len(both)))]
        )
    )
    with pytest.raises(UntrustedError, match="cannot read the image") as caught:
        read_all(layout)
    assert "platform stands twice" in caught.value.why


def test_a_bomb_ends_at_the_limit(layout):
    with open_image(layout) as source, pytest.raises(UntrustedError, match="unpacks to too much"):
        for layer in source.image().raw_layers(max_bytes=1000):
            for _ in layer:
                pass


def test_read_blob_has_a_limit(layout, image):
    with open_image(layout) as source, pytest.raises(UntrustedError, match="cannot read") as caught:
        source.read_blob(image.layers[2].descriptor.digest, max_bytes=10)
    assert "the limit is 10" in caught.value.why


def test_links_and_folders_are_no_blobs(layout, image, tmp_path):
    path = layout / "blobs/sha256" / image.config.digest.hex
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UntrustedError, match="cannot read") as caught:
        read_all(layout)
    assert "it is missing" in caught.value.why
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UntrustedError, match="cannot read"):
        read_all(layout)


# -- several images, other makers


def test_tags(layout, image):
    index = json.loads((layout / "index.json").read_bytes())
    second = json.loads(json.dumps(index["manifests"][0]))
    second["annotations"]["org.opencontainers.image.ref.name"] = "y"
    index["manifests"].append(second)
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(SpecError, match="cannot choose an image") as caught:
        read_all(layout)
    assert "x, y" in caught.value.why
    with open_image(layout, tag="y") as source:
        assert source.digest == image.manifest.digest
    with pytest.raises(SpecError) as caught, open_image(layout, tag="z"):
        pass
    assert "wanted the tag z" in caught.value.why


def save(files: dict[str, bytes | str | None]) -> bytes:
    return tar_of(files)


def docker(layer: bytes, **changes) -> dict[str, bytes | str | None]:
    config = {
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer))]},
    }  # fmt: skip
    entry = {"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["1/layer.tar"], **changes}
    return {
        "c.json": json.dumps(config).encode(),
        "1/layer.tar": layer,
        "manifest.json": json.dumps([entry]).encode(),
    }


def test_docker_save_with_links(tmp_path):
    layer = tar_of({"etc/x": b"x"})
    files = docker(layer, Layers=["2/layer.tar"])
    files["2/layer.tar"] = "../1/layer.tar"
    (tmp_path / "d.tar").write_bytes(save(files))
    assert read_all(tmp_path / "d.tar") == [layer]


def test_docker_layers_may_be_compressed(tmp_path):
    layer = tar_of({"etc/x": b"x"})
    files = docker(layer)
    files["1/layer.tar"] = gzip.compress(layer)
    (tmp_path / "d.tar").write_bytes(save(files))
    assert read_all(tmp_path / "d.tar") == [layer]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Config": 7}, "Config: wanted a string"),
        ({"Config": "no.json"}, "no.json: it is missing"),
        ({"Layers": "x"}, "Layers: wanted a list of strings"),
        ({"Layers": [1]}, "Layers: wanted a list of strings"),
        ({"Layers": []}, "0 layers, 1 diff_ids"),
        ({"Layers": ["../../etc/passwd"]}, "it is missing"),
    ],
)
def test_docker_manifests_that_are_wrong(tmp_path, changes, why):
    (tmp_path / "d.tar").write_bytes(save(docker(tar_of({}), **changes)))
    with pytest.raises(UntrustedError, match="cannot read the image") as caught:
        read_all(tmp_path / "d.tar")
    assert why in caught.value.why


@pytest.mark.parametrize("document", [b"{", b"{}", b"[]", b"[{},{}]", b"[7]"])
def test_docker_manifests_that_are_none(tmp_path, document):
    (tmp_path / "d.tar").write_bytes(save({"manifest.json": document}))
    with pytest.raises(UntrustedError, match="cannot read the image"):
        read_all(tmp_path / "d.tar")


def test_no_image_at_all(tmp_path):
    with pytest.raises(SpecError, match="there is no image at"), open_image(tmp_path / "nothing"):
        pass
    (tmp_path / "t.tar").write_bytes(save({"x": b"x"}))
    for path in (tmp_path, tmp_path / "t.tar"):
        with pytest.raises(SpecError, match="is no image"), open_image(path):
            pass
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SpecError, match="is no image"), open_image(tmp_path / "fifo"):
        pass


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_is_refused_or_the_same(tmp_path_factory, data):
    """Whatever byte is changed: an error of ours, or exactly the same content."""
    folder = tmp_path_factory.mktemp("x")
    layer = tar_of({"etc/x": b"x" * 50})
    out = io.BytesIO(save(docker(layer)))
    raw = bytearray(out.getvalue())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    (folder / "d.tar").write_bytes(bytes(raw))
    try:
        assert read_all(folder / "d.tar") == [layer]
    except StaunchError as e:
        assert e.mend


def test_stdlib_agrees_about_members(tmp_path, store, image):
    write_oci_archive([image], name="demo", tag="x", out=tmp_path / "o.tar", store=store)
    with tarfile.open(tmp_path / "o.tar") as tar:
        names = tar.getnames()
    assert names == sorted(names)
    assert len(names) == len(set(names))

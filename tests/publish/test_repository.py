"""Layouts and archives as repositories: what is written is found, what lies is refused."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from staunch.errors import HostError, SpecError, UndecidedError, UntrustedError
from staunch.formats import oci
from staunch.formats.oci_links import referrers_index, referrers_tag
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.ports import Referrer
from staunch.publish.layout import is_there
from staunch.publish.read import open_image
from staunch.publish.repository import TAGS, LayoutRepository, open_layout
from tests.support.layouts import tar_of, write_layout
from tests.support.signing import put_image
from tests.support.tools import need

LAYER = b"layer" * 1000


def content(data: bytes) -> Callable[[], AbstractContextManager[Iterator[bytes]]]:
    @contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        yield iter((data[:7], data[7:]))

    return opened


def described(data: bytes, media_type: str = oci.MEDIA_LAYER) -> Descriptor:
    return Descriptor(media_type, Digest.of(data), len(data))


def about(
    repository: LayoutRepository, subject: Descriptor, kind: str, tag: str = ""
) -> Descriptor:
    empty = described(b"{}", "application/vnd.oci.empty.v1+json")
    repository.put(empty, content(b"{}"))
    data = oci.manifest(empty, [empty], artifact_type=kind, subject=None if tag else subject)
    return repository.put_manifest(oci.MEDIA_MANIFEST, data, tag=tag)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return tmp_path / "app"


def test_a_round_trip(layout: Path) -> None:
    with open_layout(layout, write=True, image_name="registry.example.org/app") as repository:
        assert not layout.exists()
        assert (list(repository.tags()), repository.resolve("1")) == ([], None)
        image = put_image(repository, LAYER, tag="1")
        signature = about(repository, image, "", tag=f"sha256-{image.digest.hex}.sig")
        note = about(repository, image, "test/note")
        more = about(repository, note, "test/more")
    with open_layout(layout) as repository:
        assert list(repository.tags()) == ["1", f"sha256-{image.digest.hex}.sig"]
        assert repository.resolve("1") == repository.resolve(str(image.digest)) == image
        assert repository.resolve(f"sha256-{image.digest.hex}.sig") == signature
        assert [each.artifact_type for each in repository.referrers(image.digest)] == ["test/note"]
        assert [each.descriptor.digest for each in repository.referrers(note.digest)] == [
            more.digest
        ]
        assert repository.referrers(image.digest, artifact_type="else") == ()
        assert repository.has(image)
        assert repository.has(described(LAYER))
        assert repository.blob(described(LAYER)).pread(3, 1) == LAYER[1:4]
        with repository.stream(described(LAYER)) as pieces:
            assert b"".join(pieces) == LAYER
        assert repository.images() == (image,)
        with pytest.raises(SpecError, match="is read only here"):
            repository.put(described(b"x"), content(b"x"))
    index = json.loads((layout / "index.json").read_text())
    assert len(index["manifests"]) == 1  # other tools refuse several
    assert index["manifests"][0]["annotations"] == {
        "io.containerd.image.name": "registry.example.org/app:1",
        "org.opencontainers.image.ref.name": "1",
    }
    with open_image(layout) as source:
        assert source.digest == image.digest


def test_a_tag_moves_and_others_stay(layout: Path) -> None:
    with open_layout(layout, write=True) as repository:
        one = put_image(repository, b"one", tag="1")
        two = put_image(repository, b"two", tag="2")
        moved = put_image(repository, b"three", tag="1")
        assert (repository.resolve("1"), repository.resolve("2")) == (moved, two)
        assert sorted(repository.tags()) == ["1", "2"]
        assert repository.resolve(str(one.digest)) == one
        assert not repository.put(described(b"one"), content(b"never read"))


def test_what_others_wrote_stays(layout: Path) -> None:
    write_layout(layout, [tar_of({"a": b"1"})])
    path = layout / "index.json"
    index = json.loads(path.read_text())
    index["manifests"][0]["urls"] = ["https://example.org"]
    index["annotations"] = {"mine": "kept"}
    index["future"] = {"x": [1]}
    path.write_text(json.dumps(index))
    with open_layout(layout, write=True) as repository:
        (image,) = repository.images()
        about(repository, image, "test/note")
    changed = json.loads(path.read_text())
    assert changed["manifests"] == index["manifests"]
    assert changed["future"] == {"x": [1]}
    assert changed["annotations"]["mine"] == "kept"


def test_entries_with_a_subject(layout: Path) -> None:
    """As oras writes a layout: referrers stand in index.json without a name."""
    with open_layout(layout, write=True) as repository:
        image = put_image(repository, LAYER, tag="1")
        note = about(repository, image, "test/note")
        by_tag = about(repository, image, "test/by-tag")
    index = json.loads((layout / "index.json").read_text())
    del index["annotations"]
    entry = {"mediaType": note.media_type, "digest": str(note.digest), "size": note.size}
    index["manifests"].append(entry)
    (layout / "index.json").write_text(json.dumps(index))
    with open_layout(layout) as repository:
        assert [each.artifact_type for each in repository.referrers(image.digest)] == ["test/note"]
        assert repository.images() == (image,)
    with open_layout(layout, write=True) as repository:
        data = referrers_index([Referrer(by_tag, "test/by-tag")])
        repository.put_manifest(oci.MEDIA_INDEX, data, tag=referrers_tag(image.digest))
        kinds = {each.artifact_type for each in repository.referrers(image.digest)}
    assert kinds == {"test/note", "test/by-tag"}


@pytest.mark.interop
def test_oras_reads_and_writes_the_same(layout: Path, tmp_path: Path) -> None:
    with open_layout(layout, write=True) as repository:
        image = put_image(repository, LAYER, tag="1")
    (tmp_path / "note").write_text("note")
    oras = [need("oras"), "attach", "--oci-layout", "--artifact-type", "test/oras", f"{layout}:1"]
    subprocess.run([*oras, "note:test/x"], check=True, capture_output=True, cwd=tmp_path)
    with open_layout(layout) as repository:
        assert [each.artifact_type for each in repository.referrers(image.digest)] == ["test/oras"]
        assert repository.images() == (image,)


def test_an_archive(layout: Path, tmp_path: Path) -> None:
    with open_layout(layout, write=True) as repository:
        image = put_image(repository, LAYER, tag="1")
        about(repository, image, "test/note")
    archive = tmp_path / "app.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, arcname="./")
    with open_layout(archive) as repository:
        assert repository.resolve("1") == image
        assert len(repository.referrers(image.digest)) == 1
    with pytest.raises(SpecError, match="will not overwrite"), open_layout(archive, write=True):
        pass


def test_what_lies(layout: Path) -> None:
    with open_layout(layout, write=True) as repository:
        image = put_image(repository, LAYER, tag="1")
        layer = described(LAYER)
        path = layout / "blobs/sha256" / layer.digest.hex
        assert is_there(path, layer)
        path.write_bytes(LAYER[:-1] + b"x")
        assert not repository.has(layer)
        assert not repository.has(image)
        with (
            pytest.raises(UntrustedError, match="is not what it promises"),
            repository.stream(layer) as pieces,
        ):
            list(pieces)
        path.write_bytes(LAYER[:-1])
        with pytest.raises(UntrustedError, match="is not what it promises"):
            repository.blob(layer)
        path.unlink()
        with pytest.raises(UndecidedError, match="has no sha256:"), repository.stream(layer) as it:
            list(it)
        assert repository.put(layer, content(LAYER))
        assert repository.has(image)
        for wrong, why in (
            (Descriptor("x", Digest.of(b"else"), 3), "it has the digest"),
            (Descriptor("x", Digest.of(b"abc"), 2), "or more"),
            (Descriptor("x", Digest.of(b"abc"), 4), "got 3"),
        ):
            with pytest.raises(UntrustedError) as caught:
                repository.put(wrong, content(b"abc"))
            assert why in caught.value.why
        assert [each.name for each in (layout / "blobs/sha256").glob(".*")] == []
        huge = Descriptor(oci.MEDIA_MANIFEST, image.digest, 5 << 20)
        with pytest.raises(UntrustedError, match="is not what it promises"):
            repository.manifest(huge)


@pytest.mark.parametrize(
    ("annotations", "why"),
    [
        ({oci.REFERRERS: "sha256:1"}, "not a digest"),
        ({TAGS: "a b"}, "not a digest"),
        ({TAGS: f"../x=sha256:{'0' * 64}"}, "is no tag"),
    ],
)
def test_annotations_that_lie(layout: Path, annotations: dict[str, str], why: str) -> None:
    with open_layout(layout, write=True) as repository:
        put_image(repository, LAYER, tag="1")
    index = json.loads((layout / "index.json").read_text())
    (layout / "index.json").write_text(json.dumps({**index, "annotations": annotations}))
    with pytest.raises(UntrustedError, match="list of artifacts") as caught, open_layout(layout):
        pass
    assert why in caught.value.why


def test_documents_of_a_gigabyte(layout: Path) -> None:
    """Refused by their size, before they are read."""
    with open_layout(layout, write=True) as repository:
        image = put_image(repository, LAYER, tag="1")
    os.truncate(layout / "blobs/sha256" / image.digest.hex, 1 << 30)
    with open_layout(layout) as repository:
        with pytest.raises(UntrustedError, match="is not what it promises"):
            repository.manifest(image)
        assert not repository.has(image)
    os.truncate(layout / "index.json", 1 << 30)
    with (
        pytest.raises(UntrustedError, match="cannot read the image") as caught,
        open_layout(layout),
    ):
        pass
    assert "1,073,741,824 bytes" in caught.value.why


def test_places_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no image"), open_layout(tmp_path / "none"):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(SpecError, match="is no OCI layout"), open_layout(tmp_path):
        pass
    with pytest.raises(SpecError, match="will not overwrite"), open_layout(tmp_path, write=True):
        pass
    (tmp_path / "l").mkdir()
    (tmp_path / "l/oci-layout").write_bytes(oci.LAYOUT)
    with pytest.raises(UntrustedError, match="cannot read the image"), open_layout(tmp_path / "l"):
        pass


def test_a_full_disk_says_so(layout: Path) -> None:
    layout.parent.joinpath("file").write_text("")
    with (
        open_layout(layout.parent / "file/app", write=True) as repository,
        pytest.raises(HostError, match="cannot write"),
    ):
        repository.put(described(b"x"), content(b"x"))

"""The order of a copy, what it leaves out, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from staunch.apps.cli.progress import NoProgress
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.copy import copy, one_platform, plan
from staunch.flows.signing import put_bytes
from staunch.formats import oci
from staunch.formats.oci_links import referrers_tag
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.platform import Platform
from staunch.publish.repository import LayoutRepository, open_layout
from tests.support.memory_repository import MemoryRepository
from tests.support.signing import put_image

ARM, AMD = Platform("linux", "arm64"), Platform("linux", "amd64")


@dataclass
class Watched(MemoryRepository):
    """Keeps what was written, in order; refuses from the ``limit``-th write on."""

    written: list[str] = field(default_factory=list)
    limit: int = 1 << 30

    def put(
        self,
        descriptor: Descriptor,
        content: Callable[[], AbstractContextManager[Iterator[bytes]]],
        *,
        mount_from: str = "",
    ) -> bool:
        self._write(str(descriptor.digest))
        return super().put(descriptor, content, mount_from=mount_from)

    def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
        self._write(tag or str(Digest.of(data)))
        return super().put_manifest(media_type, data, tag=tag)

    def _write(self, what: str) -> None:
        if len(self.written) >= self.limit:
            raise UndecidedError("it is down", why="a test", mend="none")
        self.written.append(what)


def about(repository: MemoryRepository, subject: Descriptor, kind: str) -> Descriptor:
    note = put_bytes(repository, "test/x", kind.encode())
    data = oci.manifest(note, [note], artifact_type=kind, subject=subject)
    return repository.put_manifest(oci.MEDIA_MANIFEST, data)


def two_platforms(repository: MemoryRepository, tag: str = "") -> tuple[Descriptor, ...]:
    arm = put_image(repository, b"shared", b"arm", architecture="arm64")
    amd = put_image(repository, b"shared", b"amd")
    index = oci.index([(ARM, arm), (AMD, amd)])
    return repository.put_manifest(oci.MEDIA_INDEX, index, tag=tag), arm, amd


def everything() -> tuple[MemoryRepository, dict[str, Descriptor]]:
    """An index with signatures by tag, an SBOM of one platform, and a signature of the SBOM."""
    source = MemoryRepository()
    top, arm, amd = two_platforms(source, "1")
    sbom = about(source, amd, "sbom")
    signed = about(source, sbom, "signature")
    layer = put_bytes(source, "test/sig", b"signature of the index")
    data = oci.manifest(layer, [layer])
    tagged = source.put_manifest(oci.MEDIA_MANIFEST, data, tag=f"{referrers_tag(top.digest)}.sig")
    return source, {
        "top": top, "arm": arm, "amd": amd, "sbom": sbom, "signed": signed, "tagged": tagged
    }  # fmt: skip


def test_everything_in_an_order_that_never_dangles() -> None:
    source, made = everything()
    target = Watched()
    done = copy(source, made["top"], target, tag="1", progress=NoProgress())
    assert (done.manifests, done.referrers, done.tagged) == (3, 3, True)
    assert target.written[-2:] == [f"{referrers_tag(made['top'].digest)}.sig", "1"]
    place = {name: target.written.index(str(each.digest)) for name, each in made.items()}
    assert place["amd"] < place["sbom"] < place["signed"]
    assert max(place["arm"], place["amd"]) < place["top"] < place["tagged"]
    blobs = [n for n, each in enumerate(target.written) if each.removeprefix("sha256:") in
             {digest.hex for digest in source.blobs}]  # fmt: skip
    assert max(blobs) < min(place.values())
    assert target.manifests.keys() == source.manifests.keys()
    again = copy(source, made["top"], target, tag="1", progress=NoProgress())
    assert (again.sent, again.moved_bytes, again.tagged) == (0, 0, False)
    assert again.skipped_bytes == done.moved_bytes + done.skipped_bytes


def test_cut_at_every_step_and_gone_on_with() -> None:
    source, made = everything()
    whole = Watched()
    copy(source, made["top"], whole, tag="1", progress=NoProgress())
    target = Watched(limit=0)
    for limit in range(len(whole.written)):
        target.limit = limit
        with pytest.raises(UndecidedError, match="it is down"):
            copy(source, made["top"], target, tag="1", progress=NoProgress(), threads=1)
        assert target.resolve("1") is None
    target.limit = 1 << 30
    copy(source, made["top"], target, tag="1", progress=NoProgress())
    assert sorted(target.written) == sorted(whole.written)  # nothing was sent twice
    assert target.resolve("1") == made["top"]


def test_without_referrers() -> None:
    source, made = everything()
    target = Watched()
    done = copy(source, made["top"], target, referrers=False, progress=NoProgress())
    assert (done.referrers, done.tagged) == (0, False)
    assert not target.tagged
    assert target.referrers(made["amd"].digest) == ()


def test_a_new_signature_of_an_old_image() -> None:
    source, made = everything()
    target = Watched()
    copy(source, made["top"], target, tag="1", progress=NoProgress())
    new = about(source, made["top"], "new")
    done = copy(source, made["top"], target, tag="1", progress=NoProgress())
    assert (done.sent, done.moved_blobs, done.tagged) == (1, 1, False)
    assert [each.descriptor.digest for each in target.referrers(made["top"].digest)] == [new.digest]


def test_one_platform() -> None:
    source, made = everything()
    assert one_platform(source, made["top"], ARM) == made["arm"]
    assert one_platform(source, made["arm"], AMD) == made["arm"]
    data = oci.index([(ARM, made["arm"]), (ARM, made["amd"])])
    both = source.put_manifest(oci.MEDIA_INDEX, data)
    with pytest.raises(SpecError, match="has several images for linux/arm64"):
        one_platform(source, both, ARM)
    with pytest.raises(SpecError, match="has no image for linux/amd64") as caught:
        one_platform(source, both, AMD)
    assert "holds linux/arm64, linux/arm64" in caught.value.why


def test_indexes_without_end() -> None:
    source = MemoryRepository()
    inner = put_image(source, b"x")
    for _ in range(9):
        inner = source.put_manifest(
            oci.MEDIA_INDEX if inner.media_type else "", oci.index([(None, inner)])
        )
    with pytest.raises(UntrustedError, match="holds manifests without end"):
        plan(source, inner)


def test_an_index_that_names_itself(tmp_path: Path) -> None:
    """No digest can be its own content's; a file that pretends so is found out."""
    path = tmp_path / "loop"
    with open_layout(path, write=True) as layout:
        image = put_image(layout, b"x")
        top = layout.put_manifest(oci.MEDIA_INDEX, oci.index([(None, image)]), tag="1")
    loop = {"mediaType": oci.MEDIA_INDEX, "digest": str(top.digest), "size": 0}
    document = {"schemaVersion": 2, "mediaType": oci.MEDIA_INDEX, "manifests": [loop]}
    for _ in range(4):  # until the size it names is its own
        data = json.dumps(document).encode()
        loop["size"] = len(data)
    (path / "blobs/sha256" / top.digest.hex).write_bytes(data)
    index = json.loads((path / "index.json").read_text())
    index["manifests"][0]["size"] = len(data)
    (path / "index.json").write_text(json.dumps(index))
    with open_layout(path) as layout, pytest.raises(UntrustedError, match="not what it promises"):
        plan(layout, Descriptor(oci.MEDIA_INDEX, top.digest, len(data)))


def test_what_is_missing_is_told() -> None:
    source, made = everything()
    target = Watched()
    source.blobs[next(iter(source.blobs))] = b"other"
    with pytest.raises(UntrustedError):
        copy(source, made["top"], target, tag="1", progress=NoProgress())
    assert not target.tagged
    assert not target.manifests


def test_unknown_media_types_pass(tmp_path: Path) -> None:
    source = MemoryRepository()
    blob = put_bytes(source, "application/x-mystery", b"\x00\xff")
    data = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/x-future+json",
            "layers": [{"mediaType": blob.media_type, "digest": str(blob.digest), "size": 2}],
            "future": [None, 1.5, "é"],
        }
    ).encode()
    odd = source.put_manifest("application/x-future+json", data)
    top = source.put_manifest(oci.MEDIA_INDEX, oci.index([(None, odd)]), tag="1")
    with open_layout(tmp_path / "out", write=True) as target:
        copy(source, top, target, tag="1", progress=NoProgress())
        assert target.manifest(odd) == data
        assert target.has(blob)
        assert copy(source, top, target, tag="1", progress=NoProgress()).sent == 0


def test_layers_that_are_kept_elsewhere(tmp_path: Path) -> None:
    """Foreign layers (image-spec, "Non-Distributable Layers") need not be in a registry."""
    source = MemoryRepository()
    config = put_bytes(source, oci.MEDIA_CONFIG, b"{}")
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    foreign = Descriptor(kind, Digest.of(b"elsewhere"), 9)
    data = oci.manifest(config, [foreign])
    image = Descriptor(oci.MEDIA_MANIFEST, Digest.of(data), len(data))
    source.manifests[image.digest] = (oci.MEDIA_MANIFEST, data)
    with open_layout(tmp_path / "out", write=True) as target:
        assert isinstance(target, LayoutRepository)
        assert copy(source, image, target, tag="1", progress=NoProgress()).moved_blobs == 1


def test_a_tag_that_somebody_else_sets() -> None:
    class Contested(Watched):
        def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
            return super().put_manifest(media_type, data, tag="" if tag == "1" else tag)

    source, made = everything()
    with pytest.raises(UndecidedError, match="is not what was pushed") as caught:
        copy(source, made["top"], Contested(), tag="1", progress=NoProgress())
    assert "found nothing" in caught.value.why

"""Files against the list: untouched, tampered, and built upon by the real podman."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from staunch.attest.contents import compare_files
from staunch.attest.sbom import file_list, sbom
from staunch.errors import UntrustedError
from staunch.flows.contents import (
    check_contents,
    check_files,
    describe_change,
    layers_in,
    layers_of,
    read_contents,
)
from staunch.flows.sbom import attach_sbom
from staunch.flows.signed_build import StoreRepository
from staunch.formats import oci, spdx
from staunch.formats.file_list import parse_file_list
from staunch.model.digest import Digest
from staunch.model.entry import Kind
from staunch.model.image import Descriptor
from staunch.model.verdict import Passed, Unknown
from staunch.ports import Referrer
from staunch.publish.layout import write_layout
from staunch.publish.read import open_image
from tests.support import layouts
from tests.support.assembly import CREATED, build, small_tree
from tests.support.memory_store import MemoryStore
from tests.support.tools import need


def _check(path: Path, listed: bytes, **more):
    with open_image(path) as source:
        return check_files(layers_of(source.image()), listed, **more)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_what_we_build_is_what_we_list(tmp_path, encoding) -> None:
    store = MemoryStore()
    image = build(store, encoding=encoding)
    write_layout([image], name="demo", tag="x", out=tmp_path / "image", store=store)
    tree, _ = small_tree()
    listed = file_list(tree)
    found = _check(tmp_path / "image", listed)
    assert (found.changes, found.gaps) == ((), ())
    assert found.files == len(tree.entries)
    from_store = layers_in(StoreRepository(store, "demo"), image.manifest)
    assert check_files(from_store, listed) == found
    copy = next(each for each in parse_file_list(listed) if each.path == "usr/lib/copy")
    assert copy.kind is Kind.FILE  # a hard link is the file that it is


LOWER = {"etc": None, "etc/a": b"a", "etc/b": b"b", "lib": "usr/lib", "usr": None, "usr/lib": None,
         "usr/lib/x": b"x", "var": None, "var/old": b"o", "var/old2": b"o"}  # fmt: skip
UPPER = {"etc/a": b"A", "etc/.wh.b": b"", "lib/new": b"n", "var": None, "var/.wh..wh..opq": b"",
         "var/new": b"v"}  # fmt: skip


def test_whiteouts_and_links_on_the_way(tmp_path) -> None:
    tars = [layouts.tar_of(LOWER), layouts.tar_of(UPPER)]
    with open_image(layouts.write_layout(tmp_path / "two", tars)) as source:
        both = layers_of(source.image())
        contents = read_contents(both)
    with open_image(layouts.write_layout(tmp_path / "one", tars[:1])) as source:
        lower = read_contents(layers_of(source.image()))
    assert contents.gaps == ()
    assert [fact.path for fact in contents.files] == [
        "etc", "etc/a", "lib", "usr", "usr/lib", "usr/lib/new", "usr/lib/x", "var", "var/new",
    ]  # fmt: skip
    changes = compare_files(lower.files, contents.files)
    assert [(each.path, each.kind, each.what) for each in changes] == [
        ("etc/a", "changed", ("content",)),
        ("etc/b", "missing", ()),
        ("usr/lib/new", "extra", ()),
        ("var/new", "extra", ()),
        ("var/old", "missing", ()),
        ("var/old2", "missing", ()),
    ]
    assert describe_change(changes[0]) == (
        f"etc/a: changed (content), wanted {Digest.of(b'a')}, got {Digest.of(b'A')}, by layer 2"
    )
    assert describe_change(changes[1]) == f"etc/b: missing, wanted {Digest.of(b'b')}"
    assert describe_change(changes[2]).endswith(f"extra, got {Digest.of(b'n')}, by layer 2")


def test_everything_that_counts_is_compared() -> None:
    store = MemoryStore()
    image = build(store)
    facts = read_contents(layers_in(StoreRepository(store, "demo"), image.manifest)).files
    (one,) = [fact for fact in facts if fact.path == "etc/passwd"]
    for what, other in {
        "content": replace(one, digest=Digest.of(b"")),
        "mode": replace(one, mode=0o4755),
        "owner": replace(one, gid=7),
        "xattrs": replace(one, xattrs=(("security.capability", "00"),)),
        "type": replace(one, special="a FIFO"),
    }.items():
        (change,) = compare_files([one], [other])
        assert (change.kind, change.what) == ("changed", (what,))
    assert compare_files([one], [replace(one, layer=3, owner="x", size=0)]) == ()


def test_names_that_lead_out_are_told(tmp_path) -> None:
    tar = layouts.tar_of({"etc": None, "../evil": b"x"})
    found = _check(layouts.write_layout(tmp_path / "image", [tar]), b"dir\t0755\t0:0\t-\t-\tetc\n")
    assert found.changes == ()
    assert [gap.where for gap in found.gaps] == ["../evil"]


def test_a_layer_that_was_changed_is_refused(tmp_path) -> None:
    layout = layouts.write_layout(tmp_path / "image", [layouts.tar_of({"a": b"x" * 9000})])
    blob = max((layout / "blobs/sha256").iterdir(), key=lambda each: each.read_bytes()[:2] == b"\x1f\x8b")  # fmt: skip
    data = bytearray(blob.read_bytes())
    data[-5] ^= 1
    blob.write_bytes(data)
    with pytest.raises(UntrustedError):
        _check(layout, b"")


def test_a_diff_id_that_lies_is_refused() -> None:
    store = MemoryStore()
    image = build(store)
    config = store.blob(image.config.digest)
    document = json.loads(config.pread(config.size, 0))
    document["rootfs"]["diff_ids"][0] = f"sha256:{'0' * 64}"
    data = json.dumps(document).encode()
    manifest = json.loads(store.blob(image.manifest.digest).pread(1 << 20, 0))
    manifest["config"] |= {"digest": str(store.put(data)), "size": len(data)}
    changed = json.dumps(manifest).encode()
    descriptor = replace(image.manifest, digest=store.put(changed), size=len(changed))
    layers = layers_in(StoreRepository(store, "demo"), descriptor)
    with pytest.raises(UntrustedError, match="is not what the config promises") as caught:
        read_contents(layers)
    assert "0000" in caught.value.why
    document["rootfs"]["diff_ids"].pop()
    data = json.dumps(document).encode()
    manifest["config"] |= {"digest": str(store.put(data)), "size": len(data)}
    changed = json.dumps(manifest).encode()
    descriptor = replace(image.manifest, digest=store.put(changed), size=len(changed))
    with pytest.raises(UntrustedError, match="contradicts itself"):
        layers_in(StoreRepository(store, "demo"), descriptor)


@pytest.mark.interop
def test_an_image_that_podman_built_from_ours(tmp_path) -> None:
    """Its layers begin with ours; what it added, changed and removed is told by layer."""
    podman = need("podman")
    store = MemoryStore()
    image = build(store)
    write_layout([image], name="demo", tag="x", out=tmp_path / "image", store=store)
    (tmp_path / "Containerfile").write_text(
        f"FROM oci:{tmp_path}/image:x\nCOPY one /usr/lib/one\nCOPY passwd /etc/passwd\n"
    )
    (tmp_path / "one").write_text("one\n")
    (tmp_path / "passwd").write_text("root::0:0::/:/bin/sh\n")
    with tempfile.TemporaryDirectory(prefix="p") as short:
        call = [str(podman), f"--root={short}/r", f"--runroot={short}/u", "--storage-driver=vfs"]
        try:
            subprocess.run(
                [*call, "build", "-q", "--layers", "--format=oci", "-t", "upon", str(tmp_path)],
                check=True, capture_output=True, timeout=120,
            )  # fmt: skip
            archive = tmp_path / "upon.tar"
            subprocess.run(
                [*call, "save", "-q", "--format=docker-archive", "-o", str(archive), "upon"],
                check=True, capture_output=True, timeout=120,
            )  # fmt: skip
        finally:
            shutil.rmtree(f"{short}/r", ignore_errors=True)
    base = tuple(layer.diff_id for layer in image.layers)
    with open_image(archive) as source:
        layers = layers_of(source.image())
        assert layers.diff_ids[: len(base)] == base
        found = check_files(layers, file_list(small_tree()[0]), base=base)
    assert found.foreign == 2
    changes = {each.path: each for each in found.changes}
    assert changes["usr/lib/one"].kind == "extra"
    assert changes["usr/lib/one"].after.digest == Digest.of(b"one\n")
    assert changes["usr/lib/one"].after.layer == len(base)
    assert changes["etc/passwd"].what[0] == "content"
    assert changes["etc/passwd"].after.layer == len(base) + 1
    assert set(changes) == {"usr/lib/one", "etc/passwd"}


class Attached(StoreRepository):
    """The store, with what was attached to images in it."""

    artifacts = ()

    def referrers(self, subject, *, artifact_type=""):
        return tuple(
            each for each in self.artifacts
            if oci.parse_manifest(self.manifest(each.descriptor)).subject == subject
        )  # fmt: skip


def _attached(store, image, tree, listed=None):
    document = sbom(
        tree, name="x", created=CREATED, seed=image.manifest.digest, staunch_version="1"
    )
    described = attach_sbom(store, image, document, file_list(tree) if listed is None else listed)
    Attached.artifacts = (*Attached.artifacts, Referrer(described, spdx.MEDIA_TYPE))
    return Attached(store, "demo"), document


@pytest.fixture(autouse=True)
def _nothing_attached():
    Attached.artifacts = ()
    yield
    Attached.artifacts = ()


def test_the_check_of_verify() -> None:
    store = MemoryStore()
    image, (tree, readers) = build(store), small_tree()
    repository, document = _attached(store, image, tree)
    check, found = check_contents(repository, image.manifest, sbom=document)
    assert (check.verdict, check.held) == (Passed(), f"{len(tree.entries)} paths are as listed")
    assert found.changes == ()
    assert check_contents(repository, image.manifest)[0].verdict == Passed()

    less = replace(tree, entries=tuple(each for each in tree.entries if each.path != "etc/passwd"))
    other = build(store, given=(less, readers))
    repository, promised = _attached(store, other, tree)
    check, found = check_contents(repository, other.manifest, sbom=promised)
    assert check.damaged
    assert check.verdict.reasons[0].startswith("etc/passwd: missing, wanted sha256:")
    assert len(found.changes) == 1


def test_an_sbom_that_names_another_list_is_no_proof() -> None:
    store = MemoryStore()
    image, (tree, _) = build(store), small_tree()
    repository, document = _attached(store, image, tree, b"dir\t0755\t0:0\t-\t-\tetc\n")
    check, found = check_contents(repository, image.manifest, sbom=document)
    assert isinstance(check.verdict, Unknown)
    digest = Digest.of(file_list(tree))
    assert check.verdict.reasons == (
        f"demo holds no list of files {digest} about {image.manifest.digest}",
    )
    assert found is None
    without = json.dumps({"spdxVersion": "SPDX-2.3", "packages": []}).encode()
    check, _ = check_contents(repository, image.manifest, sbom=without)
    assert isinstance(check.verdict, Unknown)


def test_foreign_layers_are_told_and_no_fault(tmp_path) -> None:
    store = MemoryStore()
    image, (tree, _) = build(store), small_tree()
    repository, document = _attached(store, image, tree)
    tar = layouts.tar_of({"usr/lib/one": b"1", "etc/.wh.passwd": b""})
    layer = Descriptor(oci.MEDIA_LAYER, store.put(tar), len(tar))
    config = json.loads(repository.manifest(image.config))
    config["rootfs"]["diff_ids"].append(str(Digest.of(tar)))
    data = json.dumps(config).encode()
    below = [each.descriptor for each in image.layers]
    manifest = oci.manifest(
        Descriptor(oci.MEDIA_CONFIG, store.put(data), len(data)), [*below, layer]
    )
    upon = Descriptor(oci.MEDIA_MANIFEST, store.put(manifest), len(manifest))
    check, found = check_contents(
        repository, upon, sbom=document, base=(repository, image.manifest)
    )
    assert check.verdict == Passed()
    assert check.held == "base ok, 1 foreign layers; 2 paths differ from the base"
    assert [(each.path, each.kind) for each in found.changes] == [
        ("etc/passwd", "missing"), ("usr/lib/one", "extra"),
    ]  # fmt: skip


def test_what_cannot_be_told_is_unknown(tmp_path) -> None:
    store = MemoryStore()
    image, (tree, _) = build(store), small_tree()
    repository, _ = _attached(store, image, tree)
    tar = layouts.tar_of({"../evil": b"1"})
    layer = Descriptor(oci.MEDIA_LAYER, store.put(tar), len(tar))
    config = json.loads(repository.manifest(image.config))
    config["rootfs"]["diff_ids"].append(str(Digest.of(tar)))
    data = json.dumps(config).encode()
    below = [each.descriptor for each in image.layers]
    manifest = oci.manifest(
        Descriptor(oci.MEDIA_CONFIG, store.put(data), len(data)), [*below, layer]
    )
    upon = Descriptor(oci.MEDIA_MANIFEST, store.put(manifest), len(manifest))
    check, _ = check_contents(repository, upon, base=(repository, image.manifest))
    assert check.verdict == Unknown(
        ("../evil: its name leads out of the image (`..`); it was left out",)
    )

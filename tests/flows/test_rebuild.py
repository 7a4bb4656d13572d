"""Building again: the same bytes from nothing, and every way in which they may differ."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from staunch.adapters.store import FileStore
from staunch.attest.provenance import Provenance
from staunch.flows.build import BuildOptions, build
from staunch.flows.contents import check_contents
from staunch.flows.rebuild import FreshStore, check_rebuild, find_lock, rebuild
from staunch.flows.sbom import read_sbom
from staunch.formats import cyclonedx
from staunch.formats.lock import format_lock
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.verdict import Passed, Refused, Unknown
from staunch.publish.repository import open_layout
from staunch.spec import load
from tests.flows.test_bills import make_case
from tests.support import ntia


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An image in a layout, and what it was built from."""
    base = tmp_path_factory.mktemp("rebuild")
    case = make_case(base)
    world = case.world(FileStore(base / "store"))
    out = base / "image"
    report = build(case.spec, case.lock, world, BuildOptions(out))
    return case, world, out, report


def _again(made, tmp_path, *, spec=None, lock=None, image=None):
    case, world, out, _ = made
    with open_layout(out) as repository:
        (there,) = repository.images()
        return rebuild(
            repository, image or there, spec or case.spec, lock or case.lock, world,
            FileStore(tmp_path / "fresh"),
        )  # fmt: skip


def test_bit_for_bit_from_nothing(made, tmp_path) -> None:
    case, _, _, report = made
    found = _again(made, tmp_path)
    assert found.same
    assert found.wanted == report.published.digest
    assert found.layers == (len(report.platforms[0].image.layers),) * 2
    assert found.differences == ()
    assert list((tmp_path / "fresh").rglob("segment*")), "nothing was made anew"
    lock = Digest.of(format_lock(case.lock))
    check = check_rebuild(found, lock, attested=True)
    assert check.verdict == Passed()
    assert check.held == f"built again from the attested lock {lock}: the same digest, {found.layers[1]} layers"  # fmt: skip
    assert check_rebuild(found, lock, attested=False).notes == (
        "no trusted signer names this lock",
    )


def test_a_file_that_differs_is_named(made, tmp_path) -> None:
    case, *_ = made
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "app").mkdir()
    (folder / "app/main.py").write_text("import evil\n")
    (folder / "app/more.py").write_text("")
    files = load(str(case.path), context=folder).files
    found = _again(made, tmp_path, spec=replace(case.spec, files=files))
    assert not found.same
    assert found.layers[0] == found.layers[1] - 1
    assert len(found.differences) == 2
    assert found.differences[0].startswith("linux/amd64: app/main.py: changed (content), wanted sha256:")  # fmt: skip
    assert found.differences[1].startswith("linux/amd64: app/more.py: extra, got sha256:")
    check = check_rebuild(found, Digest.of(b""), attested=True)
    assert isinstance(check.verdict, Refused)
    assert check.verdict.reasons[0].startswith(f"built again it is {found.got}, ")
    other = check_rebuild(found, Digest.of(b""), attested=True, built_by="0.0.1")
    assert isinstance(other.verdict, Unknown)
    assert "it was built by Staunch 0.0.1" in other.verdict.reasons[0]


def test_settings_that_differ_are_named(made, tmp_path) -> None:
    case, *_ = made
    found = _again(made, tmp_path, spec=replace(case.spec, env=(("MORE", "1"),)))
    assert found.differences == ('linux/amd64: Env.MORE: wanted nothing, got "1"',)
    assert found.layers[0] == found.layers[1]


def test_another_manifest_of_the_same_layers(made, tmp_path) -> None:
    """Somebody added an annotation: nothing in the image differs, and still it is another image."""
    case, world, out, _ = made
    with open_layout(out) as repository:
        (image,) = repository.images()
        manifest = json.loads(repository.manifest(image))
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    manifest["annotations"] = {"a": "b"}
    data = json.dumps(manifest).encode()
    (copy / "blobs/sha256" / Digest.of(data).hex).write_bytes(data)
    index = json.loads((copy / "index.json").read_text())
    index["manifests"][0] |= {"digest": str(Digest.of(data)), "size": len(data)}
    (copy / "index.json").write_text(json.dumps(index))
    with open_layout(copy) as repository:
        (image,) = repository.images()
        found = rebuild(
            repository, image, case.spec, case.lock, world, FileStore(tmp_path / "fresh")
        )
    assert found.differences == (
        "linux/amd64: the same layers and settings in another manifest or configuration",
    )


def test_the_lock_is_found(made) -> None:
    case, _, out, _ = made
    data = format_lock(case.lock)
    digest = Digest.of(data)
    with open_layout(out) as repository:
        (image,) = repository.images()
        assert find_lock(repository, image) == (case.lock, digest, False)
        said = Provenance("t", "b", lock=digest)
        assert find_lock(repository, image, (said,)) == (case.lock, digest, True)
        whole = replace(said, lock_bytes=data)
        assert find_lock(repository, image, (whole,)) == (case.lock, digest, True)
        other = Provenance("t", "b", lock=Digest.of(b"another"))
        assert find_lock(repository, image, (other,)) is None
        nothing = Descriptor(image.media_type, Digest.of(b"x"), 1)
        assert find_lock(repository, nothing) is None


def test_nothing_derived_is_taken_over(tmp_path: Path) -> None:
    base, fresh = FileStore(tmp_path / "base"), FileStore(tmp_path / "fresh")
    digest = base.put(b"downloaded")
    key = "0" * 64
    base.put_record("layer", key, b"old")
    with base.create_file("segment", key) as pending:
        pending.write(b"old")
    store = FreshStore(base, fresh)
    assert store.blob(digest) is not None
    assert store.standing(digest) is not None
    assert store.careful().blob(digest) is not None
    assert store.record("layer", key) is None
    assert store.file("segment", key) is None
    store.put_record("layer", key, b"new")
    assert (store.record("layer", key), base.record("layer", key)) == (b"new", b"old")
    with store.create_file("segment", key) as pending:
        pending.write(b"new")
    assert store.file("segment", key).size == 3
    with store.download(Digest.of(b"d"), 1) as pending:
        pending.write(b"d")
    assert base.blob(Digest.of(b"d")) is not None


def test_estargz_from_build_to_rebuild(made, tmp_path) -> None:
    """The list of files holds what the form adds; a rebuild takes the same form."""
    case, world, *_ = made
    out = tmp_path / "image"
    report = build(case.spec, case.lock, world, BuildOptions(out, compression="estargz"))
    with open_layout(out) as repository:
        (image,) = repository.images()
        check, found = check_contents(repository, image, sbom=report.platforms[0].sbom)
        assert check.verdict == Passed(), check
        assert found is not None
        assert not found.changes
        again = rebuild(
            repository, image, case.spec, case.lock, world, FileStore(tmp_path / "fresh")
        )
    assert again.same
    document = read_sbom(out, media_type=cyclonedx.MEDIA_TYPE)
    paths = [path for path, _, _ in ntia.files(json.loads(document))]
    assert {"stargz.index.json", ".no.prefetch.landmark"} <= set(paths)

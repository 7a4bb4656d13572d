"""flows/sbom.py: the SBOM goes into the layout and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from staunch.attest.sbom import file_list, sbom
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.sbom import attach_sbom, read_sbom
from staunch.formats.file_list import MEDIA_TYPE
from staunch.model.platform import Platform
from staunch.publish.archive import write_oci_archive
from staunch.publish.layout import write_layout
from tests.support.assembly import AMD64, ARM64, CREATED, build, small_tree
from tests.support.memory_store import MemoryStore
from tests.support.spdx import faults


def _write(out: Path, platforms: tuple[Platform, ...] = (AMD64,)) -> dict[Platform, bytes]:
    """A layout with an SBOM for each platform, each its own."""
    store = MemoryStore()
    images, referrers, documents = [], [], {}
    for platform in platforms:
        image = build(store, platform=platform)
        tree, _ = small_tree(platform=platform)
        document = sbom(
            tree, name="demo", created=CREATED, seed=image.manifest.digest, staunch_version="1"
        )
        referrers.append(attach_sbom(store, image, document, file_list(tree)))
        images.append(image)
        documents[platform] = document
    write = write_oci_archive if out.suffix == ".tar" else write_layout
    write(images, name="demo", tag="latest", out=out, store=store, referrers=referrers)
    return documents


@pytest.mark.parametrize("name", ["layout", "image.tar"])
def test_it_comes_back(tmp_path: Path, name: str) -> None:
    documents = _write(tmp_path / name)
    assert read_sbom(tmp_path / name) == documents[AMD64]
    assert faults(documents[AMD64]) == []
    tree, _ = small_tree()
    assert read_sbom(tmp_path / name, media_type=MEDIA_TYPE) == file_list(tree)


def test_each_platform_has_its_own(tmp_path: Path) -> None:
    documents = _write(tmp_path / "layout", (AMD64, ARM64))
    assert documents[AMD64] != documents[ARM64]
    for platform, document in documents.items():
        assert read_sbom(tmp_path / "layout", platform) == document
    with pytest.raises(SpecError, match="no single image to choose"):
        read_sbom(tmp_path / "layout")


def test_none_there(tmp_path: Path) -> None:
    store = MemoryStore()
    write_layout([build(store)], name="demo", tag="latest", out=tmp_path / "layout", store=store)
    with pytest.raises(UndecidedError, match="carries no SBOM for linux/amd64"):
        read_sbom(tmp_path / "layout")


def _annotate(layout: Path, value: str) -> None:
    index = json.loads((layout / "index.json").read_text())
    index["annotations"]["dev.staunch.referrers"] = value
    (layout / "index.json").write_text(json.dumps(index))


def test_about_another_image(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    _write(tmp_path / "two", (ARM64,))
    theirs = json.loads((tmp_path / "two/index.json").read_text())["annotations"]
    for blob in (tmp_path / "two/blobs/sha256").iterdir():
        (tmp_path / "one/blobs/sha256" / blob.name).write_bytes(blob.read_bytes())
    _annotate(tmp_path / "one", theirs["dev.staunch.referrers"])
    with pytest.raises(UndecidedError, match="carries no SBOM"):
        read_sbom(tmp_path / "one")


def test_a_broken_annotation(tmp_path: Path) -> None:
    _write(tmp_path / "layout")
    _annotate(tmp_path / "layout", "sha256:nonsense")
    with pytest.raises(UntrustedError, match="cannot read the list of artifacts") as caught:
        read_sbom(tmp_path / "layout")
    assert "sha256:nonsense" in caught.value.why


def test_a_changed_sbom_is_refused(tmp_path: Path) -> None:
    document = _write(tmp_path / "layout")[AMD64]
    for blob in (tmp_path / "layout/blobs/sha256").iterdir():
        if blob.read_bytes() == document:
            blob.write_bytes(document.replace(b"libc6", b"libc7"))
    with pytest.raises(UntrustedError):
        read_sbom(tmp_path / "layout")

"""Images whose documents do not add up, and files that change while they are read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from staunch.ecosystems.end_of_life import end_of_life
from staunch.errors import UntrustedError
from staunch.flows.inventory import take_inventory
from staunch.model.inventory import Distribution, EndOfLife
from staunch.scan.forward import Pieces, Ranges
from tests.support.layouts import tar_of, write_layout

OCI = "application/vnd.oci.image"


def put(path: Path, data: bytes, kind: str) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (path / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}


def manifest_of(path: Path) -> dict[str, dict[str, object]]:
    index = json.loads((path / "index.json").read_text())
    found: dict[str, dict[str, object]] = json.loads(
        (path / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_bytes()
    )
    return found


def write_manifest(path: Path, manifest: object) -> None:
    entry = put(path, json.dumps(manifest).encode(), "manifest.v1+json")
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [entry]}
    (path / "index.json").write_text(json.dumps(index))


def test_layers_and_diff_ids_that_do_not_pair(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "image", [tar_of({"a": b"1"})])
    manifest = manifest_of(path)
    write_manifest(path, {**manifest, "layers": []})
    with pytest.raises(UntrustedError, match="0 layers, 1 diff_ids"):
        take_inventory(str(path))


def test_a_configuration_that_is_too_large(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "image", [tar_of({"a": b"1"})])
    large = put(path, b" " * (5 << 20), "config.v1+json")
    write_manifest(path, {**manifest_of(path), "config": large})
    with pytest.raises(UntrustedError, match="cannot read the image's configuration"):
        take_inventory(str(path))


def test_indexes_in_indexes_have_an_end(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "image", [tar_of({"a": b"1"})])
    entry = json.loads((path / "index.json").read_text())["manifests"][0]
    for _ in range(5):
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [entry]}
        entry = put(path, json.dumps(index).encode(), "index.v1+json")
    (path / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [entry]})
    )
    with pytest.raises(UntrustedError, match="nested more than 4 deep"):
        take_inventory(str(path))


def test_a_file_that_became_shorter() -> None:
    class Shrinking:
        size = 100

        def pread(self, size: int, offset: int) -> bytes:
            return b"x" * min(size, max(0, 50 - offset))

    with pytest.raises(UntrustedError, match="became shorter while it was read"):
        Ranges(Shrinking()).read(100)


def test_pieces_are_read_peeked_at_and_skipped() -> None:
    file = Pieces(iter([b"ab", b"cdef", b"g"]), 7)
    assert file.peek() == b"ab"
    assert file.read(3) == b"abc"
    file.skip(2)
    assert (file.at, file.read(9), file.read(1)) == (5, b"fg", b"")
    file.skip(5)
    assert file.at == 7


@pytest.mark.parametrize(
    ("distribution", "wanted"),
    [
        (Distribution("debian", "12"), EndOfLife("2026-07-11", "2028-06-30", "2033-06-30")),
        (Distribution("ubuntu", "25.10"), EndOfLife("2026-07-09")),
        (Distribution("alpine", "3.22.1"), EndOfLife("2027-05-01")),
        (Distribution("rhel", "9.4"), EndOfLife("2032-05-31", "", "2035-05-31")),
        (Distribution("debian", ""), None),
        (Distribution("wolfi", "20230201"), None),
    ],
)
def test_ends_of_life(distribution: Distribution, wanted: EndOfLife | None) -> None:
    assert end_of_life(distribution) == wanted

"""Layers that are read by their table of contents, and tables that lie."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from staunch.adapters.registry import Registries
from staunch.errors import StaunchError, UntrustedError
from staunch.flows.inventory import take_inventory
from staunch.flows.targets import open_target
from staunch.formats import oci
from staunch.formats.toc import TocFile, has_toc, read_toc
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.inventory import Inventory
from staunch.model.reference import Reference
from tests.scan.images import METADATA, OPENSSL, OS_RELEASE, SITE
from tests.support.layouts import tar_of
from tests.support.lazy_layers import Lazy, chunked, stargz
from tests.support.registry import registry

FILES: dict[str, bytes | str] = {
    "etc/os-release": OS_RELEASE,
    "lib": "usr/lib",
    "usr/lib/owned.so": b"\x7fELF" + bytes(5000),
    "usr/lib/stray": b"\x7fELF" + bytes(3000),
    "usr/share/big": bytes(range(256)) * 100,
    "var/lib/dpkg/status": OPENSSL + b"Description: " + b"x" * 3000 + b"\n",
    "var/lib/dpkg/info/libssl3:amd64.list": b"/lib/owned.so\n",
    f"{SITE}/zope-1.dist-info/METADATA": METADATA,
    f"{SITE}/empty": b"",
}
MAKERS = pytest.mark.parametrize("make", [chunked, stargz])


class Counted:
    """A blob that tells how much was read of it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size, self.read = data, len(data), 0

    def pread(self, size: int, offset: int) -> bytes:
        part = self.data[offset : offset + size]
        self.read += len(part)
        return part


def descriptor(lazy: Lazy) -> Descriptor:
    return Descriptor(
        "x", Digest.of(lazy.stored), len(lazy.stored), tuple(sorted(lazy.annotations.items()))
    )


def layout(folder: Path, lazy: Lazy) -> Path:
    """An OCI layout of one such layer."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    oci = "application/vnd.oci.image"
    config = {"architecture": "amd64", "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(lazy.tar))]}}  # fmt: skip
    layer = put(lazy.stored, f"{oci}.layer.v1.tar+zstd") | {"annotations": lazy.annotations}
    manifest = {"schemaVersion": 2, "mediaType": f"{oci}.manifest.v1+json",
                "config": put(json.dumps(config).encode(), f"{oci}.config.v1+json"),
                "layers": [layer]}  # fmt: skip
    entry = put(json.dumps(manifest).encode(), f"{oci}.manifest.v1+json")
    index = {"schemaVersion": 2, "mediaType": f"{oci}.index.v1+json", "manifests": [entry]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


@MAKERS
def test_the_same_is_found_as_by_reading_the_layer_whole(
    make: Callable[..., Lazy], tmp_path: Path
) -> None:
    path = str(layout(tmp_path / "image", make(FILES)))
    whole, table = take_inventory(path, whole=True), take_inventory(path)
    assert whole.by_table == ()
    assert table.by_table == table.layers
    assert table.unopened == 1  # owned.so
    assert table.gaps == whole.gaps == ()
    assert len(table.packages) == 2
    assert table.unowned == tuple(
        each for each in whole.unowned or () if each != "stargz.index.json"
    )
    assert table.packages == whole.packages


@MAKERS
def test_only_what_is_needed_is_fetched(make: Callable[..., Lazy]) -> None:
    lazy = make({**FILES, "usr/share/huge": bytes(range(256)) * 4000})
    blob = Counted(lazy.stored)
    toc = read_toc(descriptor(lazy), blob)
    before = blob.read
    entry = next(each for each in toc.entries if each.path == "var/lib/dpkg/status")
    file = TocFile(blob, toc.format, entry)
    data, at = b"", 0
    while part := file.pread(1 << 20, at):
        data, at = data + part, at + len(part)
    assert data == FILES["var/lib/dpkg/status"]
    assert blob.read - before < 3 * 1000
    assert file.pread(10, file.size) == b""


@MAKERS
def test_a_chunk_that_is_another_is_refused(make: Callable[..., Lazy]) -> None:
    lazy = make(FILES)
    other = make({**FILES, "etc/os-release": OS_RELEASE.replace(b"12", b"13")})
    toc = read_toc(descriptor(lazy), Counted(lazy.stored))
    entry = next(each for each in toc.entries if each.path == "etc/os-release")
    with pytest.raises(UntrustedError, match="is not what its layer's table of contents promises"):
        TocFile(Counted(other.stored), toc.format, entry).pread(100, 0)


@MAKERS
def test_a_table_that_is_another_is_refused(make: Callable[..., Lazy]) -> None:
    lazy, other = make(FILES), make({"a": b"1"})
    swapped = replace(other, annotations={**other.annotations, **_digests(lazy)})
    with pytest.raises(UntrustedError, match="the manifest promises sha256:"):
        read_toc(descriptor(swapped), Counted(other.stored))


def _digests(lazy: Lazy) -> dict[str, str]:
    return {key: value for key, value in lazy.annotations.items() if value.startswith("sha256:")}


def table(document: object) -> Lazy:
    """A stargz layer with any table."""
    lazy = stargz({"a": b"1"})
    at = int(lazy.stored[-51:][16:32], 16)
    data = json.dumps(document).encode()
    body = gzip.compress(tar_of({"stargz.index.json": data}), mtime=0)
    return replace(
        lazy,
        stored=lazy.stored[:at] + body + lazy.stored[-51:],
        annotations={"containerd.io/snapshot/stargz/toc.digest": str(Digest.of(data))},
    )


REG = {"type": "reg", "name": "a", "size": 5, "offset": 0, "endOffset": 9,
       "chunkDigest": "sha256:" + "0" * 64}  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ("x", "no list"),
        ([1], "no object"),
        ([{"type": "reg", "name": 1}], "name is no text"),
        ([{**REG, "size": -1}], "size is no size"),
        ([{**REG, "chunkDigest": ""}], "is none"),
        ([{**REG, "chunkSize": 9}], "is none"),
        ([{**REG, "chunkSize": 3}], "3 of 5 bytes"),
        ([{**REG, "offset": 9}], "is none"),
        ([{"type": "what", "name": "a"}], "of type 'what'"),
        ([{"type": "chunk", "name": "a"}], "follows another file"),
        ([{**REG, "chunkSize": 3}, {**REG, "type": "chunk", "chunkOffset": 4, "chunkSize": 1}],
         "byte 3 stands in no chunk"),
    ],
)  # fmt: skip
def test_tables_that_make_no_sense_are_refused(entries: object, why: str) -> None:
    lazy = table({"version": 1, "entries": entries})
    with pytest.raises(UntrustedError) as caught:
        read_toc(descriptor(lazy), Counted(lazy.stored))
    assert why in caught.value.why


def test_places_that_make_no_sense_are_refused() -> None:
    key = "io.github.containers.zstd-chunked.manifest-position"
    lazy = chunked(FILES)
    for text, why in (
        ("x", "annotation"),
        ("1:2:3:9", "annotation"),
        ("1:99999999:3:1", "that unpack to 3"),
        ("0:10:10:1", "the manifest promises"),
    ):
        bad = replace(lazy, annotations={**lazy.annotations, key: text})
        with pytest.raises(UntrustedError) as caught:
            read_toc(descriptor(bad), Counted(bad.stored))
        assert why in caught.value.why
    broken = stargz(FILES)
    cut = replace(broken, stored=broken.stored[:-1])
    with pytest.raises(UntrustedError):
        read_toc(descriptor(cut), Counted(cut.stored))
    assert not has_toc(replace(descriptor(lazy), annotations=()))


def test_a_chunk_that_unpacks_to_too_much_is_refused() -> None:
    lazy = table({"entries": [{**REG, "size": 1 << 40, "endOffset": 20}]})
    toc = read_toc(descriptor(lazy), Counted(lazy.stored))
    with pytest.raises(UntrustedError, match="a chunk of 20 bytes"):
        TocFile(Counted(lazy.stored), "gz", toc.entries[0]).pread(1, 0)


@contextmanager
def pushed(tmp_path: Path, lazy: Lazy) -> Iterator[tuple[str, Registries, object]]:
    """The image in the real CNCF Distribution."""
    path = layout(tmp_path / "image", lazy)
    with registry(tmp_path / "registry") as running:
        registries = Registries(insecure=[running.host], env=running.env)
        with open_target(str(path), registries) as source:
            target = registries.repository(Reference.parse(f"{running.host}/a:1"))
            data = source.repository.manifest(source.descriptor)
            manifest = oci.parse_manifest(data)
            for blob in (manifest.config, *manifest.layers):
                target.put(blob, lambda blob=blob: source.repository.stream(blob))  # type: ignore[misc]
            target.put_manifest(oci.MEDIA_MANIFEST, data, tag="1")
        try:
            yield f"{running.host}/a:1", registries, running
        finally:
            registries.close()


@MAKERS
def test_from_a_registry(make: Callable[..., Lazy], tmp_path: Path) -> None:
    lazy = make({**FILES, "usr/share/huge": bytes(range(256)) * 4000})
    with pushed(tmp_path, lazy) as (name, registries, running):
        found = take_inventory(name, registries=registries)
        assert names(found) == ["libssl3", "Zope.Interface"]
        log = running.log()  # type: ignore[attr-defined]
        layer = str(Digest.of(lazy.stored))
        assert all(line.endswith(" 206") for line in log if "GET" in line and layer in line)
        whole = take_inventory(name, registries=registries, whole=True)
        assert whole.packages == found.packages


def test_a_registry_that_lies_is_found_out(tmp_path: Path) -> None:
    lazy = chunked(FILES)
    with pushed(tmp_path, lazy) as (name, registries, running):
        hex_ = Digest.of(lazy.stored).hex
        at = lazy.stored.index(b"\x28\xb5\x2f\xfd", 100)
        lie = lazy.stored[: at + 20] + bytes([lazy.stored[at + 20] ^ 1]) + lazy.stored[at + 21 :]
        running.corrupt(hex_, lie)  # type: ignore[attr-defined]
        with pytest.raises(StaunchError):
            take_inventory(name, registries=registries, whole=True)
        running.corrupt(hex_, lazy.stored[:100])  # type: ignore[attr-defined]
        with pytest.raises(StaunchError):
            take_inventory(name, registries=registries)


def names(inventory: Inventory) -> list[str]:
    return [each.name for each in inventory.packages]

"""eStargz layers: read by the published format, by ordinary readers, and by the snapshotter's own tool."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
import time
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from staunch.assemble.layer_files import refuse_taken, with_tables
from staunch.errors import SpecError
from staunch.flows.contents import check_files, layers_in
from staunch.flows.signed_build import StoreRepository
from staunch.formats import estargz
from staunch.formats.file_list import write_file_list
from staunch.model.entry import Entry, Kind
from staunch.publish.archive import write_oci_archive
from staunch.publish.layout import write_layout
from tests.support import stargz
from tests.support.assembly import build, small_tree
from tests.support.memory_store import MemoryStore
from tests.support.tools import need


@pytest.fixture(scope="module")
def made():
    store = MemoryStore()
    image = build(store, encoding="estargz")
    blobs = []
    for layer in image.layers:
        blob = store.blob(layer.descriptor.digest)
        blobs.append(blob.pread(blob.size, 0))
    return store, image, blobs


def test_every_file_can_be_fetched_alone(made) -> None:
    _, _, blobs = made
    found: dict[str, bytes] = {}
    for blob in blobs:
        found |= stargz.read(blob)
    tree, readers = small_tree()
    for name, data in readers["wheel:demo"].members.items():  # one of them has three chunks
        assert found[f"usr/lib/python3/dist-packages/{name}"] == data
    assert found[".no.prefetch.landmark"] == b"\x0f"
    files = {each.path for each in tree.entries if each.kind is Kind.FILE}
    assert set(found) == files | {".no.prefetch.landmark"}


def test_the_table_is_the_whole_layer(made) -> None:
    """Every tar entry stands in it, in order, with its metadata; the table itself is the last."""
    for blob in made[2]:
        document, _, offset = stargz.table(blob)
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob))) as tar:
            members = tar.getmembers()
        assert members[-1].name == "stargz.index.json"
        entries = [each for each in document["entries"] if each["type"] != "chunk"]
        kinds = {"dir": tarfile.DIRTYPE, "reg": tarfile.REGTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE}  # fmt: skip
        assert [
            (each["name"].rstrip("/"), kinds[each["type"]], each["mode"], each["uid"], each.get("linkName", ""), each.get("size", 0))
            for each in entries
        ] == [
            (each.name, each.type, each.mode, each.uid, each.linkname, each.size) for each in members[:-1]
        ]  # fmt: skip
        offsets = [each["offset"] for each in document["entries"] if "offset" in each]
        assert offsets == sorted(offsets)
        assert all(at < offset for at in offsets)


def test_annotations_and_digests(made) -> None:
    _, image, blobs = made
    for layer, blob in zip(image.layers, blobs, strict=True):
        raw = gzip.decompress(blob)
        assert sha256(raw).hexdigest() == layer.diff_id.hex
        assert layer.raw_size == len(raw)
        assert layer.descriptor.media_type.endswith("tar+gzip")
        assert dict(layer.descriptor.annotations) == {
            estargz.TOC_DIGEST: f"sha256:{sha256(stargz.table(blob)[1]).hexdigest()}",
            estargz.SIZE: str(len(raw)),
        }


def test_the_same_bytes_on_any_number_of_threads_and_beside_gzip(made) -> None:
    store, image, _ = made
    assert build(MemoryStore(), encoding="estargz", threads=3).manifest == image.manifest
    plain = build(store, encoding="gzip")  # in the same store, from the same segments
    assert plain.manifest == build(MemoryStore(), encoding="gzip").manifest
    assert build(store, encoding="estargz").manifest == image.manifest
    assert {each.diff_id for each in plain.layers}.isdisjoint(each.diff_id for each in image.layers)


def test_the_list_of_files_holds_what_the_form_adds(made) -> None:
    store, image, _ = made
    tree = with_tables(small_tree()[0], image.layers)
    layers = layers_in(StoreRepository(store, "demo"), image.manifest)
    assert check_files(layers, write_file_list(tree.entries)).changes == ()


@pytest.mark.parametrize("path", ["stargz.index.json", ".no.prefetch.landmark"])
def test_names_that_the_form_needs(path) -> None:
    tree, _ = small_tree()
    entries = (*tree.entries, Entry.inline(path, b"", owner="files:0"))
    with pytest.raises(SpecError, match=f"with /{path} in the image") as caught:
        refuse_taken(replace(tree, entries=entries))
    assert "files:0" in caught.value.why
    refuse_taken(tree)


def test_footer() -> None:
    assert len(estargz.footer(0)) == 51
    assert estargz.footer(0xABC)[16:38] == b"0000000000000abcSTARGZ"


@pytest.mark.interop
def test_ordinary_readers_see_ordinary_gzip(made, tmp_path) -> None:
    skopeo = need("skopeo")
    store, image, _ = made
    write_layout([image], name="demo", tag="x", out=tmp_path / "image", store=store)
    subprocess.run(
        [skopeo, "copy", "-q", "--preserve-digests", f"oci:{tmp_path / 'image'}:x", f"oci:{tmp_path / 'copy'}:x"],
        check=True,
    )  # fmt: skip
    index = json.loads((tmp_path / "copy/index.json").read_text())
    assert index["manifests"][0]["digest"] == str(image.manifest.digest)


@contextmanager
def containerd(folder: Path):
    """A daemon of its own, with nothing but a store of content."""
    program = need("containerd")
    config = folder / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{folder}/sock"\n'
    )
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen([program, "--config", config], stdout=log, stderr=log)
    try:
        for _ in range(300):
            if (folder / "sock").exists():
                break
            assert daemon.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield folder / "sock"
    finally:
        daemon.terminate()
        daemon.wait(20)


@pytest.mark.interop
@pytest.mark.skipif(os.geteuid() != 0, reason="containerd wants root")
def test_the_snapshotters_own_tool_reads_it(made, tmp_path) -> None:
    """``ctr-remote images get-toc-digest`` finds footer and table, and hashes what we annotated."""
    ctr, remote = need("ctr"), need("ctr-remote")
    store, image, blobs = made
    write_oci_archive([image], name="demo", tag="x", out=tmp_path / "image.tar", store=store)
    with containerd(tmp_path) as sock:
        subprocess.run(
            [ctr, "-a", sock, "images", "import", "--no-unpack", tmp_path / "image.tar"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        for layer, blob in zip(image.layers, blobs, strict=True):
            words = [remote, "-a", sock, "images", "get-toc-digest"]
            got = subprocess.run([*words, str(layer.descriptor.digest)], check=True, capture_output=True, text=True, timeout=60)  # fmt: skip
            wanted = dict(layer.descriptor.annotations)[estargz.TOC_DIGEST]
            assert got.stdout.strip() == wanted
            dumped = subprocess.run([*words, "--dump-toc", str(layer.descriptor.digest)], check=True, capture_output=True, timeout=60)  # fmt: skip
            theirs = json.loads(dumped.stdout)
            ours = stargz.table(blob)[0]
            assert [each["name"] for each in theirs["entries"]] == [each["name"] for each in ours["entries"]]  # fmt: skip

"""SBOMs of a whole build: what the packages' own files say, kept, attached, and the same every time."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.adapters.clock import SystemClock
from staunch.adapters.http import OfflineTransport
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.store import FileStore
from staunch.errors import UndecidedError
from staunch.flows import bills
from staunch.flows.build import BuildOptions, build
from staunch.flows.describe import describe_index
from staunch.flows.sbom import read_sbom
from staunch.flows.world import World
from staunch.formats import cyclonedx, file_list, oci, spdx, zstd
from staunch.formats.lock import MEDIA_TYPE as LOCK
from staunch.formats.lock import format_lock, parse_lock
from staunch.model.digest import Digest
from staunch.model.entry import Entry
from staunch.model.lock import Lock, LockedPlatform, LockedRepository
from staunch.model.sbom import Foreign
from staunch.model.sources import IndexSources
from staunch.model.spec import ImageSpec
from staunch.publish.layout import write_layout
from staunch.spec import inputs_digest, load
from tests.flows.test_golden import AMD64, package
from tests.support import assembly, ntia
from tests.support import cyclonedx as official
from tests.support import spdx as official_spdx
from tests.support.debs import folder, member
from tests.support.elves import Maker
from tests.support.memory_store import MemoryStore
from tests.support.quiet import Quiet
from tests.support.wheels import locked_wheel, make_wheel

COPYRIGHT = b"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: me
License: GPL-2+ or MIT

License: MIT
 Permission is granted.
"""
TOLD = {"bomFormat": "CycloneDX", "specVersion": "1.4", "components": [
    {"type": "library", "name": "zlib", "version": "1.2.11-25.el8", "purl": "pkg:rpm/almalinux/zlib@1.2.11-25.el8"},
]}  # fmt: skip


def _library() -> bytes:
    make = Maker()
    make.string(14, "libz-1a2b3c4d.so.1")
    make.extra.append((4, struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20)), 4))
    return make.build() + b"\0 deflate 1.3.1 Copyright 1995-2024 \0"


@dataclass(frozen=True)
class Case:
    """A spec with its lock, and the world that they are built in."""

    path: Path
    spec: ImageSpec
    lock: Lock
    mirror: Path

    def world(self, store: FileStore) -> World:
        return World(
            store=store, transport=OfflineTransport(), clock=SystemClock(), runner=ProcessRunner(),
            progress=Quiet(), mirrors=lambda archive, moment: (self.mirror.as_uri(),),
            sources=IndexSources, uv=None, architecture="amd64", threads=2,
        )  # fmt: skip

    def build(self, store: FileStore, out: Path):
        return build(self.spec, self.lock, self.world(store), BuildOptions(out))


def make_case(base: Path) -> Case:
    """A package, a wheel with a library and SBOMs in it, and an app."""
    mirror = base / "mirror"
    wheel = make_wheel("demo", "1.0", {
        "demo/__init__.py": b"x = 1\n",
        "demo.libs/libz-1a2b3c4d.so.1": _library(),
        "demo-1.0.dist-info/sboms/auditwheel.cdx.json": json.dumps(TOLD).encode(),
        "demo-1.0.dist-info/sboms/broken.cdx.json": b"{",
    })  # fmt: skip
    (base / "demo-1.0-py3-none-any.whl").write_bytes(wheel)
    (base / "app").mkdir()
    (base / "app/main.py").write_text("import demo\n")
    path = base / "bills.yaml"
    path.write_text(
        "name: bills\nfoundation: debian:13\npackages: [python3]\n"
        "python: {requirements: [demo], find-links: [.], bytecode: none}\n"
        "files: [{from: ./app, to: /app}]\nlabels: {org.opencontainers.image.vendor: Example Inc.}\n"
    )
    spec = load(str(path))
    python = package(mirror, "interpreter", [
        folder("./usr/bin"), member("./usr/bin/python3.13", b"\0python", mode=0o755),
    ])  # fmt: skip
    repository = LockedRepository(
        "debian", "trixie", "trixie", ("main",), datetime(2026, 11, 20, tzinfo=UTC), None,
        Digest.of(b""), (),
    )  # fmt: skip
    locked = replace(locked_wheel("demo", "1.0", wheel), index="find-links")
    lock = Lock(
        name=spec.name, foundation=spec.foundation, inputs=inputs_digest(spec), python="3.13",
        libc="2.41", encoder=zstd.ENCODER_ID, created=datetime(2026, 11, 21, tzinfo=UTC),
        repositories=(repository,), platforms=(LockedPlatform(AMD64, (python,), (locked,)),),
        tools=(),
    )  # fmt: skip
    return Case(path, spec, lock, mirror)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Spec, lock and a function that builds into a store."""
    case = make_case(tmp_path_factory.mktemp("bills"))
    return case.spec, case.lock, case.build


def test_both_documents_are_attached_and_complete(made, tmp_path) -> None:
    _, lock, run = made
    store = FileStore(tmp_path / "store")
    run(store, tmp_path / "image")
    documents = {
        kind: read_sbom(tmp_path / "image", media_type=kind)
        for kind in (spdx.MEDIA_TYPE, cyclonedx.MEDIA_TYPE, file_list.MEDIA_TYPE, LOCK)
    }
    assert official_spdx.faults(documents[spdx.MEDIA_TYPE]) == []
    assert official.faults(documents[cyclonedx.MEDIA_TYPE]) == []
    assert ntia.spdx_misses(documents[spdx.MEDIA_TYPE]) == []
    assert ntia.cyclonedx_misses(documents[cyclonedx.MEDIA_TYPE]) == []
    assert parse_lock(documents[LOCK], file="x") == lock
    assert documents[LOCK] == format_lock(lock)
    listed = Digest.of(documents[file_list.MEDIA_TYPE])
    assert spdx.file_list_digest(documents[spdx.MEDIA_TYPE]) == listed

    top = json.loads(documents[cyclonedx.MEDIA_TYPE])
    found = {each["name"]: each for each in ntia.components(top) if each["name"] != "zlib"}
    deb = found["interpreter"]
    assert deb["externalReferences"][0]["url"] == (
        "http://snapshot.debian.org/archive/debian/20261121T000000Z/"
        "pool/main/i/interpreter/interpreter_1.0-1_amd64.deb"
    )
    libraries = {each["version"]: each for each in ntia.components(top) if each["name"] == "zlib"}
    assert set(libraries) == {"1.3.1", "1.2.11-25.el8"}
    properties = {each["name"]: each["value"] for each in libraries["1.3.1"]["properties"]}
    assert properties["staunch:build-id"] == bytes(range(20)).hex()
    unread = [each["value"] for each in found["demo"]["properties"] if each["name"] == "staunch:unread-sbom"]  # fmt: skip
    assert "broken.cdx.json: not JSON with one meaning" in unread[0]
    (own,) = [each for each in found.values() if each["bom-ref"] == "files-0"]
    assert found["bills"]["supplier"]["name"] == own["supplier"]["name"] == "Example Inc."

    # from a cold store, and from one that remembers, the same bytes
    again = run(store, tmp_path / "again")
    other = run(FileStore(tmp_path / "other"), tmp_path / "elsewhere")
    for kind, data in documents.items():
        assert read_sbom(tmp_path / "again", media_type=kind) == data
        assert read_sbom(tmp_path / "elsewhere", media_type=kind) == data
    assert again.platforms[0].described == other.platforms[0].described


def test_documents_that_are_gone_are_made_again_from_records(made, tmp_path, monkeypatch) -> None:
    _, _, run = made
    store = FileStore(tmp_path / "store")
    first = run(store, tmp_path / "image")
    monkeypatch.setattr("staunch.flows.describe._FORMAT", "other")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("read again what a record tells")

    monkeypatch.setattr(bills, "parse_copyright", never)
    monkeypatch.setattr(bills, "recognise", never)
    assert run(store, tmp_path / "again").platforms[0].sbom == first.platforms[0].sbom


def test_licences_are_found_through_links() -> None:
    """A package's folder of documents may be a link to another's, and so may the file."""
    entries = {
        each.path: each
        for each in (
            Entry.inline("usr/share/doc/gcc-14-base/copyright", COPYRIGHT),
            Entry.symlink("usr/share/doc/libgcc-s1", "gcc-14-base"),
            Entry.symlink("usr/share/doc/libgomp1", "../doc/libgcc-s1"),
            Entry.symlink("usr/share/doc/file/copyright", "../gcc-14-base/copyright"),
            Entry.symlink("usr/share/doc/round", "round"),
            Entry.symlink("usr/share/doc/out", "../../../../etc"),
        )
    }
    for name in ("gcc-14-base", "libgcc-s1", "libgomp1", "file"):
        found = bills._copyright(name, entries)
        assert found is not None
        assert found.path == "usr/share/doc/gcc-14-base/copyright"
    for name in ("round", "out", "absent"):
        assert bills._copyright(name, entries) is None


def test_an_index_has_sboms_and_lock_of_its_own(made, tmp_path) -> None:
    spec, lock, _ = made
    store = MemoryStore()
    images = [assembly.build(store, platform=each) for each in (assembly.ARM64, assembly.AMD64)]
    artifacts = describe_index(spec, lock, images, store)
    published = write_layout(
        images, name="x", tag="t", out=tmp_path / "image", store=store, referrers=artifacts
    )
    kinds = {}
    for each in artifacts:
        blob = store.blob(each.digest)
        manifest = oci.parse_manifest(blob.pread(blob.size, 0))
        assert manifest.subject == published.digest
        kinds[manifest.artifact_type] = manifest.layers[0].digest
    assert set(kinds) == {spdx.MEDIA_TYPE, cyclonedx.MEDIA_TYPE, LOCK}
    document = read_sbom(tmp_path / "image", index=True)
    assert Digest.of(document) == kinds[spdx.MEDIA_TYPE]
    with pytest.raises(UndecidedError, match="carries no SBOM for the index"):
        read_sbom(tmp_path / "image", index=True, media_type=file_list.MEDIA_TYPE)
    purls = spdx.package_purls(document)
    assert sum("arch=" in each for each in purls) == 2


def test_an_sbom_in_spdx_is_merged_too() -> None:
    data = json.dumps({"spdxVersion": "SPDX-2.3", "packages": [{"name": "a", "versionInfo": "1"}]})
    assert bills._told("x", data.encode()) == (Foreign("a", "1"),)


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://user:word@deb.example.org/debian/x.deb", "https://deb.example.org/debian/x.deb"),
        ("file:///srv/mirror/x.deb", ""),
        ("http://deb.example.org/x", "http://deb.example.org/x"),
    ],
)
def test_addresses_tell_no_secrets(url, public) -> None:
    assert bills._public(url) == public

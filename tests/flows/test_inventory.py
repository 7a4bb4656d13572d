"""Inventories of every kind of target, by the real tools that make them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from staunch.adapters.registry import Registries
from staunch.adapters.runner import ProcessRunner
from staunch.errors import HostError, SpecError, UndecidedError, UntrustedError
from staunch.flows.inventory import take_inventory
from staunch.formats.lock import format_lock
from staunch.model.inventory import Confidence, Distribution, Inventory
from staunch.model.platform import Platform
from tests.formats.test_lock import LOCK
from tests.scan.images import METADATA, OPENSSL, OS_RELEASE, SITE
from tests.support.layouts import tar_of, write_layout
from tests.support.registry import registry
from tests.support.tools import need

LOWER: dict[str, bytes | str | None] = {
    "etc/os-release": OS_RELEASE,
    "var/lib/dpkg/status": b"Package: old\nVersion: 1\nStatus: install ok installed\n",
    f"{SITE}/gone-1.dist-info/METADATA": b"Name: gone\nVersion: 1\n",
    "bin/true": b"#!/bin/sh\n",
}
UPPER: dict[str, bytes | str | None] = {
    "var/lib/dpkg/status": OPENSSL,
    f"{SITE}/.wh.gone-1.dist-info": b"",
    f"{SITE}/zope-1.dist-info/METADATA": METADATA,
}
FOUND = [("libssl3", "3.0.1-2+b1"), ("Zope.Interface", "5.4")]


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inventory")
    return write_layout(folder / "image", [tar_of(LOWER), tar_of(UPPER)])


def names(found: Inventory) -> list[tuple[str, str]]:
    return [(each.name, each.version) for each in found.packages]


def skopeo(*args: str | Path) -> None:
    command = [need("skopeo"), "--insecure-policy", *args]
    subprocess.run(command, check=True, capture_output=True)


def test_an_oci_layout_and_archive(layout: Path, tmp_path: Path) -> None:
    found = take_inventory(str(layout))
    assert names(found) == FOUND
    assert (str(found.platform), len(found.layers)) == ("linux/amd64", 2)
    assert [each.locations[0].layer for each in found.packages] == [found.layers[1]] * 2
    archive = tmp_path / "image.tar"
    skopeo("copy", f"oci:{layout}", f"oci-archive:{archive}")
    again = take_inventory(str(archive))
    assert (names(again), again.layers) == (FOUND, found.layers)


def test_docker_archives_of_both_layouts(layout: Path, tmp_path: Path) -> None:
    """skopeo writes what docker wrote until 24: folders of layers; podman saves OCI's files, too."""
    archive = tmp_path / "old.tar"
    skopeo("copy", f"oci:{layout}", f"docker-archive:{archive}:a:1")
    found = take_inventory(str(archive))
    assert names(found) == FOUND
    assert found.digest is None
    assert names(take_inventory(f"docker-archive:{archive}")) == FOUND
    flat = tmp_path / "flat"
    flat.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", flat], check=True)
    newer = tmp_path / "new.tar"
    _as_docker_25(flat, newer)
    assert names(take_inventory(str(newer))) == FOUND


def _as_docker_25(flat: Path, archive: Path) -> None:
    """Docker since 25 saves blobs as an OCI layout does, and names them in manifest.json."""
    (document,) = json.loads((flat / "manifest.json").read_text())
    blobs = flat / "blobs/sha256"
    blobs.mkdir(parents=True)

    def move(name: str) -> str:
        data = (flat / name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return f"blobs/sha256/{digest}"

    document["Config"] = move(document["Config"])
    document["Layers"] = [move(each) for each in document["Layers"]]
    (flat / "manifest.json").write_text(json.dumps([document]))
    subprocess.run(["tar", "-cf", archive, "-C", flat, "manifest.json", "blobs"], check=True)


def test_a_root_file_system(tmp_path: Path) -> None:
    for path, body in {**LOWER, **UPPER}.items():
        assert isinstance(body, bytes)
        if ".wh." not in path and "gone" not in path:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(body)
    (tmp_path / "bin/true").chmod(0o755)
    os.link(tmp_path / "bin/true", tmp_path / "bin/also")
    (tmp_path / "etc/passwd").symlink_to("/../../../../etc/passwd")
    (tmp_path / "outside").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    found = take_inventory(str(tmp_path))
    assert names(found) == FOUND
    assert (found.digest, found.layers) == (None, ())
    assert found.unowned_executables == ("bin/also", "bin/true")
    assert "etc/passwd" in (found.unowned or ())
    assert "pipe" in (found.unowned or ())
    assert found.gaps == ()
    assert take_inventory(f"dir:{tmp_path}") == found.__class__(
        **{**{k: getattr(found, k) for k in found.__slots__}, "target": f"dir:{tmp_path}"}
    )


def test_a_root_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot read"):
        take_inventory(f"dir:{tmp_path / 'none'}")


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """podman with a storage of its own."""
    need("podman")
    folder = tmp_path_factory.mktemp("podman")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver="vfs"\ngraphroot="{folder}/graph"\nrunroot="{folder}/run"\n'
    )
    yield {**os.environ, "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}


def test_an_image_in_podmans_storage(
    layout: Path, podman: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", podman["CONTAINERS_STORAGE_CONF"])
    skopeo("copy", f"oci:{layout}", "containers-storage:localhost/inventory:1")
    found = take_inventory("podman:localhost/inventory:1", runner=ProcessRunner())
    assert names(found) == FOUND
    with pytest.raises(UndecidedError, match="podman does not give the image"):
        take_inventory("podman:localhost/none:1", runner=ProcessRunner())


def test_engines_that_are_not_there() -> None:
    with pytest.raises(UndecidedError, match="cannot read the images of docker"):
        take_inventory("docker:a")
    with pytest.raises(SpecError, match="no image is named '--help'"):
        take_inventory("podman:--help", runner=ProcessRunner())


def test_zstd_chunked_by_another_tool(
    layout: Path, podman: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """podman writes tables of contents, too."""
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", podman["CONTAINERS_STORAGE_CONF"])
    skopeo("copy", f"oci:{layout}", "containers-storage:localhost/chunked:1")
    with registry(tmp_path) as running:
        name = f"{running.host}/chunked:1"
        subprocess.run(
            [need("podman"), "push", "--tls-verify=false", "--compression-format=zstd:chunked",
             "localhost/chunked:1", name],
            check=True, capture_output=True,
        )  # fmt: skip
        registries = Registries(insecure=[running.host], env=running.env)
        found = take_inventory(name, registries=registries)
        whole = take_inventory(name, registries=registries, whole=True)
        registries.close()
    assert found.by_table == found.layers
    assert names(found) == names(whole) == FOUND


def test_a_registry_is_not_asked_without_leave() -> None:
    with pytest.raises(SpecError, match="cannot look at registry"):
        take_inventory("registry.example.org/a")


def test_an_image_of_several_platforms(tmp_path: Path) -> None:
    one = write_layout(tmp_path / "a", [tar_of(LOWER)])
    two = write_layout(tmp_path / "b", [tar_of(UPPER)], architecture="arm64")
    index, other = (json.loads((each / "index.json").read_text()) for each in (one, two))
    inner = json.dumps({**index, "manifests": index["manifests"] + other["manifests"]}).encode()

    digest = hashlib.sha256(inner).hexdigest()
    (one / "blobs/sha256" / digest).write_bytes(inner)
    for blob in (two / "blobs/sha256").iterdir():
        blob.rename(one / "blobs/sha256" / blob.name)
    index["manifests"] = [
        {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": f"sha256:{digest}",
         "size": len(inner)}
    ]  # fmt: skip
    (one / "index.json").write_text(json.dumps(index))
    arm, amd = Platform("linux", "arm64"), Platform("linux", "amd64")
    assert names(take_inventory(str(one), platform=arm)) == FOUND
    assert take_inventory(str(one), host=amd).platform == amd
    with pytest.raises(SpecError, match="has no single image to choose"):
        take_inventory(str(one), platform=Platform("linux", "s390x"))


SPDX = {
    "spdxVersion": "SPDX-2.3",
    "packages": [
        {"name": "image", "primaryPackagePurpose": "CONTAINER"},
        {"name": "libssl3", "versionInfo": "3.0.1-2+b1",
         "sourceInfo": "built package from: openssl 3.0.1-2",
         "externalRefs": [{"referenceType": "purl", "referenceLocator":
                           "pkg:deb/debian/libssl3@3.0.1-2%2Bb1?arch=amd64&distro=debian-12"}]},
        {"name": "mine", "versionInfo": "1"},
        {"name": "bad", "externalRefs": [{"referenceType": "purl", "referenceLocator": "nonsense"}]},
    ],
}  # fmt: skip
CYCLONE = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "components": [
        {"type": "operating-system", "name": "debian", "version": "12"},
        {"type": "file", "name": "/etc/passwd"},
        {"type": "library", "name": "a", "version": "1", "purl": "pkg:npm/%40s/a@1", "components": [
            {"type": "library", "name": "b", "version": "2", "purl": "pkg:pypi/b@2"}]},
        {"type": "library", "name": "r", "version": "1-2",
         "purl": "pkg:rpm/redhat/r@1-2?epoch=3&distro=rhel-9.4"},
    ],
}  # fmt: skip


def test_an_spdx_document(tmp_path: Path) -> None:
    path = tmp_path / "a.spdx.json"
    path.write_text(json.dumps(SPDX))
    found = take_inventory(str(path))
    assert names(found) == [("libssl3", "3.0.1-2+b1"), ("mine", "1")]
    package = found.packages[0]
    assert (package.source, package.source_version) == ("openssl", "3.0.1-2")
    assert (package.architecture, package.distribution) == ("amd64", Distribution("debian", "12"))
    assert found.packages[1].confidence is Confidence.LOW
    assert [each.where for each in found.gaps] == ["bad"]
    assert found.unowned is None
    assert found.end_of_life is not None


def test_a_cyclonedx_document(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(CYCLONE).encode())
    found = take_inventory(str(path))
    assert names(found) == [("a", "1"), ("b", "2"), ("r", "3:1-2")]
    assert found.distribution == Distribution("debian", "12")
    assert found.gaps == ()


@pytest.mark.parametrize("version", ["SPDX-2.2", "SPDX-2.3"])
def test_versions_of_spdx(version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**SPDX, "spdxVersion": version}))
    assert len(take_inventory(str(path)).packages) == 2


@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6"])
def test_versions_of_cyclonedx(version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**CYCLONE, "specVersion": version}))
    assert len(take_inventory(str(path)).packages) == 3


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({}, "no version"),
        ({"spdxVersion": "SPDX-3.0"}, "spdxVersion 'SPDX-3.0'"),
        ({"bomFormat": "CycloneDX", "specVersion": "9"}, "specVersion '9'"),
    ],
)
def test_what_is_no_sbom_is_refused(document: object, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UntrustedError) as caught:
        take_inventory(str(path))
    assert why in caught.value.why


def test_components_that_are_none_are_gaps(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({**CYCLONE, "components": [1, {"type": "library"}], "packages": [2]})
    )
    assert [each.what for each in take_inventory(str(path)).gaps] == ["sbom"] * 3


@pytest.mark.parametrize("form", ["spdx-json", "cyclonedx-json"])
def test_sboms_that_the_real_syft_writes(layout: Path, form: str, tmp_path: Path) -> None:
    path = tmp_path / "syft.json"
    with path.open("wb") as out:
        subprocess.run(
            [need("syft"), "--quiet", "scan", f"oci-dir:{layout}", "--output", form],
            check=True, stdout=out, env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
        )  # fmt: skip
    found = take_inventory(str(path))
    assert {name.lower() for name, _ in names(found)} == {"libssl3", "zope-interface"}
    package = next(each for each in found.packages if each.name == "libssl3")
    assert (package.source, package.source_version) == ("openssl", "3.0.1-2")
    assert found.distribution == Distribution("debian", "12")


def test_a_lock_and_a_spec(tmp_path: Path) -> None:
    spec = tmp_path / "app.yaml"
    spec.write_text("foundation: debian:13\n")
    with pytest.raises(SpecError, match=r"app.yaml has no lock"):
        take_inventory(str(spec))
    (tmp_path / "app.lock").write_bytes(format_lock(LOCK))
    by_spec, by_lock = take_inventory(str(spec)), take_inventory(str(tmp_path / "app.lock"))
    assert by_spec.packages == by_lock.packages
    assert {each.found_by for each in by_spec.packages} == {"lock"}
    with pytest.raises(SpecError, match="is for other platforms"):
        take_inventory(str(spec), platform=Platform("linux", "s390x"))


def test_documents_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no file"):
        take_inventory(f"sbom:{tmp_path}/none")
    with pytest.raises(HostError, match="cannot read"):
        take_inventory(f"sbom:{tmp_path}")


def test_a_million_components_are_refused_in_flat_memory(tmp_path: Path) -> None:
    """As a process of its own, so that its peak is its own."""
    path = tmp_path / "big.json"
    row = b'{"type":"library","name":"component-%07d","version":"1.0","purl":"pkg:pypi/c-%07d@1.0"}'
    with path.open("wb") as out:
        out.write(b'{"bomFormat":"CycloneDX","specVersion":"1.6","components":[')
        out.write(b",".join(row % (n, n) for n in range(1_000_000)))
        out.write(b"]}")
    program = (
        "import re, sys\n"
        "from staunch.errors import UntrustedError\n"
        "from staunch.flows.inventory import take_inventory\n"
        "try:\n    take_inventory(sys.argv[1])\n"
        "except UntrustedError as e:\n    print(e.why)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, path], check=True, capture_output=True, text=True
    )
    why, peak = done.stdout.splitlines()
    assert why == "it lists more than 200,000 packages"
    assert int(peak) < 300_000  # KiB


def hostile(tmp_path: Path, tar: bytes, **more: object) -> Inventory:
    return take_inventory(str(write_layout(tmp_path / "image", [tar_of(LOWER), tar])))


def test_a_layer_that_is_no_tar_is_a_gap(tmp_path: Path) -> None:
    found = hostile(tmp_path, b"this is no tar" * 100)
    assert names(found) == [("old", "1"), ("gone", "1")]
    assert [each.what for each in found.gaps] == ["layer"]


def test_a_layer_that_is_cut_off_is_a_gap(tmp_path: Path) -> None:
    found = hostile(tmp_path, tar_of(UPPER)[:1500])
    assert ("old", "1") not in names(found) or found.gaps
    assert "cut off" in found.gaps[0].why


def test_a_layer_with_devices_and_odd_names(tmp_path: Path) -> None:

    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", errors="surrogateescape", format=tarfile.GNU_FORMAT
    ) as tar:
        for kind, name in ((tarfile.CHRTYPE, "dev/null"), (tarfile.FIFOTYPE, "pipe")):
            info = tarfile.TarInfo(name)
            info.type = kind
            tar.addfile(info)
        tar.addfile(tarfile.TarInfo("na\udcffme"))
    found = hostile(tmp_path, out.getvalue()[: 3 * 512])  # without the zeros at its end
    assert found.gaps == ()
    assert set(found.unowned or ()) >= {"dev/null", "pipe", r"na\xffme"}


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    """600 MB of zeros from 600 KB."""

    path = write_layout(tmp_path / "image", [tar_of(LOWER)])
    info = tarfile.TarInfo("bomb")
    info.size = 600 << 20
    raw = io.BytesIO()
    state = hashlib.sha256()
    with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0) as out:
        for piece in (info.tobuf(), *[bytes(1 << 20)] * 600, bytes(1024)):
            out.write(piece)
            state.update(piece)
    _replace_layer(path, raw.getvalue(), state.hexdigest())
    with pytest.raises(UntrustedError, match="unpacks to too much"):
        take_inventory(str(path))


def _replace_layer(path: Path, stored: bytes, diff_id: str) -> None:

    blobs = path / "blobs/sha256"

    def put(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    index = json.loads((path / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_bytes())
    config["rootfs"]["diff_ids"] = [f"sha256:{diff_id}"]
    manifest["config"] |= put(json.dumps(config).encode())
    manifest["layers"][0] |= put(stored)
    index["manifests"][0] |= put(json.dumps(manifest).encode())
    (path / "index.json").write_text(json.dumps(index))


def test_a_layer_that_is_not_what_was_promised_is_refused(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "image", [tar_of(UPPER)])
    index = json.loads((path / "index.json").read_text())
    manifest = json.loads(
        (path / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_bytes()
    )
    layer = path / "blobs/sha256" / manifest["layers"][0]["digest"][7:]
    data = gzip.decompress(layer.read_bytes()).replace(b"Zope", b"Nope")
    layer.write_bytes(gzip.compress(data, 1, mtime=0))
    with pytest.raises(UntrustedError, match="is not what it promises"):
        take_inventory(str(path))


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(OPENSSL)
    found = hostile(
        tmp_path,
        tar_of(
            {
                "var/lib/dpkg/status": str(outside),
                "a": "/../../../../" + str(outside),
                "loop": "loop",
                "x/y": "../x",
                "../../escape": b"1",
            }
        ),
    )
    assert names(found) == [("gone", "1")]
    assert [each.why.partition(":")[0] for each in found.gaps] == [
        "its name leads out of the image (`..`); it was left out"
    ]

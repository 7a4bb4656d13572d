"""The catalogue, built for real: tests in a sandbox, real peers, budgets, no foreign code."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from staunch.flows.sbom import read_sbom
from staunch.formats import cyclonedx
from staunch.publish.read import open_image
from tests.support import cyclonedx as official
from tests.support import ntia
from tests.support.cli import Staunch
from tests.support.spdx import faults
from tests.support.syft import compare
from tests.support.tools import need

pytestmark = [pytest.mark.network, pytest.mark.interop, pytest.mark.xdist_group("build")]

QUICK = [
    ("static", "debian:13"),
    ("base", "debian:12"),
    ("python", "debian:13"),
    ("python", "debian:12"),
    ("onnxruntime", "debian:13"),
    ("pytorch", "debian:12"),
]
ALL = [
    *QUICK,
    ("static", "debian:12"),
    ("base", "debian:13"),
    ("onnxruntime", "debian:12"),
    ("sklearn", "debian:13"),
    ("fastapi", "debian:13"),
    ("jax", "debian:13"),
    ("tensorflow", "debian:13"),
    ("transformers", "debian:12"),
    ("node", "debian:13"),
    ("java", "debian:13"),
    ("nginx", "debian:13"),
    ("postgres", "debian:13"),
    ("redis", "debian:13"),
    ("ray", "debian:13"),
]
EM_AARCH64 = 183
RELEASES = ("debian:13", "debian:12")
SHELLS = ("bin/sh", "usr/bin/sh", "usr/bin/bash", "usr/bin/dash", "usr/bin/busybox")
MANAGERS = ("usr/bin/dpkg", "usr/bin/apt", "usr/bin/apt-get", "usr/local/bin/pip", "usr/bin/pip3")


def params():
    return [
        pytest.param(*each, id="-".join(each), marks=() if each in QUICK else pytest.mark.slow)
        for each in ALL
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory, shared_store):
    """Builds each image once; gives its folder and the JSON report."""
    staunch, folder, done = Staunch(shared_store), tmp_path_factory.mktemp("images"), {}

    def build(entry: str, foundation: str):
        key = (entry, foundation)
        if key not in done:
            out = folder / f"{entry}-{foundation.replace(':', '')}"
            finished = staunch(
                "build", entry, "--foundation", foundation, "-o", out, "--json", cwd=folder
            )
            done[key] = out, finished.document
        return done[key]

    return build


@pytest.fixture
def short_folder():
    """Podman refuses run roots of over 50 characters."""
    with tempfile.TemporaryDirectory(prefix="p") as name:
        yield Path(name)


@pytest.mark.parametrize(("entry", "foundation"), params())
def test_catalogue(built, entry, foundation, tmp_path):
    out, report = built(entry, foundation)
    assert report["schema"] == "staunch.dev/build/v1"
    assert report["image"]["name"] == entry
    (manifest,) = report["image"]["manifests"]
    assert manifest["platform"] == "linux/amd64"
    assert report["packages"], "nothing is inside"
    assert all(each["purl"].startswith("pkg:") for each in report["packages"])
    for script in report["scripts"]:
        assert script["status"] in ("reproduced", "ignored", "unreproduced")
        assert script["why"]
    assert report["tests"]["passed"] is (None if entry in ("static", "base") else True)
    with open_image(out) as source:
        (image,) = source.images
        paths = listing(image)
    assert image.config.user == "65532"
    for path in (*(SHELLS if entry != "postgres" else ()), *MANAGERS):
        assert path not in paths, f"{path} is in an inference image"
    # every executable outside the interpreter's package stands in the report, with its reason
    told = {each["path"].lstrip("/"): each["why"] for each in report["executables"]}
    executable = {path for path, mode in paths.items() if mode & 0o111 and not stat.S_ISDIR(mode)}
    assert executable <= set(told)
    assert all(told.values())
    setuid = [path for path, mode in paths.items() if mode & 0o6000]
    assert not setuid
    writable = [path for path, mode in paths.items() if mode & 0o002 and path != "tmp"]
    assert not [path for path in writable if not path.startswith(("var/tmp", "dev/shm"))]
    purls = [each["purl"] for each in report["packages"]]
    debs = {
        each.partition("@")[0].rpartition("/")[2] for each in purls if each.startswith("pkg:deb")
    }
    folders = {path.split("/")[3] for path in paths if path.startswith("usr/share/doc/")}
    for name in folders & debs:  # node-acorn has a folder for each project that it carries
        assert f"usr/share/doc/{name}/copyright" in paths or entry == "static"
    agree(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "foundation"),  # pytorch: no CPU wheel for debian:13's Python is at hand
    [
        *((entry, release) for entry in ("base", "python", "onnxruntime") for release in RELEASES),
        ("pytorch", "debian:12"),
        ("jupyter", "debian:13"),
    ],
)
def test_training(staunch, tmp_path, entry, foundation):
    """The other profile of every entry: its tests pass, and dpkg inside finds nothing amiss."""
    out = tmp_path / "image"
    report = staunch(
        "build", entry, "--foundation", foundation, "--profile", "training", "-o", out, "--json",
        cwd=tmp_path,
    ).document  # fmt: skip
    assert report["tests"]["passed"] is (None if entry == "base" else True)
    audit = staunch("run", out, "--", "dpkg", "--audit")
    assert audit.out == ""
    agree(out)


@pytest.mark.parametrize(("foundation", "most"), [("debian:13", 28), ("debian:12", 34)])
def test_python_is_small(built, foundation, most):
    """DESIGN.md §13: at most 20 MB compressed, with byte code; at most 28 and 34 packages."""
    out, report = built("python", foundation)
    with open_image(out) as source:
        size = sum(each.size for each in source.images[0].layers)
    debs = [each for each in report["packages"] if each["purl"].startswith("pkg:deb/")]
    assert len(debs) <= most, sorted(each["purl"] for each in debs)
    assert size <= 20_000_000


def agree(layout: Path) -> None:
    """The real syft finds what our SBOM says; the official validator accepts the SBOM."""
    document = read_sbom(layout)
    assert compare(layout, document) == ([], [])
    assert not faults(document)
    assert not ntia.spdx_misses(document)
    other = read_sbom(layout, media_type=cyclonedx.MEDIA_TYPE)
    assert not ntia.cyclonedx_misses(other)
    if len(other) < 1_000_000:  # the validator takes a minute for a large one
        assert not official.faults(other)


def listing(image) -> dict[str, int]:
    """Path to mode of every entry that is no link; folders have ``S_IFDIR`` in it."""
    import tarfile

    found = {}
    for layer in image.raw_layers():
        with tarfile.open(fileobj=Pieces(layer), mode="r|") as tar:
            for member in tar:
                if not member.issym():
                    folder = stat.S_IFDIR if member.isdir() else 0
                    found[member.name.rstrip("/")] = member.mode | folder
    return found


class Pieces:
    """Pieces as a file for stdlib's tarfile."""

    def __init__(self, pieces):
        self.pieces, self.rest = iter(pieces), b""

    def read(self, size):
        while len(self.rest) < size and (piece := next(self.pieces, None)) is not None:
            self.rest += piece
        data, self.rest = self.rest[:size], self.rest[size:]
        return data


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_skopeo_keeps_the_digest(staunch, built, tmp_path, compression):
    skopeo = need("skopeo")
    out = tmp_path / "image"
    report = staunch("build", "python", "-o", out, "--compression", compression, "--no-test", "--json",
                     cwd=tmp_path).document  # fmt: skip
    copy = tmp_path / "copy"
    subprocess.run(
        [skopeo, "copy", "-q", "--preserve-digests", f"oci:{out}", f"oci:{copy}:x"], check=True
    )
    index = json.loads((copy / "index.json").read_bytes())
    digests = {each["digest"] for each in index["manifests"]}
    assert report["image"]["manifests"][0]["digest"] in digests


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_podman_loads_and_runs_archives(staunch, built, tmp_path, form, short_folder):
    podman = need("podman")
    built("python", "debian:13")
    archive = tmp_path / "image.tar"
    staunch("build", "python", "-o", archive, "--format", form, "--no-test", cwd=tmp_path)
    base = [podman, "--root", short_folder / "root", "--runroot", short_folder / "run",
            "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
            "--runtime", "runc"]  # fmt: skip
    try:
        loaded = subprocess.run(
            [*base, "load", "-q", "-i", archive], check=True, capture_output=True, text=True
        )
        name = loaded.stdout.split()[-1]
        ran = subprocess.run(
            [*base, "run", "--rm", "--read-only", "--network", "none", "--ulimit", "nofile=1024:1024",
             "--ulimit", "nproc=1000:1000", "--entrypoint", "python3", name, "-c",
             "import os, ssl; print(os.getuid(), ssl.OPENSSL_VERSION.split()[0])"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.stdout.split() == ["65532", "OpenSSL"]
    finally:
        subprocess.run([*base, "rmi", "-af"], check=False, capture_output=True)


def test_arm64_is_assembled_the_same_way(staunch, tmp_path):
    """Both platforms in one index; arm64's byte code is compiled by amd64's interpreter."""
    spec = tmp_path / "two.yaml"
    spec.write_text(
        "name: two\nextend: python\nplatforms: [linux/amd64, linux/arm64]\n"
        "python: {requirements: [numpy]}\n"
    )
    report = staunch("build", spec, "-o", tmp_path / "two", "--no-test", "--json").document
    assert [each["platform"] for each in report["image"]["manifests"]] == [
        "linux/amd64",
        "linux/arm64",
    ]
    with open_image(tmp_path / "two") as source:
        arm = next(each for each in source.images if str(each.platform) == "linux/arm64")
        paths, machines = listing(arm), elf_machines(arm)
    loader = "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"
    assert any("numpy" in path and path.endswith(".cpython-313.pyc") for path in paths)
    assert loader in paths
    assert set(machines.values()) == {EM_AARCH64}, "a file for another machine"
    assert len(machines) > 60
    # the same lock again, by one thread, on a store that has nothing but the downloads
    cold = Staunch(tmp_path / "cold")
    shutil.copytree(staunch.store / "blobs", cold.store / "blobs", copy_function=os.link)
    cold.store.chmod(0o700)
    again = cold(
        "build", spec, "-o", tmp_path / "again", "--no-test", "--jobs", "1", "--offline", "--json"
    ).document
    assert again["image"]["manifests"] == report["image"]["manifests"]


def elf_machines(image) -> dict[str, int]:
    """``e_machine`` of every ELF file in the image, by path (gABI, "ELF Header")."""
    import tarfile

    found = {}
    for layer in image.raw_layers():
        with tarfile.open(fileobj=Pieces(layer), mode="r|") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                head = file.read(20) if file is not None else b""
                if head.startswith(b"\x7fELF"):
                    found[member.name] = int.from_bytes(head[18:20], "little")
    return found


def test_unknown_names_are_told_at_once(staunch, tmp_path):
    spec: Path = tmp_path / "bad.yaml"
    spec.write_text("name: bad\nfoundation: debian:13\npackages: [libssl3t65, no-such-thing]\n")
    refused = staunch("lock", spec, code=2)
    assert f"{spec}:3:12" in refused.err or "bad.yaml:3:12" in refused.err
    assert "libssl3t64" in refused.err

"""The same root file system asked by the real dpkg-query, pip, rpm and syft.

What syft does not find and we do stands in docs/scan.md; nothing that it finds may be missing here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from staunch.flows.inventory import take_inventory
from staunch.model.inventory import FoundPackage, Inventory
from tests.support.tools import need

pytestmark = pytest.mark.interop

LOCAL = "usr/local/lib/python3.11/dist-packages"
SYSTEM = "usr/lib/python3/dist-packages"
WHEELS = ("numpy==2.3.5", "requests==2.32.5", "pyyaml==6.0.3")
RPMS = Path(__file__).parent.parent / "data/rpm/packages"
SYFT_TYPES = {"deb": "deb", "python": "pypi"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian 12 with pip as a package, wheels beside it, and an rpm database of the real rpm."""
    path = tmp_path_factory.mktemp("agreement") / "root"
    subprocess.run(
        [need("mmdebstrap"), "--quiet", "--variant=minbase", "--include=python3-pip",
         "--dpkgopt=path-exclude=/usr/share/doc/*", "bookworm", path],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        [need("uv"), "pip", "install", "--quiet", "--python-version", "3.11", "--no-deps",
         "--only-binary", ":all:", "--target", path / LOCAL, *WHEELS],
        check=True, capture_output=True,
    )  # fmt: skip
    (path / "var/lib/rpm").mkdir()
    subprocess.run(
        [need("rpm"), "--dbpath", path / "var/lib/rpm", "--install", "--justdb", "--nodeps",
         "--noscripts", "--nosignature", "--ignorearch", "--force", "--force-debian",
         *sorted(RPMS.glob("*.rpm"))],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def found(root: Path) -> Inventory:
    return take_inventory(str(root))


def of(found: Inventory, *readers: str) -> list[FoundPackage]:
    return [each for each in found.packages if each.found_by in readers]


def test_nothing_is_unknown(found: Inventory) -> None:
    assert found.gaps == ()


def test_dpkg_query(root: Path, found: Inventory) -> None:
    form = "${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\\n"
    listed = subprocess.run(
        [need("dpkg-query"), f"--admindir={root}/var/lib/dpkg", "--show", "--showformat", form],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    ours = [
        f"{each.name} {each.version} {each.architecture} {each.source} {each.source_version}"
        for each in of(found, "dpkg")
    ]
    assert sorted(ours) == sorted(listed)


def test_dpkg_owns_the_same_files(root: Path, found: Inventory) -> None:
    """Each file on disk that dpkg lists, through merged /usr, and no other, is owned by it."""
    listed: set[str] = set()
    for path in (root / "var/lib/dpkg/info").glob("*.list"):
        for line in path.read_text().splitlines():
            folder, _, name = line.rpartition("/")
            real = os.path.realpath(f"{root}{folder}").removeprefix(f"{root}") + "/" + name
            if os.path.lexists(f"{root}{real}"):
                listed.add(real.lstrip("/"))
    assert found.unowned is not None
    assert not listed & set(found.unowned)


def test_pip_list(root: Path, found: Inventory) -> None:
    pip = [sys.executable, "-m", "pip"] if _has_pip() else [need("pip")]
    listed = subprocess.run(
        [*pip, "list", "--format=json", "--path", root / SYSTEM, "--path", root / LOCAL],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    theirs = {(_normal(each["name"]), each["version"]) for each in json.loads(listed)}
    assert {(each.purl.name, each.version) for each in of(found, "dist-info", "egg-info")} == theirs


def _has_pip() -> bool:
    done = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    return done.returncode == 0


def test_rpm_query_all(root: Path, found: Inventory) -> None:
    listed = subprocess.run(
        [need("rpm"), "--dbpath", root / "var/lib/rpm", "--query", "--all", "--queryformat",
         "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE} %{ARCH}\\n"],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    ours = [f"{p.name} {p.version} {p.architecture}" for p in of(found, "rpmdb")]
    assert sorted(ours) == sorted(listed)


def test_syft_finds_nothing_that_is_not_found_here(root: Path, found: Inventory) -> None:
    done = subprocess.run(
        [need("syft"), "--quiet", "scan", f"dir:{root}", "--output", "json"],
        check=True, capture_output=True, env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
    )  # fmt: skip
    theirs = {
        (SYFT_TYPES[each["type"]], _normal(each["name"]), each["version"])
        for each in json.loads(done.stdout)["artifacts"]
        if each["type"] in SYFT_TYPES
    }
    ours = {(p.purl.type, _normal(p.name), p.version) for p in found.packages}
    assert theirs - ours == set()
    beyond = {each.found_by for each in found.packages if _key(each) not in theirs}
    assert beyond <= {"vendored", "bundled-library", "model", "rpmdb"}


def _key(package: FoundPackage) -> tuple[str, str, str]:
    return package.purl.type, _normal(package.name), package.version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

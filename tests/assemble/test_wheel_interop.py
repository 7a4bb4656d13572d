"""Real wheels laid out by us and installed by the real pip: the same files, modes and RECORD."""

from __future__ import annotations

import csv
import hashlib
import io
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from staunch.assemble.wheel import WheelReader, check_record, wheel_part
from staunch.formats.wheel import parse_wheel_name
from staunch.model.digest import Digest
from staunch.model.entry import Inline, Member
from staunch.model.lock import LockedWheel
from staunch.model.part import Part
from tests.support.wheels import verified

pytestmark = [pytest.mark.network, pytest.mark.interop]

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
LIB = f"usr/local/lib/python{PYTHON}/dist-packages"
# what each stands for: extension modules; console scripts; data; a program in .data/scripts;
# `#!python` scripts; headers; pip's own renamed scripts
WHEELS = (
    "numpy", "pygments", "widgetsnbextension", "ruff", "docutils==0.18.1", "greenlet", "pip",
)  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of wheels, and an environment into which pip installed them."""
    root = tmp_path_factory.mktemp("pip")
    wheels, env = root / "wheels", root / "env"

    def call(*argv: str | Path) -> None:
        subprocess.run([str(each) for each in argv], check=True, umask=0o022)

    call(uv.find_uv_bin(), "venv", "-q", "--seed", "--python", sys.executable, env)
    pip = (env / "bin" / "python", "-m", "pip", "-q")
    call(*pip, "download", "--no-deps", "--only-binary", ":all:", "-d", wheels, *WHEELS)
    names = [parse_wheel_name(path.name) for path in sorted(wheels.iterdir())]
    call(
        *pip, "install", "--no-deps", "--no-compile", "--no-index", "--ignore-installed",
        "--find-links", wheels, *(f"{n.name}=={n.version}" for n in names),
    )  # fmt: skip
    return wheels, env


def as_in_image(path: str) -> str:
    """Where a file of the environment lies in an image."""
    for ours, theirs in (
        (f"lib/python{PYTHON}/site-packages/", f"{LIB}/"),
        (f"include/site/python{PYTHON}/", f"usr/local/include/python{PYTHON}/"),
    ):
        if path.startswith(ours):
            return theirs + path.removeprefix(ours)
    return f"usr/local/{path}"


def payloads(part: Part, data: bytes) -> dict[str, bytes]:
    paths = {e.body.name: e.path for e in part.entries if isinstance(e.body, Member)}
    found = {e.path: e.body.data for e in part.entries if isinstance(e.body, Inline)}
    for name, pieces in WheelReader(verified(data)).payloads(paths):
        found[paths[name]] = b"".join(pieces)
    return found


def rows(data: bytes) -> set[tuple[str, ...]]:
    return {tuple(row) for row in csv.reader(io.StringIO(data.decode(), newline=""))}


@pytest.mark.parametrize("requirement", WHEELS)
def test_as_pip_leaves_it(installed: tuple[Path, Path], requirement: str) -> None:
    wheels, env = installed
    project = requirement.partition("==")[0]
    (path,) = (p for p in wheels.iterdir() if parse_wheel_name(p.name).name == project)
    name, data = parse_wheel_name(path.name), path.read_bytes()
    locked = LockedWheel(
        name.name,
        str(name.version),
        path.name,
        Digest.of(data),
        len(data),
        "default",
        None,
        True,
        (),
    )
    part = wheel_part(locked, verified(data), python=PYTHON)
    check_record(part, verified(data))
    ours = payloads(part, data)
    site = env / "lib" / f"python{PYTHON}" / "site-packages"
    (record_path,) = (p for p in ours if p.endswith(".dist-info/RECORD"))
    record = (site / record_path.removeprefix(f"{LIB}/")).read_bytes()
    theirs = {}
    for row in rows(record):
        file = (site / row[0]).resolve()
        theirs[as_in_image(str(file.relative_to(env.resolve())))] = file
    assert sorted(ours) == sorted(theirs)
    shebang = f"#!{env}/bin/python".encode()
    changed = set()
    for entry in part.entries:
        real = theirs[entry.path]
        assert oct(entry.mode) == oct(stat.S_IMODE(real.stat().st_mode)), entry.path
        wanted = real.read_bytes()
        if wanted.startswith(shebang):
            _, _, rest = wanted.partition(b"\n")
            wanted = f"#!/usr/bin/python{PYTHON}\n".encode() + rest
            changed.add(entry.path.rpartition("/")[2])
        if entry.path != record_path:
            assert ours[entry.path] == wanted, entry.path
    there = record.replace(
        f"include/site/python{PYTHON}".encode(), f"include/python{PYTHON}".encode()
    )
    differing = rows(ours[record_path]) ^ rows(there)
    assert {row[0].rpartition("/")[2] for row in differing} == changed
    assert ours[record_path].endswith(b"\r\n") is record.endswith(b"\r\n")
    for entry in part.entries:
        if entry.digest:
            assert hashlib.sha256(ours[entry.path]).hexdigest() == entry.digest.hex


def test_the_set_holds_what_it_should(installed: tuple[Path, Path]) -> None:
    """Scripts, data and headers are really there, so the comparison is not of nothing."""
    _, env = installed
    for path in ("bin/ruff", "bin/rst2html.py", "bin/f2py", "bin/pip3", "share/jupyter"):
        assert (env / path).exists(), path
    assert list((env / "include").rglob("greenlet.h"))

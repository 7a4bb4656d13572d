"""Feeds that are cut, flipped, nested or huge: refused or counted, never read as clean."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from staunch.adapters.advisory_db import AdvisoryDatabase
from staunch.errors import StaunchError
from staunch.model.finding import State
from tests.support.advisories import DATA, add, affects, database, osv, pypi, run, write

FILES = [
    ("osv", "pypi-osv/all.zip"),
    ("osv", "ubuntu/osv/USN-5614-1.json"),
    ("secdb", "alpine-secdb/v3.11/main.json"),
    ("debian-tracker", "debian/tracker-sample-vunnel.json"),
    ("debian-changelog", "debian/changelog-derived/trixie.json"),
    ("csaf", "redhat-csaf/vex/cve-2023-4154.json"),
    ("ubuntu-vex", "ubuntu/vex/CVE-2023-38545.json"),
    ("kev", "kev/known_exploited_vulnerabilities.json"),
]


@pytest.mark.parametrize(("format_", "path"), FILES, ids=lambda value: value.rpartition("/")[2])
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_cut_short(tmp_path: Path, format_: str, path: str, share: float) -> None:
    data = (DATA / path).read_bytes()
    cut = write(tmp_path, {Path(path).name: data[: int(len(data) * share)]}) / Path(path).name
    with pytest.raises(StaunchError) as caught:
        add(tmp_path / "a.db", format_, cut)
    assert caught.value.why
    assert not (tmp_path / "a.db").exists()


def test_lines_that_are_cut_are_counted(tmp_path: Path) -> None:
    data = (DATA / "epss" / "epss_kev_subset.csv").read_bytes()[:20_010]
    db = database(tmp_path, epss=write(tmp_path, {"epss.csv": data}) / "epss.csv")
    with AdvisoryDatabase(db) as opened:
        assert opened.feeds()[0].broken == 1
    assert "1 of its" in run(db, pypi("x", "1")).gaps[0].why


@pytest.mark.parametrize(("format_", "path"), FILES, ids=lambda value: value.rpartition("/")[2])
def test_flipped_bytes(tmp_path: Path, format_: str, path: str) -> None:
    """Whatever comes of it, it is an answer or an error of ours."""
    chance = random.Random(path)
    data = (DATA / path).read_bytes()
    for turn in range(4):
        flipped = bytearray(data)
        for _ in range(turn + 1):
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        name = Path(path).name
        try:
            add(tmp_path / f"{turn}.db", format_, write(tmp_path, {name: bytes(flipped)}) / name)
        except StaunchError as error:
            assert error.why


NONSENSE = [
    "",
    "latest",
    "1.0-",
    ">=2",
    "v",
    "1..2",
    "0x1f",
    "١٢٣",
    "9" * 5000,
    "1\n2",
    "../../x",
    "🦆",
]


def test_versions_that_are_nonsense(tmp_path: Path) -> None:
    records = [
        osv(f"A-{number}", affects("x", f"introduced {one or '?'}", f"fixed {other or '?'}"))
        for number, (one, other) in enumerate(zip(NONSENSE, reversed(NONSENSE), strict=True))
    ]
    matched = run(
        database(tmp_path, records), pypi("x", "1.0"), *(pypi("x", each) for each in NONSENSE)
    )
    decided = [each for each in matched.findings if each.state is not State.UNDETERMINED]
    assert len(matched.findings) == len(records) * (len(NONSENSE) + 1)
    assert {each.package.version for each in decided} <= {"1.0", "9" * 5000}
    assert matched.gaps


def test_half_surrogates_and_nul_in_names(tmp_path: Path) -> None:
    odd = r"\ud800\u0000\udfff"
    release = {"releases": {"bookworm": {"status": "open"}}}
    fixes = {"ODD": ["CVE-2026-0001", "ODD"]}
    tracker = {"ODD": {"CVE-2026-0001": release, "ODD": 1}}
    alpine = {
        "distroversion": "v3.20",
        "reponame": "ODD",
        "packages": [{"pkg": {"name": "ODD", "secfixes": fixes}}],
    }
    package = {"ecosystem": "PyPIODD", "name": "ODD"}
    one = {
        "id": "A-1ODD",
        "aliases": ["ODD"],
        "details": "ODD",
        "affected": [{"package": package, "versions": ["ODD"]}],
    }
    hostile = {
        key: json.dumps(value).replace("ODD", odd).encode()
        for key, value in (("t", tracker), ("s", alpine), ("o", one))
    }
    name = os.fsdecode(b"\xff.json")
    folder = tmp_path / "osv"
    write(folder, {name: hostile["o"], "b\udcff.json": b"{", "ok.json": osv("A-2")})
    db = database(
        tmp_path, osv=folder,
        debian_tracker=write(tmp_path, {"t.json": hostile["t"]}) / "t.json",
        secdb=write(tmp_path, {"s.json": hostile["s"]}) / "s.json",
    )  # fmt: skip
    with AdvisoryDatabase(db) as opened:
        assert len(opened.feeds()) == 3
        assert all(each.why for feed in opened.feeds() for each in opened.broken(feed.name))


@pytest.mark.slow
def test_300_000_records_some_of_them_broken(tmp_path: Path) -> None:
    """Memory holds, broken records are counted, the rest is matched."""
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(300_000):
            entry = affects(f"p-{number % 50_000}", "introduced 0", "fixed 2.0", ecosystem="npm")
            data = osv(f"GHSA-{number}", entry, aliases=[f"CVE-2026-{number}"])
            if number % 1000 == 7:
                data = [b"{", data[:-30], b"[" * 50_000, b'{"id": 1e99999}'][number // 1000 % 4]
            archive.writestr(f"GHSA-{number}.json", data)
    db = tmp_path / "a.db"
    argv = [
        sys.executable,
        "-m",
        "staunch.apps.cli.main",
        "db",
        "import",
        "--db",
        db,
        "--format",
        "osv",
        "--json",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run([*argv, path], capture_output=True, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    (feed,) = json.loads(done.stdout)["feeds"]
    assert (feed["records"], feed["broken"]) == (299_700, 300)
    assert max(peak, before) < 600_000  # KiB; a fixed share is the zip's directory
    with AdvisoryDatabase(db) as opened:
        assert len(opened.facts("npm", "p-1")) == 6
        assert len(opened.broken("osv:npm")) == 50

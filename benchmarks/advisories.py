"""Building the database of advisories at the size of Debian and PyPI, and matching 1,000 packages.

The full feeds cannot be shipped, so rows are made up in the published form: as many sources, CVEs,
releases and listed versions as the real feeds have (rough, from their published sizes).
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks.measure import Run, run
from benchmarks.report import Figure

SOURCES, PAIRS, KERNEL = (
    4_000,
    62_000,
    8_000,
)  # Debian: sources, (source, CVE) pairs, those of linux
RELEASES = ("bullseye", "bookworm", "trixie", "forky", "sid")
RECORDS, PROJECTS, VERSIONS = (
    20_000,
    9_000,
    40,
)  # PyPI: records, projects, versions listed on average


def figures(runs: int) -> list[Figure]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        tracker, archive = _tracker(folder / "tracker.json"), _osv(folder / "all.zip")
        db = folder / "advisories.db"
        debian = _import(db, "debian-tracker", tracker)
        both = _import(db, "osv", archive)
        matched = sorted((_match(db) for _ in range(runs)), key=lambda each: each.cpu_s)[runs // 2]
        load = sorted((_match(db, count=1) for _ in range(runs)), key=lambda each: each.cpu_s)[
            runs // 2
        ]
        size = db.stat().st_size / 1e6
        net = matched.cpu_s - load.cpu_s
    return [
        Figure(
            f"database of Debian's size ({PAIRS:,} pairs of source and CVE in 5 releases)",
            f"{debian.cpu_s:.1f} s of CPU, {debian.peak / 1e6:.0f} MB",
            "≤ 400 MB",
            debian.peak <= 400e6,
            f"{debian.wall_s:.1f} s; synthetic rows in the real form",
        ),
        Figure(
            f"PyPI's size added ({RECORDS:,} records)",
            f"{both.cpu_s:.1f} s of CPU, {both.peak / 1e6:.0f} MB",
            "≤ 400 MB",
            both.peak <= 400e6,
            f"{both.wall_s:.1f} s; the database then has {size:.0f} MB; synthetic rows in the real form",
        ),
        Figure(
            "matching 1,000 packages (500 deb, 500 pypi) against it",
            f"{net:.2f} s of CPU, {matched.peak / 1e6:.0f} MB",
            "≤ 5 s",
            net <= 5,
            f"44,906 findings of all states; the sources with the most CVEs, linux among them; "
            f"a process with 1,000 packages {matched.cpu_s:.2f} s, with one {load.cpu_s:.2f} s",
        ),
    ]


def _import(db: Path, format_: str, path: Path) -> Run:
    argv = [sys.executable, "-m", "staunch.apps.cli.main", "db", "import", "--db", db, "--format"]
    return run([*argv, format_, path])


def _match(db: Path, *, count: int = 1_000) -> Run:
    return run([sys.executable, "-m", "benchmarks.advisories", str(db), str(count)])


def _tracker(path: Path) -> Path:
    """Debian's tracker: ``{source: {CVE: {description, scope, releases: {…}}}}``."""
    chance = random.Random(1)
    weights = [1 / (n + 3) for n in range(SOURCES)]
    counts = dict.fromkeys(range(SOURCES), 1)
    for source in chance.choices(range(1, SOURCES), weights[1:], k=PAIRS - KERNEL - SOURCES):
        counts[source] += 1
    counts[0] = KERNEL
    with path.open("w", encoding="utf-8") as file:
        file.write("{")
        for source, count in counts.items():
            rows = {
                f"CVE-{2005 + n % 22}-{10000 + source * 7 + n}": _pair(chance) for n in range(count)
            }
            comma = "," if source else ""
            file.write(f"{comma}{json.dumps(_source(source))}: {json.dumps(rows)}")
        file.write("}")
    return path


def _source(number: int) -> str:
    return "linux" if number == 0 else f"source-{number}"


def _pair(chance: random.Random) -> dict[str, object]:
    releases = {}
    for release in RELEASES:
        row: dict[str, object] = {
            "repositories": {release: "1.2.3-4", f"{release}-security": "1.2.3-4+deb12u1"}
        }
        if chance.random() < 0.8:
            row |= {
                "status": "resolved",
                "fixed_version": f"1.{chance.randrange(30)}.{chance.randrange(9)}-1",
            }
        else:
            row |= {"status": "open", "nodsa": "Minor issue", "nodsa_reason": "postponed"}
        releases[release] = {**row, "urgency": "not yet assigned"}
    words = "A flaw in the handling of untrusted input leads to a crash or worse. " * 3
    return {
        "description": words,
        "scope": "remote",
        "debianbug": chance.randrange(10**6),
        "releases": releases,
    }


def _osv(path: Path) -> Path:
    """OSV's PyPI zip: records with aliases, one range and every affected version."""
    chance = random.Random(2)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(RECORDS):
            versions = [
                f"{n // 10}.{n % 10}.{chance.randrange(9)}"
                for n in range(chance.randrange(2 * VERSIONS))
            ]
            record = {
                "id": f"GHSA-{number:04x}-aaaa-bbbb",
                "modified": "2026-11-20T00:00:00Z",
                "aliases": [f"CVE-2024-{20000 + number}"],
                "details": "A flaw in the handling of untrusted input. " * 10,
                "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
                "affected": [{
                    "package": {"ecosystem": "PyPI", "name": f"project-{chance.randrange(PROJECTS)}"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": f"{chance.randrange(9)}.9.9"}]}],
                    "versions": versions,
                }],
            }  # fmt: skip
            archive.writestr(f"{record['id']}.json", json.dumps(record))
    return path


def main(db: str, count: str) -> None:
    """Match ``count`` packages and print how many findings there are."""
    from datetime import UTC, datetime

    from staunch.adapters.advisory_db import AdvisoryDatabase
    from staunch.flows.match import match
    from staunch.model.inventory import Distribution, FoundPackage, Inventory
    from staunch.model.purl import Purl

    packages = []
    for number in range(int(count)):
        if number % 2 == 0:
            name = _source(number // 2)  # the ones with the most CVEs, linux among them
            purl = Purl("deb", "debian", f"lib{name}", "1.15.0-1")
            found = FoundPackage(purl, f"lib{name}", "1.15.0-1", "dpkg", source=name)
        else:
            name = f"project-{number}"
            found = FoundPackage(Purl("pypi", "", name, "3.1.4"), name, "3.1.4", "dist-info")
        packages.append(found)
    inventory = Inventory(
        "benchmark", tuple(packages), distribution=Distribution("debian", "12", "bookworm")
    )
    with AdvisoryDatabase(Path(db)) as opened:
        matched = match(inventory, opened, now=datetime.now(UTC))
    print(len(matched.findings))


if __name__ == "__main__":
    main(*sys.argv[1:])

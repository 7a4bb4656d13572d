"""Databases of advisories and inventories for tests of matching."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from staunch.adapters.advisory_build import change
from staunch.adapters.advisory_db import AdvisoryDatabase
from staunch.adapters.feed_files import feed_files
from staunch.flows.advisories import import_feeds
from staunch.flows.match import Matched, match
from staunch.model.finding import Finding
from staunch.model.inventory import Distribution, FoundPackage, Inventory, Location
from staunch.model.purl import Purl

DATA = Path(__file__).parent.parent / "data" / "vuln"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
BOOKWORM = Distribution("debian", "12", "bookworm")
BUSTER = Distribution("debian", "10", "buster")
ALPINE = Distribution("alpine", "3.11.6")
JAMMY = Distribution("ubuntu", "22.04", "jammy")
RHEL9 = Distribution("rhel", "9.2")


def osv(identifier: str, *affected: dict[str, Any], **more: Any) -> bytes:
    """One OSV record."""
    record = {"id": identifier, "modified": "2026-11-20T00:00:00Z", "affected": list(affected)}
    return json.dumps({**record, **more}).encode()


def affects(name: str, *events: str, ecosystem: str = "PyPI", **more: Any) -> dict[str, Any]:
    """``affects("jinja2", "introduced 0", "fixed 3.1.4")``."""
    pairs = [dict([event.split(" ", 1)]) for event in events]
    kind = "SEMVER" if ecosystem in ("npm", "Go", "crates.io") else "ECOSYSTEM"
    ranges = [{"type": kind, "events": pairs}] if pairs else []
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **more}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Files below a new folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def add(
    db: Path,
    format_: str,
    *paths: Path,
    accept: bool = False,
    retrieved: str = "2026-11-27T00:00:00Z",
) -> None:
    """As ``staunch db import`` does."""
    with feed_files(paths) as (files, folder), change(db) as changing:
        import_feeds(
            changing, format_, files, whole_folder=folder, retrieved=retrieved, accept=accept
        )


def database(folder: Path, records: Iterable[bytes] = (), **feeds: Path | tuple[Path, ...]) -> Path:
    """A database of OSV records, and of files by format (underscores for hyphens)."""
    db = folder / "advisories.db"
    found = {f"{number}.json": data for number, data in enumerate(records)}
    if found:
        add(db, "osv", write(folder / "osv", found))
    for format_, paths in feeds.items():
        each = paths if isinstance(paths, tuple) else (paths,)
        add(db, format_.replace("_", "-"), *each)
    return db


def pypi(name: str, version: str, *, owner: str = "", **facts: str) -> FoundPackage:
    return _package(
        Purl("pypi", "", name, version), name, version, "dist-info", owner=owner, facts=facts
    )


def npm(name: str, version: str) -> FoundPackage:
    return _package(Purl("npm", "", name, version), name, version, "npm")


def golang(name: str, version: str) -> FoundPackage:
    namespace, _, last = name.rpartition("/")
    return _package(Purl("golang", namespace, last, version), name, version, "go-buildinfo")


def deb(
    name: str,
    version: str,
    source: str = "",
    source_version: str = "",
    *,
    distribution: Distribution | None = None,
    **facts: str,
) -> FoundPackage:
    purl = Purl("deb", distribution.id if distribution else "debian", name, version)
    return _package(
        purl, name, version, "dpkg", source=source, source_version=source_version,
        distribution=distribution, facts=facts, architecture="amd64",
    )  # fmt: skip


def apk(
    name: str, version: str, origin: str = "", *, distribution: Distribution | None = None
) -> FoundPackage:
    purl = Purl("apk", distribution.id if distribution else "alpine", name, version)
    return _package(purl, name, version, "apk", source=origin, distribution=distribution)


def rpm(
    name: str,
    version: str,
    source: str = "",
    source_version: str = "",
    architecture: str = "x86_64",
    **facts: str,
) -> FoundPackage:
    purl = Purl("rpm", "redhat", name, version)
    return _package(
        purl, name, version, "rpmdb", source=source, source_version=source_version,
        architecture=architecture, facts=facts,
    )  # fmt: skip


def _package(purl: Purl, name: str, version: str, found_by: str, **more: Any) -> FoundPackage:
    facts = tuple(
        sorted((key.replace("_", "-"), value) for key, value in more.pop("facts", {}).items())
    )
    return FoundPackage(
        purl, name, version, found_by, locations=(Location(f"at/{name}"),), facts=facts, **more
    )


def run(
    db: Path, *packages: FoundPackage, distribution: Distribution | None = None, now: datetime = NOW
) -> Matched:
    """Match an inventory of these packages."""
    ordered = tuple(sorted(packages, key=lambda each: (str(each.purl), each.locations)))
    inventory = Inventory("test", ordered, distribution=distribution)
    with AdvisoryDatabase(db) as opened:
        return match(inventory, opened, now=now)


def states(matched: Matched) -> dict[str, str]:
    """State by id, of findings about vulnerabilities."""
    others = ("unassessed", "unsupported-release")
    return {each.id: each.state.value for each in matched.findings if each.id not in others}


def one(matched: Matched, identifier: str) -> Finding:
    """The only finding of that id."""
    found = [each for each in matched.findings if each.id == identifier]
    assert len(found) == 1, [each.id for each in matched.findings]
    return found[0]

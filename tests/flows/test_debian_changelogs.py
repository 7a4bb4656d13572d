"""flows.debian_changelogs over the real Debian archive, a bounded number of sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from staunch.adapters.apt_config import archive_mirrors
from staunch.adapters.clock import SystemClock
from staunch.adapters.http import HttpTransport
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.store import FileStore
from staunch.flows.debian_changelogs import join, read_changelogs
from staunch.flows.world import World
from staunch.formats.debian_changelog import facts_document, read_facts
from staunch.model.sources import IndexSources
from tests.support.advisories import DATA
from tests.support.quiet import Quiet

SOURCES = {"openssl", "expat", "zlib", "tzdata", "glance"}


def world(folder: Path, transport: HttpTransport) -> World:
    return World(
        store=FileStore(folder), transport=transport, clock=SystemClock({}), runner=ProcessRunner(),
        progress=Quiet(), mirrors=lambda archive, snapshot: archive_mirrors(archive, snapshot=snapshot),
        sources=IndexSources, uv=None, architecture="amd64", threads=2,
    )  # fmt: skip


@pytest.mark.network
def test_fixed_in_facts_of_the_signed_archive(tmp_path: Path) -> None:
    transport = HttpTransport()
    opened = world(tmp_path, transport)
    found = join(
        [
            read_changelogs(opened, number, sources=SOURCES, security_only=False)
            for number in ("12", "13")
        ]
    )
    transport.close()
    for release in found:
        assert {each.source for each in release.fixes} == SOURCES
        assert not release.broken
        assert release.date > "2026-11"
        facts = json.loads(facts_document(release.fixes))
        older = json.loads(
            (DATA / "debian" / "changelog-derived" / f"{release.codename}.json").read_bytes()
        )
        for source in SOURCES & older.keys():
            for cve, row in older[source]["cves"].items():
                assert facts[source]["cves"][cve]["fixed_version"] == row["fixed_version"], (
                    source,
                    cve,
                )
        assert list(read_facts(facts_document(release.fixes)).items)

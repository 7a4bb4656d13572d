"""match.explain: the story of a finding, and of why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from staunch.adapters.advisory_db import AdvisoryDatabase
from staunch.flows.match import Story, explain, match
from staunch.model.inventory import Distribution, FoundPackage, Inventory
from tests.support.advisories import BOOKWORM, DATA, NOW, affects, database, deb, osv, pypi


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    return database(
        folder,
        osv=DATA / "pypi-osv" / "all.zip",
        debian_tracker=DATA / "debian" / "tracker-sample-vunnel.json",
    )


def tell(
    db: Path, identifier: str, *packages: FoundPackage, distribution: Distribution | None = None
) -> Story:
    inventory = Inventory("app", packages, distribution=distribution)
    with AdvisoryDatabase(db) as opened:
        return explain(identifier, inventory, match(inventory, opened, now=NOW), opened)


def test_the_story_of_a_finding(db: Path) -> None:
    story = tell(db, "cve-2023-32681", pypi("requests", "2.30.0"), pypi("flask", "3.0"))
    assert story.answer == "CVE-2023-32681 in app: 1 affected"
    assert story.names == ("CVE-2023-32681", "GHSA-j8r2-6x86-q33q", "PYSEC-2023-74")
    (seen,) = story.seen
    assert (seen.feed, seen.record, seen.about) == ("osv:pypi", "PYSEC-2023-74", ("pypi requests",))
    assert seen.outcome == "pkg:pypi/requests@2.30.0: affected by rule pypi-name"
    assert story.findings[0].id == "CVE-2023-32681"
    assert [each.name for each in story.feeds]


def test_any_name_and_case_will_do(db: Path) -> None:
    for name in ("GHSA-J8R2-6X86-Q33Q", "PYSEC-2023-74", " CVE-2023-32681 "):
        assert len(tell(db, name, pypi("requests", "2.30.0")).findings) == 1


def test_none_because_it_is_fixed(db: Path) -> None:
    story = tell(db, "CVE-2023-32681", pypi("requests", "2.32.0"))
    assert story.answer == "CVE-2023-32681 in app: 1 fixed"
    assert story.findings[0].evidence[0].compared == "2.31.0"


def test_none_because_the_package_is_not_there(db: Path) -> None:
    story = tell(db, "CVE-2023-32681", pypi("flask", "3.0"))
    assert (
        story.answer
        == "CVE-2023-32681 is not in app: no record of it is about a package that is there"
    )
    assert story.seen[0].outcome == "names no package of this inventory"


def test_none_because_it_is_about_another_release(db: Path) -> None:
    story = tell(db, "CVE-2008-7220", deb("prototypejs", "1.5"), distribution=BOOKWORM)
    assert (
        story.seen[0].outcome
        == "is about another release or ecosystem than debian:12, debian:bookworm"
    )


def test_none_because_nothing_is_known(db: Path) -> None:
    story = tell(db, "CVE-2099-0001", pypi("requests", "2.30.0"))
    assert story.answer == "CVE-2099-0001 is in no feed of the database, so nothing is known of it"


def test_none_because_a_rule_set_it_aside(tmp_path: Path) -> None:
    gone = osv("PYSEC-2020-1", affects("x", "introduced 0"), withdrawn="2021-01-01T00:00:00Z")
    story = tell(database(tmp_path, [gone]), "PYSEC-2020-1", pypi("x", "1"))
    assert (
        story.answer == "PYSEC-2020-1 is not in app: its records were set aside by rule withdrawn"
    )
    assert (
        story.seen[0].outcome
        == "not used, withdrawn: the record was withdrawn (2021-01-01T00:00:00Z)"
    )
    assert story.seen[0].withdrawn

"""``staunch db`` as users run it."""

from __future__ import annotations

import os
from pathlib import Path

from staunch.apps.cli.commands import db as verb
from staunch.flows.advisories import FORMATS
from tests.support.advisories import DATA
from tests.support.cli import Staunch
from tests.support.httpd import serving


def test_import_and_status(tmp_path: Path) -> None:
    staunch = Staunch(tmp_path / "store")
    db, now = tmp_path / "a.db", {"SOURCE_DATE_EPOCH": "1728400000"}  # 2024-10-08
    feed = DATA / "pypi-osv" / "all.zip"
    done = staunch(
        "db", "import", "--db", db, "--format", "osv", "--retrieved", "2024-10-08T12:00:00Z", feed
    )
    assert done.out.splitlines()[1].strip() == (
        "osv:pypi: 1,316 records, retrieved 2024-10-08, newest 2024-10-08"
    )
    status = staunch("db", "status", "--db", db, "--json", **now).document
    assert status["schema"] == "staunch.dev/db-status/v1"
    assert [(each["name"], each["stale"]) for each in status["feeds"]] == [("osv:pypi", False)]
    late = staunch("db", "status", "--db", db, code=3)
    assert "STALE: retrieved" in late.out


def test_what_cannot_be_read_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    staunch = Staunch(tmp_path / "store")
    db, half = tmp_path / "a.db", tmp_path / "all.zip"
    half.write_bytes((DATA / "pypi-osv" / "all.zip").read_bytes()[:500_000])
    done = staunch("db", "import", "--db", db, "--format", "osv", half, code=4)
    assert "not a trustworthy zip file" in done.err
    assert not db.exists()
    assert staunch("db", "status", "--db", db, code=2).err.startswith("error: no advisory database")


def test_wrong_words(tmp_path: Path) -> None:
    staunch = Staunch(tmp_path / "store")
    wrong = staunch("db", "import", "--format", "osv", "--retrieved", "never", "x", code=2)
    assert "a time such as 2026-11-27T12:00:00Z is wanted" in wrong.err
    nothing = staunch("db", "import", "--format", "osv", tmp_path / "x", code=2)
    assert "no file" in nothing.err


def test_every_format_can_be_named() -> None:
    assert set(verb._FORMATS) == set(FORMATS)


def test_update_from_an_address(tmp_path: Path) -> None:
    staunch = Staunch(tmp_path / "store")
    db = tmp_path / "a.db"
    with serving({"all.zip": (DATA / "pypi-osv" / "all.zip").read_bytes()}) as site:
        source = f"osv={site.url}/all.zip"
        stale = staunch("db", "update", "--db", db, "--source", source, code=3)
        assert "failed: feed osv:pypi is stale as published" in stale.out
        done = staunch(
            "db", "update", "--db", db, "--source", source, "--accept", "--json"
        ).document
    assert done["schema"] == "staunch.dev/db-update/v1"
    assert [(each["state"], each["feeds"][0]["records"]) for each in done["sources"]] == [
        ("changed", 1316)
    ]
    listed = staunch("db", "update", "--list").out
    assert "debian-tracker: debian-tracker, https://security-tracker.debian.org" in listed
    assert "no feed 'x'" in staunch("db", "update", "--db", db, "--feed", "x", code=2).err
    wrong = staunch("db", "update", "--db", db, "--source", "x", code=2).err
    assert "FORMAT=URL is wanted" in wrong


def test_copies_of_a_feed_give_the_same_database(tmp_path: Path) -> None:
    staunch = Staunch(tmp_path / "store")
    for name, second in (("one", 1_790_000_001), ("other", 1_790_000_099)):
        copy = tmp_path / name / "main.json"
        copy.parent.mkdir()
        copy.write_bytes((DATA / "alpine-secdb" / "v3.11" / "main.json").read_bytes())
        os.utime(copy, (second, second))
        staunch("db", "import", "--db", tmp_path / f"{name}.db", "--format", "secdb", copy)
    assert (tmp_path / "one.db").read_bytes() == (tmp_path / "other.db").read_bytes()
    staunch(
        "db", "import", "--db", tmp_path / "x.db", "--format", "secdb", tmp_path / "one",
        SOURCE_DATE_EPOCH="1700000000",
    )  # fmt: skip
    status = staunch("db", "status", "--db", tmp_path / "x.db", "--json", code=3).document
    assert status["feeds"][0]["retrieved"] == "2023-11-14T22:13:20Z"

"""adapters.advisory_db and advisory_build: atomic, reproducible, and refusing what is worse."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from staunch.adapters import advisory_intake
from staunch.adapters.advisory_build import change
from staunch.adapters.advisory_db import AdvisoryDatabase, default_path
from staunch.adapters.feed_files import feed_files
from staunch.errors import HostError, SpecError, UntrustedError
from staunch.flows.advisories import import_feeds
from staunch.model.advisory import Advisory, Feed, Reading
from tests.support.advisories import DATA, add, affects, database, osv, write

FEEDS = [
    ("osv", DATA / "pypi-osv" / "all.zip"),
    ("secdb", DATA / "alpine-secdb" / "v3.11"),
    ("kev", DATA / "kev" / "known_exploited_vulnerabilities.json"),
    ("lifecycle", DATA / "debian" / "lifecycle"),
]


def kev(folder: Path, count: int, day: str = "2026-11-20") -> Path:
    rows = [{"cveID": f"CVE-2026-{1000 + n}", "dateAdded": day} for n in range(count)]
    document = {"dateReleased": f"{day}T00:00:00Z", "count": count, "vulnerabilities": rows}
    return write(folder, {"kev.json": json.dumps(document).encode()}) / "kev.json"


def test_same_feeds_same_bytes_in_any_order(tmp_path: Path) -> None:
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    for feed in FEEDS:
        add(one, *feed)
    for feed in reversed(FEEDS):
        add(other, *feed)
    add(other, *FEEDS[0])  # again
    assert one.read_bytes() == other.read_bytes()


def test_feeds_are_described(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    add(db, *FEEDS[0])
    with AdvisoryDatabase(db) as opened:
        (feed,) = opened.feeds()
        assert opened.content.startswith("sha256:")
    assert (feed.name, feed.records, feed.broken, feed.covers) == ("osv:pypi", 1316, 0, ("pypi",))
    assert (
        feed.digest
        == "sha256:" + __import__("hashlib").sha256(FEEDS[0][1].read_bytes()).hexdigest()
    )
    assert (feed.newest[:10], feed.retrieved) == ("2024-10-08", "2026-11-27T00:00:00Z")


def test_a_feed_that_shrinks_by_a_fifth_is_refused(tmp_path: Path) -> None:
    db = database(tmp_path, kev=kev(tmp_path, 100))
    before = db.read_bytes()
    with pytest.raises(UntrustedError, match="feed kev shrank") as caught:
        add(db, "kev", kev(tmp_path, 79))
    assert caught.value.why == "it had 100 records, now it has 79"
    assert "--accept" in caught.value.mend
    assert db.read_bytes() == before
    add(db, "kev", kev(tmp_path, 81))
    add(db, "kev", kev(tmp_path, 10), accept=True)


def test_a_feed_that_goes_back_in_time_is_refused(tmp_path: Path) -> None:
    db = database(tmp_path, kev=kev(tmp_path, 10, "2026-11-20"))
    with pytest.raises(UntrustedError, match="feed kev went back in time") as caught:
        add(db, "kev", kev(tmp_path, 10, "2026-11-19"))
    assert "2026-11-20T00:00:00Z" in caught.value.why


def test_a_feed_of_broken_records_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "osv", {"1.json": b"{", "2.json": b"[]", "3.json": b"{}"})
    with pytest.raises(UntrustedError, match="feed osv is not usable") as caught:
        add(tmp_path / "a.db", "osv", folder)
    assert caught.value.why == "0 of its records could be read, 2 could not"
    assert not (tmp_path / "a.db").exists()


def test_single_records_are_added(tmp_path: Path) -> None:
    db = database(tmp_path, [osv("A-1", affects("x", "introduced 0"))])
    path = write(tmp_path, {"2.json": osv("A-2", affects("y", "introduced 0"))}) / "2.json"
    add(db, "osv", path)
    add(db, "osv", path)
    with AdvisoryDatabase(db) as opened:
        (feed,) = opened.feeds()
        assert feed.records == 2
        assert [each.advisory.id for each in opened.facts("pypi", "y")] == ["A-2"]
        assert opened.facts("pypi", "x")


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    db = database(tmp_path, [osv("A-1", affects("x", "introduced 0"))])
    before, there = db.read_bytes(), sorted(tmp_path.iterdir())
    with pytest.raises(RuntimeError), change(db) as changing:
        changing.add(Reading(Feed("x", "osv"), iter([Advisory("B-1")])))
        raise RuntimeError
    assert db.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == there


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no advisory database") as caught:
        AdvisoryDatabase(tmp_path / "none.db")
    assert "db import" in caught.value.mend


@pytest.mark.parametrize("data", [b"", b"not a database" * 100])
def test_another_file_is_no_database(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(data)
    with pytest.raises(SpecError, match="no advisory database"):
        AdvisoryDatabase(path)
    with pytest.raises(SpecError, match="no advisory database"), change(path):
        pass


def test_another_version_is_refused(tmp_path: Path) -> None:
    db = database(tmp_path, [osv("A-1", affects("x", "introduced 0"))])
    with sqlite3.connect(db) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(SpecError, match="of this version of Staunch") as caught:
        AdvisoryDatabase(db)
    assert caught.value.why == "version 1 was wanted, it is version 99"


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    add(db, *FEEDS[0])
    data = bytearray(db.read_bytes())
    data[8192:-4096] = b"\xff" * (len(data) - 12288)
    db.write_bytes(data)
    with (
        pytest.raises(UntrustedError, match=r"the advisory database .* is damaged"),
        AdvisoryDatabase(db) as opened,
    ):
        opened.facts("pypi", "requests")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(HostError, match="cannot write the advisory database"),
        change(tmp_path / "file" / "a.db"),
    ):
        pass


def test_where_the_database_is_by_default() -> None:
    assert default_path({"STAUNCH_DB": "/x/y.db"}) == Path("/x/y.db")
    assert default_path({"XDG_DATA_HOME": "/d"}) == Path("/d/staunch/advisories.db")
    assert default_path({"HOME": "/h"}) == Path("/h/.local/share/staunch/advisories.db")


def test_the_rules_have_their_values() -> None:
    assert (advisory_intake.SHRINK, advisory_intake.BROKEN) == (0.8, 0.5)


def test_a_feed_given_twice_in_one_change(tmp_path: Path) -> None:
    """Records of all its files count, the later where two have one key."""
    first = write(tmp_path / "1", {"a.json": osv("A-1", affects("x", "introduced 0"))})
    second = write(tmp_path / "2", {"b.json": osv("A-2", affects("y", "introduced 0"))})
    db = tmp_path / "a.db"
    with (
        feed_files([kev(tmp_path / "k", 10)]) as (one, _),
        feed_files([kev(tmp_path / "l", 20)]) as (two, _),
        feed_files([first]) as (three, _),
        feed_files([second]) as (four, _),
        change(db) as changing,
    ):
        for format_, files in (("kev", one), ("kev", two), ("osv", three), ("osv", four)):
            import_feeds(changing, format_, files, whole_folder=True)
    with AdvisoryDatabase(db) as opened:
        assert {each.name: each.records for each in opened.feeds()} == {"kev": 20, "osv:pypi": 2}
        assert opened.facts("pypi", "x")
        assert opened.kev("CVE-2026-1019")


def test_a_single_record_makes_an_old_feed_no_younger(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    add(db, *FEEDS[0], retrieved="2024-10-09T00:00:00Z")
    path = write(tmp_path, {"A-1.json": osv("A-1", affects("x", "introduced 0"))}) / "A-1.json"
    add(db, "osv", path, retrieved="2026-11-27T00:00:00Z")
    with AdvisoryDatabase(db) as opened:
        (feed,) = opened.feeds()
    assert (feed.records, feed.partial) == (1317, "")
    assert (feed.retrieved, feed.newest[:10]) == ("2024-10-09T00:00:00Z", "2024-10-08")


def test_a_killed_import_leaves_the_old_database_and_no_rubbish_for_long(tmp_path: Path) -> None:
    db = database(tmp_path, [osv("A-1", affects("x", "introduced 0"))])
    before = db.read_bytes()
    program = (
        "import os, signal, sys; from pathlib import Path; "
        "from staunch.adapters.advisory_build import change; "
        "from staunch.model.advisory import Advisory, Feed, Reading; "
        "held = change(Path(sys.argv[1])); made = held.__enter__(); "
        "made.add(Reading(Feed('x', 'osv'), iter([Advisory('B-1')]))); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, db], check=False)
    assert done.returncode == -signal.SIGKILL
    assert db.read_bytes() == before
    assert (
        len([each for each in tmp_path.iterdir() if each.name.startswith(".advisories.db.")]) == 2
    )
    add(db, *FEEDS[2])
    left = {each.name for each in tmp_path.iterdir() if each.name.startswith(".")}
    assert left == {".advisories.db.lock"}

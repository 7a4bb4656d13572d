"""flows.advisories and adapters.feed_files: which files are read, and what is said of others."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from staunch.adapters.advisory_build import change
from staunch.adapters.advisory_db import AdvisoryDatabase
from staunch.adapters.feed_files import feed_files
from staunch.errors import HostError, SpecError, UntrustedError
from staunch.flows.advisories import FORMATS, import_feeds, whole
from staunch.model.advisory import Lifecycle
from staunch.ports import FeedFile
from tests.support.advisories import DATA, add, affects, database, osv, write
from tests.support.memory_store import MemoryBlob


@pytest.mark.parametrize("format_", sorted(set(FORMATS) - {"kev", "epss", "lifecycle"}))
def test_files_of_another_format(tmp_path: Path, format_: str) -> None:
    path = write(tmp_path, {"picture.png": b"x"}) / "picture.png"
    with pytest.raises(SpecError, match=f"no file of format {format_} among picture.png") as caught:
        add(tmp_path / "a.db", format_, path)
    assert caught.value.why.startswith("its files ")


def test_formats_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no feed format 'nvd'") as caught:
        add(tmp_path / "a.db", "nvd", DATA / "kev")
    assert "debian-tracker" in caught.value.why


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    data = gzip.compress((DATA / "epss" / "epss_kev_subset.csv").read_bytes())
    db = database(
        tmp_path,
        epss=write(tmp_path, {"epss_scores-current.csv.gz": data}) / "epss_scores-current.csv.gz",
    )
    with AdvisoryDatabase(db) as opened:
        assert opened.epss("CVE-2021-44228") is not None
        assert opened.epss("CVE-1999-0001") is None


def test_files_over_a_limit() -> None:
    with pytest.raises(UntrustedError) as caught:
        whole(FeedFile("x.json", MemoryBlob(b"x" * 100)), max_bytes=10)
    assert caught.value.why == "it is over the limit of 10 bytes"


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no file ") as missing, feed_files([tmp_path / "x"]):
        pass
    assert missing.value.why == "there is nothing at this path"
    with pytest.raises(SpecError, match="nothing to import in"), feed_files([tmp_path]):
        pass
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SpecError) as odd, feed_files([tmp_path / "pipe"]):
        pass
    assert odd.value.why == "it is neither a file nor a folder"


def test_folders_are_walked_without_links_and_hidden_files(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"s.json": b"{}"})
    folder = write(
        tmp_path / "in", {"b/2.json": b"x", "a.json": b"x", ".git/x.json": b"x", ".x": b"x"}
    )
    (folder / "link.json").symlink_to(outside / "s.json")
    (folder / "away").symlink_to(outside)
    with feed_files([folder]) as (files, is_folder):
        assert [each.name for each in files] == ["a.json", "b/2.json"]
        assert is_folder
        assert files[1].blob.pread(10, 0) == b"x"
        (folder / "a.json").unlink()
        with pytest.raises(HostError, match="cannot read"):
            files[0].blob.pread(1, 0)


def test_too_many_files(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a": b"", "b": b""})
    with (
        pytest.raises(SpecError, match="too many files below") as caught,
        feed_files([folder], max_files=1),
    ):
        pass
    assert caught.value.why == "the limit is 1"


def test_one_exchange_at_a_time(tmp_path: Path) -> None:
    from staunch.adapters.advisory_exchange import export_lines

    db = database(tmp_path, [osv("A-1", affects("x", "introduced 0"))])
    with (
        pytest.raises(UntrustedError, match="two exchanges cannot be imported at once"),
        change(tmp_path / "b.db") as changing,
    ):
        changing.restore(export_lines(db))
        changing.restore(export_lines(db))


def test_lifecycles_of_a_feed_count_before_those_that_ship(tmp_path: Path) -> None:
    db = database(tmp_path, lifecycle=DATA / "debian" / "lifecycle")
    with AdvisoryDatabase(db) as opened:
        assert Lifecycle("debian", "12", "bookworm", "2026-07-11", "2028-06-30", "2033-06-30") in (
            opened.lifecycles("debian")
        )
        assert {each.kind for each in opened.supports("debian")} == {"ended", "limited"}


def test_import_keeps_what_was_there(tmp_path: Path) -> None:
    db = database(tmp_path, [osv("A-1", affects("x", "introduced 0"))])
    with (
        feed_files([DATA / "kev" / "known_exploited_vulnerabilities.json"]) as (files, _),
        change(db) as changing,
    ):
        (feed,) = import_feeds(changing, "kev", files, whole_folder=False)
    assert feed.source == "known_exploited_vulnerabilities.json"
    with AdvisoryDatabase(db) as opened:
        assert [each.name for each in opened.feeds()] == ["kev", "osv:pypi"]

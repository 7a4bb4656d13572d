"""flows.update against a real HTTP server: only what changed, resumed, and each feed for itself."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from staunch.adapters.advisory_build import change
from staunch.adapters.advisory_db import AdvisoryDatabase
from staunch.adapters.feed_cache import FeedCache
from staunch.adapters.http import HttpTransport
from staunch.errors import SpecError, UndecidedError
from staunch.flows.update import OFFICIAL, Address, Updated, chosen, public, update
from staunch.model.advisory import Feed
from tests.support.advisories import NOW, affects, osv
from tests.support.csaf import document
from tests.support.httpd import Site, serving
from tests.support.quiet import Quiet


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        served.tags = True
        yield served


def go(
    folder: Path, *addresses: Address, now: datetime = NOW, accept: bool = False
) -> tuple[Updated, ...]:
    db = folder / "a.db"
    old: dict[str, Feed] = {}
    if db.exists():
        with AdvisoryDatabase(db) as opened:
            old = {each.name: each for each in opened.feeds()}
    with closing(HttpTransport(first_pause_s=0.001)) as transport:
        cache = FeedCache(folder / "feeds", transport, Quiet())
        with change(db) as changing:
            return update(changing, addresses, cache, old=old, now=now, accept=accept)


def kev(count: int, day: str = "2026-11-20") -> bytes:
    rows = [{"cveID": f"CVE-2026-{1000 + n}", "dateAdded": day} for n in range(count)]
    return json.dumps(
        {"dateReleased": f"{day}T00:00:00Z", "count": count, "vulnerabilities": rows}
    ).encode()


def zipped(*records: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for data in records:
            archive.writestr(f"{json.loads(data)['id']}.json", data)
    return buffer.getvalue()


def feeds(folder: Path) -> dict[str, Feed]:
    with AdvisoryDatabase(folder / "a.db") as opened:
        return {each.name: each for each in opened.feeds()}


def test_a_file_is_fetched_once_and_then_only_asked_for(tmp_path: Path, site: Site) -> None:
    site.files["kev.json"] = kev(10)
    address = Address("kev", "kev", f"{site.url}/kev.json")
    assert [each.state for each in go(tmp_path, address)] == ["changed"]
    later = NOW + timedelta(days=2)
    assert [each.state for each in go(tmp_path, address, now=later)] == ["unchanged"]
    assert feeds(tmp_path)["kev"].retrieved == "2026-11-29T12:00:00Z"
    site.files["kev.json"] = kev(11, "2026-11-28")
    assert go(tmp_path, address, now=later)[0].feeds[0].records == 11


def test_a_broken_download_goes_on(tmp_path: Path, site: Site) -> None:
    site.files["kev.json"] = kev(1000)
    site.drop_at["kev.json"] = 20_000
    address = Address("kev", "kev", f"{site.url}/kev.json")
    (failed,) = go(tmp_path, address)
    assert failed.state == "failed"
    assert "the connection broke" in failed.why or "came" in failed.why
    assert go(tmp_path, address)[0].state == "changed"
    assert site.log[-1][1] == "bytes=20000-"


def test_what_changed_in_between_is_fetched_anew(tmp_path: Path, site: Site) -> None:
    site.files["kev.json"] = kev(1000)
    site.drop_at["kev.json"] = 20_000
    address = Address("kev", "kev", f"{site.url}/kev.json")
    go(tmp_path, address)
    site.files["kev.json"] = kev(1001)
    assert go(tmp_path, address)[0].feeds[0].records == 1001


def test_one_that_fails_does_not_keep_the_others_back(tmp_path: Path, site: Site) -> None:
    site.files["kev.json"] = kev(10)
    site.files["epss.csv"] = b"nonsense\n"
    results = go(
        tmp_path,
        Address("epss", "epss", f"{site.url}/epss.csv"),
        Address("gone", "kev", f"{site.url}/gone.json"),
        Address("kev", "kev", f"{site.url}/kev.json"),
    )
    assert [each.state for each in results] == ["failed", "failed", "changed"]
    assert (
        results[0].why
        == "cannot read epss.csv: its columns are 'nonsense', not cve,epss,percentile"
    )
    assert results[1].why.endswith("the server has no such file")
    assert list(feeds(tmp_path)) == ["kev"]


def test_a_feed_that_shrank_stays_as_it_was(tmp_path: Path, site: Site) -> None:
    address = Address("kev", "kev", f"{site.url}/kev.json")
    site.files["kev.json"] = kev(10)
    go(tmp_path, address)
    site.files["kev.json"] = kev(7)
    assert go(tmp_path, address)[0].why == "feed kev shrank: it had 10 records, now it has 7"
    assert feeds(tmp_path)["kev"].records == 10
    assert go(tmp_path, address, accept=True)[0].state == "changed"


def test_a_feed_that_is_stale_as_published_is_refused(tmp_path: Path, site: Site) -> None:
    """A mirror may hold an old state back."""
    site.files["kev.json"] = kev(10, "2026-01-01")
    address = Address("kev", "kev", f"{site.url}/kev.json")
    assert go(tmp_path, address)[0].why == (
        "feed kev is stale as published: its newest record is 330 days old, 60 allowed"
    )
    assert go(tmp_path, address, accept=True)[0].state == "changed"


def test_osv_is_brought_up_to_date_record_by_record(tmp_path: Path, site: Site) -> None:
    one = osv("A-1", affects("x", "introduced 0"))
    site.files["PyPI/all.zip"] = zipped(one, osv("A-2", affects("y", "introduced 0")))
    address = Address("pypi", "osv", f"{site.url}/PyPI", "osv")
    assert go(tmp_path, address)[0].feeds[0].name == "osv:pypi"
    site.files["PyPI/A-3.json"] = osv(
        "A-3", affects("z", "introduced 0"), modified="2026-11-28T00:00:00Z"
    )
    site.files["PyPI/A-1.json"] = osv(
        "A-1", affects("x", "introduced 0", "fixed 2"), withdrawn="2026-11-28T00:00:00Z"
    )
    site.files["PyPI/modified_id.csv"] = (
        b"2026-11-28T00:00:00Z,A-3\n2026-11-28T00:00:00Z,A-1\n2026-01-01T00:00:00Z,A-2\n"
    )
    later = NOW + timedelta(days=1)
    (updated,) = go(tmp_path, address, now=later)
    assert updated.state == "changed"
    assert site.paths().count("PyPI/all.zip") == 1
    assert "PyPI/A-2.json" not in site.paths()
    feed = feeds(tmp_path)["osv:pypi"]
    assert (feed.records, feed.retrieved, feed.partial, feed.covers) == (
        3, "2026-11-28T12:00:00Z", "", ("pypi",),
    )  # fmt: skip
    with AdvisoryDatabase(tmp_path / "a.db") as opened:
        assert opened.facts("pypi", "x")[0].advisory.withdrawn


def test_a_list_of_changes_that_is_not_understood_means_the_whole_archive(
    tmp_path: Path, site: Site
) -> None:
    site.files["PyPI/all.zip"] = zipped(osv("A-1", affects("x", "introduced 0")))
    site.files["PyPI/modified_id.csv"] = b"2026-11-28T00:00:00Z,../../etc/passwd\n"
    address = Address("pypi", "osv", f"{site.url}/PyPI", "osv")
    go(tmp_path, address)
    go(tmp_path, address)
    assert site.paths().count("PyPI/all.zip") == 2


def test_csaf_by_changes_and_deletions(tmp_path: Path, site: Site) -> None:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for cve in ("CVE-2026-0001", "CVE-2026-0002"):
            data = document(cve=cve)
            info = tarfile.TarInfo(f"2026/{cve.lower()}.json")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    site.files["vex/archive_latest.txt"] = b"csaf_vex_2026-11-27.tar.gz\n"
    site.files["vex/csaf_vex_2026-11-27.tar.gz"] = buffer.getvalue()
    address = Address("redhat", "csaf", f"{site.url}/vex", "csaf")
    assert go(tmp_path, address)[0].feeds[0].records == 2
    site.files["vex/2026/cve-2026-0003.json"] = document(cve="CVE-2026-0003")
    site.files["vex/changes.csv"] = b'"2026/cve-2026-0003.json","2026-11-28T00:00:00+00:00"\n'
    site.files["vex/deletions.csv"] = b'"2026/cve-2026-0001.json","2026-11-28T00:00:00+00:00"\n'
    assert go(tmp_path, address, now=NOW + timedelta(days=1))[0].state == "changed"
    with AdvisoryDatabase(tmp_path / "a.db") as opened:
        assert {each.advisory.id for each in opened.facts("redhat", "curl")} == {
            "CVE-2026-0002", "CVE-2026-0003",
        }  # fmt: skip


def test_names_of_archives_are_not_trusted(tmp_path: Path, site: Site) -> None:
    site.files["vex/archive_latest.txt"] = b"../../x.tar.gz"
    (result,) = go(tmp_path, Address("redhat", "csaf", f"{site.url}/vex", "csaf"))
    assert result.why == "cannot tell Red Hat's archive: archive_latest.txt says '../../x.tar.gz'"


def test_feeds_by_name() -> None:
    assert chosen(()) == OFFICIAL
    assert [each.name for each in chosen(("kev", "kev", "epss"))] == ["kev", "epss"]
    with pytest.raises(SpecError, match="no feed 'kve'") as caught:
        chosen(("kve",))
    assert "kev" in caught.value.why


def test_addresses_without_secrets() -> None:
    assert public("https://user:secret@example.org/x?token=1") == "https://example.org/x"


def test_a_feed_that_is_too_large(tmp_path: Path, site: Site) -> None:
    site.files["x"] = b"x" * 1000
    with closing(HttpTransport()) as transport:
        cache = FeedCache(tmp_path, transport, Quiet())
        with pytest.raises(UndecidedError, match="cannot fetch") as caught:
            cache.fetch(f"{site.url}/x", now=NOW, max_bytes=100)
    assert caught.value.why == "it is over the limit of 100 bytes"

"""Feeds from the network into a database: official addresses, and only what changed where that is offered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from staunch.errors import SpecError, StaunchError, UndecidedError, UntrustedError
from staunch.flows.advisories import chunks, digest_of, import_feeds, whole
from staunch.formats import csaf, osv
from staunch.match.feeds import is_stale
from staunch.model.advisory import Feed, Reading
from staunch.ports import AdvisoryChange, FeedSource, Fetched

ONE_BY_ONE = 2_000  # more changed records than these are got as the whole archive
_OVERLAP = timedelta(days=1)  # changes are asked for from so long before the last time on
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,150}")
_ROW = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z),(?:[A-Za-z0-9. ]+/)?(\S+)")
_ARCHIVE = re.compile(r"[A-Za-z0-9_.-]{1,100}\.tar\.(?:zst|gz|xz)")

_OSV = "https://storage.googleapis.com/osv-vulnerabilities"
_ALPINE = "https://secdb.alpinelinux.org"
_UBUNTU = "https://security-metadata.canonical.com"
_REDHAT = "https://security.access.redhat.com/data"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a feed is.

    ``kind`` is ``file``, ``osv`` (a folder with ``all.zip`` and ``modified_id.csv``), ``csaf`` (a
    folder with ``archive_latest.txt`` and ``changes.csv``) or ``changelogs`` (``url`` is a release
    of Debian).
    """

    name: str
    format: str
    url: str
    kind: str = "file"


OFFICIAL = (
    Address("debian-tracker", "debian-tracker", "https://security-tracker.debian.org/tracker/data/json"),
    Address("debian-changelog:12", "debian-changelog", "12", "changelogs"),
    Address("debian-changelog:13", "debian-changelog", "13", "changelogs"),
    Address("ubuntu", "osv", f"{_UBUNTU}/osv/osv-all.tar.xz"),
    Address("ubuntu-vex", "ubuntu-vex", f"{_UBUNTU}/vex/vex-all.tar.xz"),
    *(
        Address(f"alpine:{release}/{repository}", "secdb", f"{_ALPINE}/{release}/{repository}.json")
        for release in ("v3.20", "v3.21", "v3.22", "v3.23", "edge")
        for repository in ("main", "community")
    ),
    Address("redhat", "csaf", f"{_REDHAT}/csaf/v2/vex", "csaf"),
    Address("redhat-content-sets", "csaf", f"{_REDHAT}/metrics/repository-to-cpe.json"),
    Address("pypi", "osv", f"{_OSV}/PyPI", "osv"),
    Address("npm", "osv", f"{_OSV}/npm", "osv"),
    Address("go", "osv", f"{_OSV}/Go", "osv"),
    Address("crates.io", "osv", f"{_OSV}/crates.io", "osv"),
    Address("maven", "osv", f"{_OSV}/Maven", "osv"),
    Address("kev", "kev", "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"),
    Address("epss", "epss", "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Updated:
    """What became of one address: ``state`` is ``changed``, ``unchanged`` or ``failed``."""

    address: Address
    state: str
    feeds: tuple[Feed, ...] = ()
    why: str = ""


def chosen(names: Sequence[str], more: Sequence[Address] = ()) -> tuple[Address, ...]:
    """The addresses that are asked for by name; all of them for none.

    Raises:
        SpecError: there is none of a name.
    """
    known = {each.name: each for each in (*OFFICIAL, *more)}
    for name in names:
        if name not in known:
            raise SpecError(
                f"no feed {name[:60]!r}",
                why=f"Staunch knows {', '.join(known)}",
                mend="name one of these, or give its address with `--source FORMAT=URL`",
            )
    return tuple(known[name] for name in dict.fromkeys(names or known))


def update(
    change: AdvisoryChange,
    addresses: Sequence[Address],
    source: FeedSource,
    *,
    old: Mapping[str, Feed],
    now: datetime,
    accept: bool = False,
    changelogs: Callable[[str], tuple[bytes, str]] | None = None,
) -> tuple[Updated, ...]:
    """Bring feeds up to date; one that fails does not keep the others back.

    Args:
        change: the database.
        addresses: what to ask for.
        source: downloads.
        old: the feeds that the database has, by name.
        now: the current time.
        accept: take feeds that shrank, went back in time or are stale as published.
        changelogs: gives the facts of a release of Debian, and their date.

    Returns:
        One answer for each address, in their order.
    """
    updating = _Updating(change, source, old, now, accept=accept, changelogs=changelogs)
    return tuple(updating.one(each) for each in addresses)


def public(url: str) -> str:
    """An address without user, password and query."""
    scheme, sign, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{sign}{host.rpartition('@')[2]}{slash}{path}"


class _Updating:
    """One run."""

    def __init__(
        self,
        change: AdvisoryChange,
        source: FeedSource,
        old: Mapping[str, Feed],
        now: datetime,
        *,
        accept: bool,
        changelogs: Callable[[str], tuple[bytes, str]] | None,
    ) -> None:
        self._change, self._source, self._old, self._now = change, source, old, now
        self._accept, self._changelogs = accept, changelogs
        self._moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def one(self, address: Address) -> Updated:
        read = {"osv": self._osv, "csaf": self._csaf, "changelogs": self._debian}.get(
            address.kind, self._file
        )
        try:
            feeds = read(address)
        except StaunchError as error:
            return Updated(address, "failed", why=f"{error.what}: {error.why}")
        return Updated(address, "changed" if feeds else "unchanged", feeds)

    def _file(self, address: Address) -> tuple[Feed, ...]:
        return self._whole(address, self._got(address.url))

    def _whole(self, address: Address, fetched: Fetched, source: str = "") -> tuple[Feed, ...]:
        """Import a file, unless it is the one that the database has."""
        source = source or public(address.url)
        # a file that was refused the last time is unchanged, too, and not the one in the database
        digest = digest_of([fetched.file])
        if not fetched.changed and self._change.touch(source, self._moment, digest=digest):
            return ()
        file = fetched.file
        if address.format == "debian-tracker" and not file.name.endswith(".json"):
            file = replace(file, name=f"{file.name}.json")
        return import_feeds(
            self._change, address.format, [file], whole_folder=False, retrieved=self._moment,
            source=source, accept=self._accept, check=self._fresh,
        )  # fmt: skip

    def _fresh(self, feed: Feed) -> None:
        """A feed that is stale as it is published is not taken: a mirror may be held back."""
        why = is_stale(feed, self._now)
        if why and not self._accept:
            raise UntrustedError(
                f"feed {feed.name} is stale as published",
                why=why,
                mend="check the address; if that is all there is, tell so with `--accept`",
            )

    def _osv(self, address: Address) -> tuple[Feed, ...]:
        before = self._before(address)
        if before is not None:
            rows = _WholeText(self._got(f"{address.url}/modified_id.csv")).lines()
            changed = _newer(rows, before.retrieved)
            if changed is not None and len(changed) <= ONE_BY_ONE:
                return self._records(address, before, changed, f"{address.url}/")
        return self._whole(address, self._got(f"{address.url}/all.zip"))

    def _csaf(self, address: Address) -> tuple[Feed, ...]:
        before = self._before(address)
        if before is not None:
            changes = csaf.read_index(whole(self._got(f"{address.url}/changes.csv").file))
            deleted = csaf.read_index(whole(self._got(f"{address.url}/deletions.csv").file))
            since = _since(before.retrieved)
            changed = [name for name, moment in changes if _moment(moment) >= since]
            if len(changed) <= ONE_BY_ONE:
                gone = [name for name, moment in deleted if _moment(moment) >= since]
                return self._documents(address, before, changed, gone)
        name = _WholeText(self._got(f"{address.url}/archive_latest.txt")).one()
        if not _ARCHIVE.fullmatch(name):
            raise UntrustedError(
                "cannot tell Red Hat's archive",
                why=f"archive_latest.txt says {name[:80]!r}",
                mend="check the address; if it stays so, tell its publisher",
            )
        return self._whole(address, self._got(f"{address.url}/{name}"))

    def _debian(self, address: Address) -> tuple[Feed, ...]:
        if self._changelogs is None:
            raise UndecidedError(
                "no way to the Debian archive", why="offline", mend="run it online"
            )
        from staunch.formats import debian_changelog

        data, date = self._changelogs(address.url)
        reading = debian_changelog.read_facts(data)
        reading = replace(reading, feed=replace(reading.feed, newest=date))
        feed = self._change.add(
            reading, retrieved=self._moment, source=f"debian:{address.url}", accept=self._accept
        )
        return (feed,)

    def _before(self, address: Address) -> Feed | None:
        """The feed as the database has it, where it is recent enough to be brought up to date."""
        found = [
            each
            for each in self._old.values()
            if each.source == public(address.url) and not each.partial
        ]
        return found[0] if found and found[0].retrieved else None

    def _records(
        self, address: Address, before: Feed, changed: Sequence[str], base: str
    ) -> tuple[Feed, ...]:
        if not changed:
            self._change.touch(public(address.url), self._moment)
            return ()
        documents = (
            found
            for each in changed
            if (found := self._record(f"{base}{quote(each)}.json", osv.RECORD_BYTES)) is not None
        )
        reading = osv.read_records(documents, name=before.name, whole=True)
        return self._added(reading, address)

    def _documents(
        self, address: Address, before: Feed, changed: Sequence[str], gone: Sequence[str]
    ) -> tuple[Feed, ...]:
        if not changed and not gone:
            self._change.touch(public(address.url), self._moment)
            return ()
        documents = (
            found
            for each in changed
            if (found := self._record(f"{address.url}/{quote(each)}", csaf.RECORD_BYTES))
            is not None
        )
        reading = csaf.read_documents(documents, whole=True)
        keys = tuple(each.rpartition("/")[2].removesuffix(".json").upper() for each in gone)
        return self._added(replace(reading, removed=keys), address)

    def _added(self, reading: Reading, address: Address) -> tuple[Feed, ...]:
        feed = self._change.add(
            reading, retrieved=self._moment, source=public(address.url), accept=self._accept
        )
        return (feed,)

    def _record(self, url: str, max_bytes: int) -> tuple[str, bytes] | None:
        """Name and bytes of one record, which is not kept: it comes once."""
        fetched = self._source.fetch(url, now=self._now)
        if fetched is None:
            return None
        data = whole(fetched.file, max_bytes)
        self._source.forget(url)
        return fetched.file.name, data

    def _got(self, url: str) -> Fetched:
        fetched = self._source.fetch(url, now=self._now)
        if fetched is None:
            raise UndecidedError(
                f"no feed at {public(url)}",
                why="the server has no such file",
                mend="check the address; feeds move",
            )
        return fetched


class _WholeText:
    """A small text file."""

    def __init__(self, fetched: Fetched) -> None:
        self._file = fetched.file

    def lines(self) -> Iterator[str]:
        rest = b""
        for chunk in chunks(self._file):
            *found, rest = (rest + chunk).split(b"\n")
            yield from (each.decode("utf-8", "replace").strip() for each in found)
        yield rest.decode("utf-8", "replace").strip()

    def one(self) -> str:
        return whole(self._file)[:1000].decode("utf-8", "replace").strip()


def _newer(rows: Iterator[str], retrieved: str) -> list[str] | None:
    """Ids that changed since, newest first as published; None where the list cannot be relied on."""
    since = _since(retrieved)
    found: list[str] = []
    for row in rows:
        if not row:
            continue
        match = _ROW.fullmatch(row)
        if match is None or not _ID.fullmatch(match[2]):
            return None
        if _moment(match[1]) >= since:
            found.append(match[2])
        if len(found) > ONE_BY_ONE:
            break
    return found


def _since(retrieved: str) -> datetime:
    return _moment(retrieved) - _OVERLAP


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC) - _OVERLAP  # unknown counts as new
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""The signed Release file of a Debian archive, and the checks that make it trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from staunch.errors import UntrustedError
from staunch.formats.deb822 import Stanza, parse_stanza
from staunch.model.digest import Digest
from staunch.model.lock import LockedRepository

CLOCK_TOLERANCE = timedelta(hours=1)  # a Date may lie this far ahead of the host's clock
_MAX_FILES = 200_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(
    r"(?:[A-Z][a-z]{2}, *)?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d{1,2}):(\d{2}):(\d{2}) *"
    r"(?:UTC|GMT|Z|[+-]0000)"
)
_FILE = re.compile(r" *([0-9a-f]{64})[ \t]+(\d{1,18})[ \t]+(\S+)")


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One index as the Release file lists it."""

    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Release:
    """A parsed Release file (repository format, "Release" files). Absent fields are ``""``.

    ``components`` come without the ``updates/`` prefix of security archives; ``files`` maps
    paths below the suite's folder; ``all_apart`` tells that packages of architecture ``all``
    stand in indexes of their own.
    """

    origin: str
    label: str
    suite: str
    codename: str
    date: datetime
    valid_until: datetime | None
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    acquire_by_hash: bool
    all_apart: bool
    files: Mapping[str, ReleaseFile]


def parse_release(text: bytes, *, what: str = "Release") -> Release:
    """Read a Release file whose signature was already checked.

    Raises:
        UntrustedError: a field that trust rests on is missing or malformed.
    """
    fields = parse_stanza(text, what=what)
    architectures = tuple(_text(fields, "architectures").split())
    return Release(
        origin=_text(fields, "origin"),
        label=_text(fields, "label"),
        suite=_text(fields, "suite"),
        codename=_text(fields, "codename"),
        date=_date(fields, "date", what),
        valid_until=_date(fields, "valid-until", what) if "valid-until" in fields else None,
        components=tuple(
            each.removeprefix("updates/") for each in _text(fields, "components").split()
        ),
        architectures=architectures,
        acquire_by_hash=_text(fields, "acquire-by-hash").lower() == "yes",
        all_apart="all" in architectures
        and "Packages" not in _text(fields, "no-support-for-architecture-all").split(),
        files=_files(fields, what),
    )


def check_release(
    release: Release,
    *,
    archive: str,
    suite: str,
    now: datetime,
    snapshot: datetime | None = None,
    previous: LockedRepository | None = None,
    from_service: bool = False,
) -> None:
    """Decide whether a Release whose signature holds (step 1, ``fetch_release``) may be used.

    2. It is of the suite that was asked for: its Suite or Codename says so. Where a pocket has the
       codename of its release (Ubuntu's ``noble-proposed`` says ``noble``), its Suite alone.
    3. ``Valid-Until``, where there is one, lies after ``now``; with ``snapshot``, after that.
    4. ``Date`` does not lie after ``now`` (one hour of tolerance); nor after ``snapshot``, where
       the archive has a service that keeps its past (``from_service``).
    5. ``Date`` is not before that in the lock (``previous``), unless ``snapshot`` asks for it.

    Raises:
        UntrustedError: a step failed; names the value wanted and the value found.
    """
    name = f"{archive} {suite}"
    # 2.
    wanted = suite.rstrip("/")
    pocket = release.codename and release.suite.startswith(f"{release.codename}-")
    names = {release.suite} if pocket else {release.suite, release.codename}
    if wanted not in names and not suite.endswith("/"):
        raise UntrustedError(
            f"{name} is another suite than it should be",
            why=f"asked for {wanted!r}, the signed file says suite {release.suite!r}, "
            f"codename {release.codename!r}",
            mend="the mirror mixes suites up: try another mirror; for your own repository, check `suites:`",
        )
    # 3.
    moment = snapshot or now
    if release.valid_until is not None and release.valid_until < moment:
        raise UntrustedError(
            f"the index of {name} has expired",
            why=f"it was valid until {stamp(release.valid_until)}, "
            f"{'the snapshot asked for is of' if snapshot else 'now it is'} {stamp(moment)}",
            mend="use a mirror that is up to date; to build from the past on purpose, "
            f"set `snapshot: {stamp(release.date)}` in the spec",
        )
    # 4.
    if release.date > now + CLOCK_TOLERANCE:
        raise UntrustedError(
            f"the index of {name} comes from the future",
            why=f"it is dated {stamp(release.date)}, now it is {stamp(now)}",
            mend="set the clock of this machine (or SOURCE_DATE_EPOCH) right",
        )
    if snapshot is not None and from_service and release.date > snapshot:
        raise UntrustedError(
            f"the index of {name} is younger than the snapshot asked for",
            why=f"asked for the state of {stamp(snapshot)}, the mirror offers {stamp(release.date)}",
            mend="the mirror keeps no past: take it out of `[mirrors] snapshot` of the configuration",
        )
    # 5.
    if previous is not None and snapshot is None and release.date < previous.date:
        raise UntrustedError(
            f"the index of {name} is older than the one already locked",
            why=f"the lock was made from {stamp(previous.date)}, the mirror offers {stamp(release.date)}",
            mend="use a mirror that is up to date; to go back on purpose, "
            f"set `snapshot: {stamp(release.date)}` in the spec",
        )


def stamp(moment: datetime) -> str:
    """A moment as messages and specs write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(fields: Stanza, key: str) -> str:
    return (fields.get(key) or "").strip()


def _date(fields: Stanza, key: str, what: str) -> datetime:
    text = _text(fields, key)
    match = _DATE.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        raise _malformed(what, f"field {key!r} is {text[:60]!r}, wanted a date in UTC")
    try:
        day, year, hour, minute, second = (int(match[part]) for part in (1, 3, 4, 5, 6))
        month = _MONTHS.index(match[2]) + 1
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise _malformed(what, f"field {key!r} is {text[:60]!r}, no such date") from error


def _files(fields: Stanza, what: str) -> Mapping[str, ReleaseFile]:
    if "sha256" not in fields:
        raise _malformed(what, "it lists no SHA256 hashes")
    lines = fields["sha256"].split("\n")[1:]
    if len(lines) > _MAX_FILES:
        raise _malformed(what, f"it lists {len(lines)} files, more than {_MAX_FILES}")
    files: dict[str, ReleaseFile] = {}
    for line in lines:
        match = _FILE.fullmatch(line.strip(" \t"))
        if match is None:
            raise _malformed(what, f"unreadable hash line {line[:80]!r}")
        path = match[3]
        listed = ReleaseFile(int(match[2]), Digest(match[1]))
        if files.setdefault(path, listed) != listed:
            raise _malformed(what, f"two different hashes of {path[:80]!r}")
    return MappingProxyType(files)


def _malformed(what: str, why: str) -> UntrustedError:
    return UntrustedError(
        f"{what} cannot be read",
        why=why,
        mend="try another mirror; if it stays, report it to the archive's owner",
    )

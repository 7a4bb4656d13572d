"""Debian's security tracker: its JSON (security-tracker.debian.org/tracker/data/json), and DSA and DLA lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from staunch.errors import SpecError
from staunch.formats.feed_json import damaged, entries, mapping, text
from staunch.model.advisory import Advisory, Affected, Broken, Event, Feed, Item, Reading
from staunch.model.finding import Disposition, Level, State

_URGENCIES = {
    "low": Level.LOW, "medium": Level.MEDIUM, "high": Level.HIGH,
    "unimportant": Level.NEGLIGIBLE,
}  # fmt: skip
_ID = re.compile(
    r"(?:CVE-[0-9]{4}-[0-9A-Z]{4,19}|TEMP-[0-9]+-[0-9A-F]+|[A-Z]{2,10}-[0-9A-Za-z:.-]+)"
)
_CODENAME = re.compile(r"[a-z]{2,20}")

_HEAD = re.compile(r"\[(\d{1,2}) ([A-Z][a-z]{2}) (\d{4})\] (D[SLT][AS]A?-\d+(?:-\d+)?) (.*)")
_FIX = re.compile(r"\s*\[([a-z]+)\] - (\S+) (\S+)(?: \(.*)?")
_CVES = re.compile(r"CVE-\d{4}-\d{4,19}")
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}


def read_tracker(
    chunks: Iterable[bytes],
    *,
    order: Callable[[str], Any] | None = None,
    what: str = "Debian tracker",
) -> Reading:
    """The JSON: one record for each source and CVE (or TEMP id).

    Args:
        chunks: the document.
        order: key of Debian versions. With it a fix that is newer than everything in the archive
            counts as none: nobody can install it.
        what: names it in messages.

    Raises (while items are taken):
        UntrustedError: it is damaged or cut off.
    """

    def found() -> Iterator[Item]:
        seen = False
        for source, vulnerabilities in entries(chunks, what=what):
            seen = True
            if not isinstance(vulnerabilities, dict):
                yield Broken(source, "no object of vulnerabilities")
                continue
            name = text(source, most=200)
            for identifier, value in vulnerabilities.items():
                yield _record(name, text(identifier, most=200), value, order)
        if not seen:
            raise damaged(what, "it names no source package")

    return Reading(Feed("debian-tracker", "debian-tracker"), found())


def _record(
    source: str, identifier: str, value: object, order: Callable[[str], Any] | None
) -> Item:
    where = f"{source}/{identifier}"
    document = mapping(value)
    releases = document.get("releases")
    if not _ID.fullmatch(identifier) or not isinstance(releases, dict):
        return Broken(where, "no id that the tracker gives, or no `releases`")
    stated = []
    for codename, row in releases.items():
        one = _release(source, text(codename, most=40), mapping(row), order)
        if one is None:
            return Broken(where, f"what it says of {str(codename)[:40]!r} is not understood")
        stated.append(one)
    bug = document.get("debianbug")
    return Advisory(
        identifier,
        where,
        related=(f"#{bug}",) if isinstance(bug, int) and not isinstance(bug, bool) else (),
        summary=" ".join(text(document.get("description"), most=300).split()),
        affected=tuple(stated),
    )


def _release(
    source: str,
    codename: str,
    row: Mapping[str, object],
    order: Callable[[str], Any] | None,
) -> Affected | None:
    """One row; None where it cannot be understood (which must not read as "not affected")."""
    status, fixed = text(row.get("status")), text(row.get("fixed_version"), most=200)
    if not _CODENAME.fullmatch(codename):
        return None
    urgency = text(row.get("urgency"), most=40).rstrip("*")
    level = _URGENCIES.get(urgency, Level.UNKNOWN)
    namespace = f"debian:{codename}"
    note = text(row.get("nodsa"), most=300)
    if status == "undetermined":
        return Affected(
            namespace, source, State.UNDER_INVESTIGATION, keyed="source", level=level, note=note
        )
    if status == "resolved" and fixed == "0":
        return Affected(namespace, source, State.NOT_AFFECTED, keyed="source", level=level)
    if (status == "resolved") != bool(fixed) or status not in ("resolved", "open"):
        return None
    if fixed and order is not None and not _is_published(fixed, row, order):
        note, fixed = f"the fix {fixed} is not in the archive", ""
    introduced = Event("introduced", "0")
    events = (introduced, Event("fixed", fixed)) if fixed else (introduced,)
    return Affected(
        namespace,
        source,
        ranges=(events,),
        keyed="source",
        disposition=_disposition(row, urgency),
        level=level,
        note=note,
    )


def _is_published(fixed: str, row: Mapping[str, object], order: Callable[[str], Any]) -> bool:
    """Whether a version of the release is at least the fix; true where none is told or comparable."""
    there = [text(each, most=200) for each in mapping(row.get("repositories")).values()]
    try:
        return not there or max(map(order, there)) >= order(fixed)
    except SpecError:
        return True


def _disposition(row: Mapping[str, object], urgency: str) -> Disposition | None:
    if urgency == "end-of-life":
        return Disposition.END_OF_LIFE
    if urgency == "unimportant":
        return Disposition.UNIMPORTANT
    reason = row.get("nodsa_reason")
    if reason == "ignored":
        return Disposition.WILL_NOT_FIX
    if reason == "postponed":
        return Disposition.DEFERRED
    return Disposition.NO_DSA if "nodsa" in row else None


def read_list(data: bytes, *, what: str = "DSA list") -> Reading:
    """``data/DSA/list`` or ``data/DLA/list``: which version of which release a notice fixed.

    A notice without CVE stands for itself. Of several notices on one CVE the newest counts: the
    first fix may have been incomplete.

    Raises:
        UntrustedError: no notice could be read.
    """
    lines = data.decode("utf-8", "replace").split("\n")
    notices = list(_notices(lines))
    kinds = {each.id[:3] for each in notices if isinstance(each, Advisory)}
    if not kinds:
        raise damaged(what, "it holds no notice of the form `[01 Jan 2026] DSA-1-1 package - text`")
    feed = Feed(
        f"debian-{min(kinds).lower()}",
        "debian-list",
        partial="lists what notices fixed: nothing that is open stands in it",
    )
    return Reading(feed, iter(notices))


def _notices(lines: list[str]) -> Iterator[Item]:
    newest: set[tuple[str, str, str]] = set()  # CVE, release, source: decided by a newer notice
    head: re.Match[str] | None = None
    cves: tuple[str, ...] = ()
    fixes: list[tuple[str, str, str]] = []
    for number, line in enumerate([*lines, "["], 1):
        if line.startswith("["):
            if head is not None:
                yield _notice(head, cves, fixes, newest)
            cves, fixes = (), []
            head = _HEAD.fullmatch(line.rstrip())
            if head is None and line != "[":
                yield Broken(f"line {number}", line[:100])
        elif line.strip().startswith("{"):
            cves = tuple(dict.fromkeys(_CVES.findall(line)))
        elif match := _FIX.fullmatch(line.rstrip()):
            fixes.append((match[1], match[2], match[3]))


def _notice(
    head: re.Match[str],
    cves: tuple[str, ...],
    fixes: list[tuple[str, str, str]],
    newest: set[tuple[str, str, str]],
) -> Item:
    day, month, year, identifier, summary = head.groups()
    if month not in _MONTHS:
        return Broken(identifier, f"no month is called {month}")
    date = f"{year}-{_MONTHS[month]:02}-{int(day):02}T00:00:00Z"
    stated = []
    for codename, source, version in fixes:
        if not version[0].isdigit():
            continue  # <not-affected>, <unfixed>, <end-of-life>: the tracker's JSON tells these
        keys = {(cve, codename, source) for cve in cves or (identifier,)}
        if keys <= newest:
            continue
        newest |= keys
        stated.append(
            Affected(
                f"debian:{codename}",
                source,
                ranges=((Event("introduced", "0"), Event("fixed", version)),),
                keyed="source",
                advisory=identifier,
                fix_published=date,
            )
        )
    return Advisory(
        identifier,
        identifier,
        upstream=cves,
        published=date,
        modified=date,
        summary=summary[:300],
        bundle=True,
        affected=tuple(stated),
    )

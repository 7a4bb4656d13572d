"""Facts "fixed in" from Debian changelogs (deb-changelog(5)).

A changelog says which version names a vulnerability, so it can say "fixed in", and never "open" or
"not affected". The rule, with what it was measured against, stands in docs/advisories.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from staunch.formats.feed_json import damaged, items, mapping, parse, text
from staunch.model import limits
from staunch.model.advisory import Advisory, Affected, Broken, Event, Feed, Item, Reading

CHANGELOG_BYTES = 64 * limits.MIB
ENTRIES = 20_000
PARTIAL = "says which version fixed what; says nothing of what is open or not affected"
_HEAD = re.compile(r"([a-z0-9][a-z0-9.+-]*) \(([^()\s]+)\)((?:\s+[A-Za-z0-9~.+-]+)+)\s*;.*")
_TRAILER = re.compile(r" -- .*> *(\S.*)")
_BULLET = re.compile(r"( *)([*+-]) +(.*)")
_ID = re.compile(
    r"C(?:VE|AN)-(?P<year>[0-9]{4})-(?P<numbers>[0-9]{4,7}(?:-[0-9]{4,7})*)|"
    r"(?P<ghsa>GHSA(?:-[0-9a-z]{4}){3})|(?P<other>XSA-[0-9]{1,4}|OSSA-[0-9]{4}-[0-9]{3})",
    re.IGNORECASE,
)
_BUG = re.compile(r"#([0-9]{5,8})\b")
_WEAK = re.compile(
    r"regression|follow[ -]?up|refresh|\bdrop(?:ped|s)?\b|bug in the patch|fix test|incomplete fix|"
    r"applied upstream|\bremove[ds]? (?:the )?patch",
    re.IGNORECASE,
)
_TRIMMED = re.compile(
    r"^# Older entries have been removed|^\s*\[ .* changelog.* (?:trimmed|truncated)",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Bullet:
    """One item of an entry: the ids and bugs that it names, and whether it reads like a follow-up."""

    ids: tuple[str, ...]
    bugs: tuple[str, ...]
    weak: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One version. ``date`` is RFC 3339, "" where it cannot be read."""

    version: str
    distributions: tuple[str, ...]
    bullets: tuple[Bullet, ...]
    date: str


@dataclass(frozen=True, slots=True)
class Changelog:
    """Entries, newest first. ``trimmed``: older ones were taken off by the archive's tools."""

    source: str
    entries: tuple[Entry, ...]
    trimmed: bool


@dataclass(frozen=True, slots=True, order=True)
class Fix:
    """One fact. ``named_in`` is the entry that names the id, where that is not the fixing version."""

    id: str
    fixed_version: str
    named_in: str = ""
    weak: bool = False
    date: str = ""
    bugs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceFixes:
    """What one changelog of one source says. ``bugs`` are fixes that name a bug and no id."""

    source: str
    version: str
    fixes: tuple[Fix, ...]
    bugs: tuple[Fix, ...] = ()
    oldest: str = ""
    trimmed: bool = False
    binary: str = ""
    repositories: tuple[tuple[str, str], ...] = ()


def parse_changelog(data: bytes, *, what: str = "changelog") -> Changelog:
    """Read a changelog; text that is neither head, item nor trailer belongs to what stands above it.

    Raises:
        UntrustedError: it has no entry, or more than ``ENTRIES``.
    """
    if len(data) > CHANGELOG_BYTES:
        raise damaged(what, f"it has {len(data):,} bytes, the limit is {CHANGELOG_BYTES:,}")
    whole = data.decode("utf-8", "replace")
    entries: list[Entry] = []
    source, version, distributions = "", "", ()
    body: list[str] = []
    for line in whole.split("\n"):
        head = _HEAD.fullmatch(line.rstrip()) if line[:1].isalnum() else None
        trailer = _TRAILER.fullmatch(line.rstrip()) if line.startswith(" -- ") else None
        if head is not None:
            if version:
                entries.append(Entry(version, distributions, _bullets(body), ""))
            source = source or head[1]
            version, distributions, body = head[2], tuple(head[3].split()), []
        elif trailer is not None and version:
            entries.append(Entry(version, distributions, _bullets(body), _date(trailer[1])))
            version, body = "", []
        elif version:
            body.append(line.rstrip())
        if len(entries) > ENTRIES:
            raise damaged(what, f"it has more than {ENTRIES:,} entries")
    if version:
        entries.append(Entry(version, distributions, _bullets(body), ""))
    if not entries:
        raise damaged(what, "it has no entry of the form `source (version) suite; urgency=…`")
    return Changelog(source, tuple(entries), bool(_TRIMMED.search(whole)))


def ids_in(words: str) -> tuple[str, ...]:
    """Every id, sorted; ``CVE-2026-71196-71197`` is two, and ``CAN`` the old word for ``CVE``."""
    found = set()
    for match in _ID.finditer(words):
        if match["year"]:
            found |= {f"CVE-{match['year']}-{number}" for number in match["numbers"].split("-")}
        elif match["ghsa"]:
            found.add("GHSA" + match["ghsa"][4:].lower())
        else:
            found.add(match["other"].upper())
    return tuple(sorted(found))


def fixes_of(
    changelog: Changelog, *, codename: str, number: str, order: Callable[[str], object]
) -> SourceFixes:
    """What a changelog says was fixed in which version, as one suite sees it.

    Newest to oldest; ``published`` is the nearest newer-or-equal entry that the suite itself got
    (its name, or ``debNu`` in the version). An id named in entry U is fixed in U, or in
    ``published`` where U sorts after it (a rebuild: ``0.40.0-1.1~deb11u1`` of ``0.40.0-1.1``). The
    oldest entry that names an id wins; where that reads like a follow-up (the first mention may have
    been trimmed), the fact is weak.

    Args:
        changelog: newest entry first.
        codename: of the release, ``bookworm``.
        number: of the release, ``12``.
        order: key of Debian versions; raises SpecError on what is none.

    Raises:
        SpecError: a version that decides is none.
    """
    published = ""
    found: dict[str, Fix] = {}
    bugs: dict[str, Fix] = {}
    for entry in changelog.entries:
        if is_of_suite(entry, codename, number):
            published = entry.version
        fixed = entry.version
        if published and order(entry.version) > order(published):  # type: ignore[operator]  # keys of one order
            fixed = published
        named = entry.version if fixed != entry.version else ""
        for bullet in entry.bullets:
            fix = Fix("", fixed, named, bullet.weak, entry.date, bullet.bugs)
            for identifier in bullet.ids:
                known = found.get(identifier)
                if known and known.fixed_version == fixed and not known.weak:
                    continue  # the same entry says so in a better place
                found[identifier] = replace(fix, id=identifier)
            if not bullet.ids and not bullet.weak:
                for bug in bullet.bugs:
                    bugs[bug] = replace(fix, id=bug)
    return SourceFixes(
        changelog.source,
        changelog.entries[0].version,
        tuple(found[each] for each in sorted(found)),
        tuple(bugs[each] for each in sorted(bugs)),
        changelog.entries[-1].version,
        changelog.trimmed,
    )


def joined(own: SourceFixes, others: Iterable[SourceFixes]) -> SourceFixes:
    """Add the ids that other suites' changelogs of the same source give to bugs fixed here.

    Only to fixes that name no CVE themselves: one that does is taken at its word.
    """
    ids: dict[str, set[str]] = {}
    for other in others:
        for fix in other.fixes:
            for bug in fix.bugs:
                ids.setdefault(bug, set()).add(fix.id)
    known = {fix.id: fix for fix in own.fixes}
    unnamed = [fix for fix in own.fixes if not fix.id.startswith("CVE-")]
    for fix in (*own.bugs, *unnamed):
        for bug in fix.bugs:
            for identifier in ids.get(bug, ()):
                known.setdefault(identifier, replace(fix, id=identifier))
    return replace(own, fixes=tuple(known[each] for each in sorted(known)))


def is_of_suite(entry: Entry, codename: str, number: str, *, exact: bool = False) -> bool:
    """Whether a release's own suite got this entry; ``exact``: ``stable`` alone does not tell."""
    bases = (codename,) if exact else (codename, "stable", "oldstable")
    pockets = ("", "-security", "-proposed-updates", "-updates")
    names = {f"{base}{pocket}" for base in bases for pocket in pockets}
    return bool(names & set(entry.distributions)) or bool(
        re.search(rf"[+~]deb{re.escape(number)}u[0-9]", entry.version)
    )


def _bullets(lines: list[str]) -> tuple[Bullet, ...]:
    """Items, nested ones apart; an item reads like a follow-up where it or what it stands below does."""
    found: list[Bullet] = []
    stack: list[tuple[int, bool]] = []  # indent and weakness of the items around
    indent, words = -1, ""

    def close() -> None:
        nonlocal words
        ids, bugs = ids_in(words), tuple(sorted(set(_BUG.findall(words))))
        own = bool(_WEAK.search(words))
        around = any(weak for _, weak in stack)
        if indent >= 0:
            stack.append((indent, own and not ids))
        if ids or bugs:
            found.append(Bullet(ids, bugs, own or around))
        words = ""

    for line in lines:
        match = _BULLET.fullmatch(line)
        if match is not None:
            close()
            indent = len(match[1])
            while stack and stack[-1][0] >= indent:
                stack.pop()
            words = match[3]
        elif line.strip():
            # a hyphen at a line's end is part of an id that was broken
            words += ("" if words.endswith("-") else " ") + line.strip()
    close()
    return tuple(found)


def _date(text_: str) -> str:
    try:
        moment = parsedate_to_datetime(text_)
    except (ValueError, TypeError, OverflowError):
        return ""
    if moment.tzinfo is None:
        return ""
    from datetime import UTC

    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return ""


def facts_document(found: Iterable[SourceFixes]) -> bytes:
    """The facts of one release as JSON, one source a line; ``read_facts`` reads it."""
    rows = []
    for each in sorted(found, key=lambda one: one.source):
        cves = {}
        for fix in each.fixes:
            row: dict[str, object] = {"fixed_version": fix.fixed_version}
            row |= {"mentioned_in": fix.named_in} if fix.named_in else {}
            row |= {"weak": True} if fix.weak else {}
            row |= {"date": fix.date} if fix.date else {}
            row |= {"bugs": list(fix.bugs)} if fix.bugs else {}
            cves[fix.id] = row
        body = {
            "binary_read": each.binary,
            "bugs": {
                fix.id: {"date": fix.date, "fixed_version": fix.fixed_version} for fix in each.bugs
            },
            "changelog_top": each.version,
            "cves": cves,
            "oldest_entry": each.oldest,
            "repositories": dict(each.repositories),
            "trimmed": each.trimmed,
        }
        rows.append(f"{json.dumps(each.source)}:{json.dumps(body, sort_keys=True)}")
    return ("{" + ",\n".join(rows) + "}\n").encode()


def read_facts(data: bytes, *, what: str = "changelog facts") -> Reading:
    """The facts of one release, as ``facts_document`` writes them.

    Raises:
        UntrustedError: they are none, or of more than one release.
    """
    top = parse(data, what=what)
    if not isinstance(top, dict) or not top:
        raise damaged(what, "it names no source")
    codenames = {
        text(suite, most=60).partition("-")[0]
        for value in top.values()
        for suite in mapping(mapping(value).get("repositories"))
    } - {""}
    if len(codenames) != 1:
        raise damaged(what, f"`repositories` name {len(codenames)} releases, one was wanted")
    (codename,) = codenames
    feed = Feed(f"debian-changelog:{codename}", "debian-changelog", partial=PARTIAL)
    return Reading(feed, _facts(top, codename))


def _facts(top: Mapping[str, object], codename: str) -> Iterator[Item]:
    for source, value in top.items():
        cves = mapping(value).get("cves")
        if not isinstance(cves, dict):
            yield Broken(source[:100], "it has no object `cves`")
            continue
        for identifier, row in cves.items():
            fixed = text(mapping(row).get("fixed_version"), most=200)
            if not fixed or ids_in(identifier) != (identifier,):
                yield Broken(f"{source}/{identifier}"[:200], "no id, or no `fixed_version`")
                continue
            yield _advisory(source, identifier, fixed, mapping(row), codename)


def _advisory(
    source: str, identifier: str, fixed: str, row: Mapping[str, object], codename: str
) -> Advisory:
    named, date = text(row.get("mentioned_in"), most=200), text(row.get("date"), most=40)
    fact = Affected(
        f"debian:{codename}",
        text(source, most=200),
        ranges=((Event("introduced", "0"), Event("fixed", fixed)),),
        keyed="source",
        weak=row.get("weak") is True,
        fix_published=date,
        note=f"named in {named}, which {fixed} rebuilds" if named else "",
    )
    bugs = [text(each, most=20) for each in items(row.get("bugs"))]
    related = tuple(sorted(f"#{bug}" for bug in bugs if bug.isdigit()))
    return Advisory(
        identifier, f"{source}/{identifier}", related=related, modified=date, affected=(fact,)
    )

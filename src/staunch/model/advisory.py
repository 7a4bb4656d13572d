"""What feeds publish: records, and what each says of which package (ADVISORIES rules in docs/advisories.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from staunch.model.finding import Cvss, Disposition, Kev, Level, State


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A turning point of a range (OSV schema, "affected[].ranges[].events").

    ``kind`` is ``introduced``, ``fixed``, ``last_affected`` or ``limit``; ``introduced`` at "0" is
    before every version.
    """

    kind: str
    version: str


@dataclass(frozen=True, slots=True)
class Affected:
    """What one record says of one package name in one place.

    ``namespace`` is where the name is valid: ``debian:trixie``, ``debian:13``, ``ubuntu:22.04``,
    ``ubuntu:pro:22.04``, ``alpine:3.19``, ``wolfi``, ``redhat``, ``pypi``, ``npm``, … ``state``
    AFFECTED means within the ranges or versions (no range at all: every version); NOT_AFFECTED and
    UNDER_INVESTIGATION are said of every version. ``ranges`` are lists of events; ``versions`` are
    affected whatever the ranges say. ``keyed`` is what the name is: ``source``, ``binary`` or
    ``any``. ``module`` is an rpm module's ``name:stream``; ``architecture`` "" is every one;
    ``cpe`` the platform, "" for every one. ``weak`` marks a fact read from a mention that may be
    a follow-up. ``advisory`` is the bundle that brought the fix (RHSA, DSA), ``fix_published`` when.
    """

    namespace: str
    package: str
    state: State = State.AFFECTED
    ranges: tuple[tuple[Event, ...], ...] = ()
    versions: tuple[str, ...] = ()
    keyed: str = "any"
    disposition: Disposition | None = None
    level: Level = Level.UNKNOWN
    module: str = ""
    architecture: str = ""
    cpe: str = ""
    weak: bool = False
    advisory: str = ""
    fix_published: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Advisory:
    """One published record.

    ``key`` is unique in its feed (the id, where the feed has one record for each). ``aliases``
    name the same vulnerability; ``upstream`` are those that this one is about (directed) and
    ``related`` others: neither merges. A ``bundle`` (USN, DSA) fixes several; it is applied to each
    of its ``upstream``. ``withdrawn`` (RFC 3339) records say nothing any more.
    """

    id: str
    key: str = ""
    aliases: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    published: str = ""
    modified: str = ""
    withdrawn: str = ""
    summary: str = ""
    cvss: tuple[Cvss, ...] = ()
    level: Level = Level.UNKNOWN
    malware: bool = False
    bundle: bool = False
    references: tuple[str, ...] = ()
    affected: tuple[Affected, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Broken:
    """A record that could not be read: counted, shown, and no reason to lose the others."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class KevEntry:
    """One CVE of CISA's catalogue."""

    cve: str
    kev: Kev
    name: str = ""


@dataclass(frozen=True, slots=True, order=True)
class EpssScore:
    """One line of EPSS; the feed holds model and day."""

    cve: str
    score: float
    percentile: float


@dataclass(frozen=True, slots=True, order=True)
class Lifecycle:
    """When a release's support ends; days are ``YYYY-MM-DD``, "" where untold.

    ``eol`` ends the support that everybody has, ``lts`` that of the long-term team (Debian LTS;
    Ubuntu's is ``esm``, in the pro archive only), ``elts`` paid support.
    """

    distribution: str
    version: str
    codename: str
    eol: str = ""
    lts: str = ""
    elts: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Support:
    """A single package that a distribution supports no more, or not fully (debian-security-support).

    ``pattern`` is a source name, or a regular expression over one where the list has one.
    ``release`` is the release's number, "" for every one. ``kind`` is ``ended`` or ``limited``.
    """

    distribution: str
    release: str
    pattern: str
    kind: str
    last_version: str = ""
    day: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, order=True)
class ContentSet:
    """A Red Hat repository and the CPE of a platform that it serves."""

    name: str
    cpe: str


Item = Advisory | KevEntry | EpssScore | Lifecycle | Support | ContentSet | Broken


@dataclass(frozen=True, slots=True)
class Feed:
    """What is known of a feed as a whole.

    ``name`` is unique in a database (``debian-tracker``, ``osv:pypi``, ``secdb:alpine:3.19``);
    ``format`` is the word of ``db import``. ``retrieved`` and ``newest`` are RFC 3339, "" where
    untold. ``covers`` are the namespaces that it speaks for; ``partial`` means that its silence
    about a package proves nothing. ``facts`` are further truths by name, sorted (EPSS: ``model``).
    """

    name: str
    format: str
    covers: tuple[str, ...] = ()
    digest: str = ""
    retrieved: str = ""
    newest: str = ""
    source: str = ""
    partial: str = ""
    records: int = 0
    broken: int = 0
    facts: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Reading:
    """A feed being read: its name and kind, then its items, lazily.

    ``whole`` tells that the items are the entire feed, which replaces what was there before;
    otherwise they are added to it. Counts, dates and digest of ``feed`` are for who stores it, and
    an empty ``feed.name`` for who has seen all items. ``may_be_empty``: a feed of no record is no
    sign of damage. ``removed`` are keys of records that the feed has no more.
    """

    feed: Feed
    items: Iterator[Item]
    whole: bool = True
    may_be_empty: bool = False
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stated:
    """One fact as a database gives it: the feed, its record (without ``affected``), and the fact."""

    feed: str
    advisory: Advisory
    affected: Affected

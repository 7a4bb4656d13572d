"""What the feeds say of one package: every fact that is about it, judged, and those that are not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from staunch.match import redhat
from staunch.match.keys import Lookup, lookups
from staunch.match.ranges import Judged, judge
from staunch.model.advisory import Stated
from staunch.model.finding import Disposition, Evidence, State
from staunch.model.inventory import Confidence, Distribution, FoundPackage
from staunch.ports import Advisories

PRO = "ubuntu:pro:"
_MINOR = re.compile(r"\.el([0-9]+_[0-9]+)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One fact about one package, judged. ``id`` is the vulnerability (a bundle's are several)."""

    id: str
    stated: Stated
    judged: Judged
    installed: str
    rule: str
    rank: int
    confidence: Confidence = Confidence.HIGH
    note: str = ""
    disposition: Disposition | None = None

    @property
    def evidence(self) -> Evidence:
        """As findings carry it."""
        notes = (self.note, self.judged.note, self.stated.affected.note)
        return Evidence(
            self.stated.feed,
            self.stated.advisory.id,
            self.rule,
            self.installed,
            self.judged.compared,
            "; ".join(each for each in notes if each),
        )


@dataclass(frozen=True, slots=True)
class Dropped:
    """A fact under a package's name that is not about it, and the rule that says so."""

    id: str
    package: FoundPackage
    feed: str
    record: str
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Context:
    """What the rules need to know of the whole image."""

    db: Advisories
    now: datetime
    platforms: tuple[str, ...] = ()
    platforms_by: str = ""


def candidates(
    package: FoundPackage, distribution: Distribution | None, context: Context
) -> tuple[list[Candidate], list[Dropped]]:
    """Everything said under the package's names."""
    kept: list[Candidate] = []
    dropped: list[Dropped] = []
    for lookup in lookups(package, distribution):
        for namespace in _places(lookup, package):
            for stated in context.db.facts(namespace, lookup.name):
                why = _not_about(stated, package, lookup, context)
                if why:
                    dropped.append(
                        Dropped(stated.advisory.id, package, stated.feed, stated.advisory.id, *why)
                    )
                    continue
                kept += _judged(stated, package, lookup, namespace)
    return _of_one_stream(_of_one_row(kept), package, dropped), dropped


def _places(lookup: Lookup, package: FoundPackage) -> Iterator[str]:
    """The namespaces; for Ubuntu also those of the pro archive, which count apart."""
    for namespace in lookup.namespaces:
        yield namespace
        family, _, release = namespace.partition(":")
        if family == "ubuntu" and not release.startswith("pro:"):
            yield f"{PRO}{release}"
            if "fips" in package.version.lower():
                yield f"{PRO}fips-updates:{release}"
                yield f"{PRO}fips:{release}"


def _not_about(
    stated: Stated, package: FoundPackage, lookup: Lookup, context: Context
) -> tuple[str, str] | None:
    """Rule and reason by which a fact is not about the package."""
    advisory, fact = stated.advisory, stated.affected
    if advisory.withdrawn and _past(advisory.withdrawn, context.now):
        return "withdrawn", f"the record was withdrawn ({advisory.withdrawn})"
    if lookup.keyed == "binary" and fact.keyed == "source":
        return "keyed-by-source", "the row names a source package"
    if lookup.keyed == "source" and fact.keyed == "binary":
        return "keyed-by-binary", "the row names a binary package"
    if fact.namespace == "redhat":
        if not redhat.same_platform(fact.cpe, context.platforms):
            return "rhel-platform", f"for {fact.cpe}; this image is {context.platforms_by}"
        about, why, _ = redhat.applies(stated, package, lookup.keyed)
        if not about:
            return ("rhel-architecture" if "module" not in why else "rhel-module"), why
    return None


def _judged(
    stated: Stated, package: FoundPackage, lookup: Lookup, namespace: str
) -> Iterator[Candidate]:
    fact, advisory = stated.affected, stated.advisory
    judged = judge(fact, lookup.version, package.purl.type, without_epoch=lookup.without_epoch)
    rule, rank, confidence = lookup.rule, _rank(stated), package.confidence
    note, disposition = "", fact.disposition
    if fact.weak or package.fact("direct-url"):
        confidence = Confidence.LOW
        note = "named in a follow-up" if fact.weak else "installed from a URL: the version may lie"
    elif stated.feed.startswith("debian-changelog"):
        confidence = min(confidence, Confidence.MEDIUM, key=_SURENESS.index)
    if fact.namespace == "redhat":
        _, why, sure = redhat.applies(stated, package, lookup.keyed)
        if not sure:
            confidence, note = Confidence.LOW, why
    if namespace.startswith(PRO) and not _is_pro(package):
        rule = "ubuntu-pro-only"
        rank += 5  # speaks only where the base archive has no fix
        if judged.state is State.AFFECTED and judged.fixed:
            disposition = Disposition.FIX_IN_PRO
            note = f"fixed in Ubuntu Pro only, by {judged.fixed}"
            judged = replace(judged, fixed="")
    elif namespace.startswith("ubuntu:") and not namespace.startswith(PRO) and _is_pro(package):
        rank += 1  # the base archive's words on a build of the pro archive, which knows better
    ids = [advisory.id]
    if advisory.bundle and advisory.upstream:
        ids, rule = list(advisory.upstream), f"{rule}-of-bundle"
    for identifier in ids:
        yield Candidate(
            identifier, stated, judged, lookup.version, rule, rank, confidence, note, disposition
        )


_SURENESS = [Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH]


def _rank(stated: Stated) -> int:
    """Authority: the lower, the more (vendor's own state, then its notices, then what is derived)."""
    if stated.feed.startswith("debian-changelog"):
        return 3
    if stated.advisory.bundle:
        return 2
    if stated.feed in ("osv:debian", "osv:alpine", "ubuntu-vex"):
        return 1
    return 0


def _is_pro(package: FoundPackage) -> bool:
    """Whether this build came from the pro archive."""
    return "+esm" in package.version or "fips" in package.version.lower()


def _of_one_row(found: list[Candidate]) -> list[Candidate]:
    """Red Hat: where rows of the binary decide, those by source name say nothing."""
    decided = {(each.stated.feed, each.id) for each in found if each.rule.startswith("rpm-binary")}
    return [
        each
        for each in found
        if not each.rule.startswith("rpm-source") or (each.stated.feed, each.id) not in decided
    ]


def _of_one_stream(
    found: list[Candidate], package: FoundPackage, dropped: list[Dropped]
) -> list[Candidate]:
    """Red Hat: a build of a minor release that has that release's own fix needs no later one's.

    One CVE has rows for 9.2 (``…-23.el9_2.4``) and 9.3 (``…-26.el9_3.2``) under one CPE. Without a
    fixed row of its own minor release a build is measured by all of them, so by the highest.
    """
    own = {
        (*_place(each), stream)
        for each in found
        if each.judged.state is State.FIXED
        and (stream := _stream(each.installed))
        and stream == _stream(each.judged.fixed)
    }
    kept = []
    for each in found:
        stream, theirs = _stream(each.installed), _stream(each.judged.fixed)
        if (
            each.judged.state is State.AFFECTED
            and theirs != stream
            and (*_place(each), stream) in own
        ):
            why = f"{each.judged.fixed} is of another minor release, and el{stream} has its own fix"
            record = each.stated.advisory.id
            dropped.append(
                Dropped(each.id, package, each.stated.feed, record, "rhel-minor-release", why)
            )
        else:
            kept.append(each)
    return kept


def _place(each: Candidate) -> tuple[str, str, str, str]:
    return each.stated.feed, each.id, each.stated.affected.cpe, each.rule


def _stream(version: str) -> str:
    """``9_2`` of ``7.76.1-23.el9_2.4``, "" where none is told."""
    match = _MINOR.search(version)
    return match[1] if match else ""


def _past(moment: str, now: datetime) -> bool:
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        return True  # it is withdrawn, the day is not told
    return (when if when.tzinfo else when.replace(tzinfo=UTC)) <= now


def worst_first(found: Sequence[Candidate]) -> list[Candidate]:
    """Most authoritative first; among equals the state that must not be missed."""
    return sorted(
        found,
        key=lambda each: (each.rank, _STATES.index(each.judged.state), each.stated.feed, each.id),
    )


_STATES = [
    State.AFFECTED,
    State.UNDETERMINED,
    State.UNDER_INVESTIGATION,
    State.FIXED,
    State.NOT_AFFECTED,
    State.UNASSESSED,
]

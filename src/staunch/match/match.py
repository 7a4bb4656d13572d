"""From an inventory and a database to findings (docs/advisories.md, "How a finding comes about").

1. Where a package's facts are: its own distribution, its source name and version; its language.
2. Every fact under its names is judged, or dropped by a named rule.
3. Facts about one vulnerability (union of ``aliases``) become one finding on one package instance.
4. A language package that a distribution package owns is left to the distribution's answer.
5. What no feed can answer is ``unassessed``; what cannot be compared is ``undetermined``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from staunch.match import redhat, support
from staunch.match.candidates import Candidate, Context, Dropped, candidates, worst_first
from staunch.match.enrich import Enricher
from staunch.match.feeds import covering, feed_gaps, feed_states
from staunch.match.keys import (
    DISTRIBUTIONS,
    LANGUAGES,
    distribution_of,
    lookups,
    namespaces_of,
    third_party,
)
from staunch.match.priority import order
from staunch.match.ranges import order_of
from staunch.model.finding import Disposition, Evidence, FeedState, Finding, Level, State
from staunch.model.inventory import Confidence, Distribution, FoundPackage, Gap, Inventory
from staunch.ports import Advisories

UNASSESSED = "unassessed"
_HEADERS = re.compile(r"linux-libc-dev(?:-.*)?|linux-headers(?:-.*)?|kernel-headers")
_SURENESS = [Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH]


@dataclass(frozen=True, slots=True)
class Matched:
    """All that a database says of an inventory.

    ``findings`` hold every state, in the order in which a person would take them up. ``dropped``
    are facts under a package's name that are not about it (for ``--explain``).
    """

    findings: tuple[Finding, ...]
    feeds: tuple[FeedState, ...]
    gaps: tuple[Gap, ...]
    dropped: tuple[Dropped, ...] = ()


def match(inventory: Inventory, db: Advisories, *, now: datetime) -> Matched:
    """Match every package; pure but for what it reads from ``db``.

    Args:
        inventory: what was found.
        db: the feeds.
        now: the time that withdrawn records, ends of support and the age of feeds are measured at.
    """
    return _Matching(inventory, db, now).run()


class _Matching:
    """One run over one inventory."""

    def __init__(self, inventory: Inventory, db: Advisories, now: datetime) -> None:
        self.inventory, self.db, self.now = inventory, db, now
        self.feeds = db.feeds()
        image = inventory.distribution
        platforms: tuple[str, ...] = ()
        by = ""
        if image is not None and image.id == "rhel":
            platforms, by = redhat.image_platforms(inventory.packages, image, db)
        self.context = Context(db, now, platforms, by)
        self.enricher = Enricher(db, self.feeds)
        self.dropped: list[Dropped] = []
        self.findings: list[Finding] = []
        self.unanswered: dict[tuple[str, str], int] = defaultdict(int)
        self.names: dict[str, tuple[str, ...]] = {}

    def run(self) -> Matched:
        packages = self.inventory.packages
        owners = {str(each.purl): each for each in packages if each.purl.type in DISTRIBUTIONS}
        answered: dict[str, dict[str, FoundPackage]] = {}  # owner's purl: groups its feed answers
        later: list[tuple[FoundPackage, FoundPackage | None, dict[str, list[Candidate]]]] = []
        for package in packages:
            grouped = self._grouped(package)
            owner = owners.get(package.owner) if package.owner else None
            if package.purl.type in LANGUAGES and package.owner:
                later.append((package, owner, grouped))
                continue
            answered.setdefault(str(package.purl), {}).update(dict.fromkeys(grouped, package))
            self.findings += (self._finding(package, found) for found in grouped.values())
        self._owned(later, answered)
        ended, gaps = support.findings(self.inventory, self.db, now=self.now)
        self.findings += ended
        return Matched(
            tuple(order(self._with_limits(self.findings))),
            feed_states(self.feeds, self.db, now=self.now),
            tuple(sorted({*gaps, *self._gaps(), *feed_gaps(self.feeds, now=self.now)})),
            tuple(self.dropped),
        )

    def _grouped(self, package: FoundPackage) -> dict[str, list[Candidate]]:
        """Candidates by vulnerability group, and what is unassessed of the package."""
        distribution = self._distribution(package)
        foreign = third_party(package, distribution)
        if foreign:
            self._unassessed(package, "third-party", foreign)
            return {}
        self._covered(package, distribution)
        kept, dropped = candidates(package, distribution, self.context)
        self.dropped += dropped
        grouped: dict[str, list[Candidate]] = defaultdict(list)
        for each in kept:
            grouped[self._names(each.id)[0]].append(each)
        return dict(grouped)

    def _distribution(self, package: FoundPackage) -> Distribution | None:
        return distribution_of(package, self.inventory.distribution)

    def _names(self, identifier: str) -> tuple[str, ...]:
        if identifier not in self.names:
            self.names[identifier] = self.db.names(identifier)
        return self.names[identifier]

    def _covered(self, package: FoundPackage, distribution: Distribution | None) -> None:
        """Note what no feed speaks for."""
        kind = package.purl.type
        if package.found_by == "model":
            return  # a model is described, and no advisory speaks of models
        if kind in LANGUAGES:
            wanted: tuple[str, ...] = (kind,)
            where = kind
            if not lookups(package, distribution):
                why = "its whole name is not known, so no feed can be asked"
                self.unanswered[(f"{kind} packages without a group", why)] += 1
                self._unassessed(package, "name-not-known", why)
                return
        elif kind in DISTRIBUTIONS and distribution is not None:
            wanted = namespaces_of(distribution)
            where = f"{distribution.id} {distribution.version or distribution.codename}".strip()
        elif kind in DISTRIBUTIONS:
            wanted, where = (), f"{kind} packages of an unknown distribution"
        else:
            wanted, where = (), f"{kind} packages"
        if not covering(self.feeds, wanted):
            why = "no feed in the database speaks for it" if wanted else "no feed is known for it"
            self.unanswered[(where, why)] += 1
            self._unassessed(package, "no-feed", f"{where}: {why}")

    def _unassessed(self, package: FoundPackage, rule: str, why: str) -> None:
        if rule == "third-party":
            self.unanswered[
                ("third-party packages", "the distribution's feed does not speak for them")
            ] += 1
        evidence = Evidence("", "", rule, package.version, "", why)
        self.findings.append(
            Finding(UNASSESSED, package, State.UNASSESSED, summary=why, evidence=(evidence,))
        )

    def _finding(self, package: FoundPackage, found: list[Candidate], **more: object) -> Finding:
        ranked = worst_first(found)
        best = ranked[0]
        equals = [
            each
            for each in ranked
            if each.rank == best.rank and each.judged.state is best.judged.state
        ]
        fixed = _highest([each.judged.fixed for each in equals], package.purl.type)
        names = sorted({name for each in found for name in self._names(each.id)})
        shown = _shown(names, best)
        related = {each.stated.affected.advisory for each in found}
        related |= {each.stated.advisory.id for each in found if each.stated.advisory.bundle}
        related |= {name for each in found for name in each.stated.advisory.related}
        # a vendor's word on what it will do may stand in another feed than its ranges
        alike = [each for each in ranked if each.judged.state is best.judged.state]
        disposition = next((each.disposition for each in alike if each.disposition), None)
        finding = Finding(
            shown,
            package,
            best.judged.state,
            aliases=tuple(name for name in names if name != shown),
            related=tuple(sorted(related - {"", shown})),
            fixed_version=fixed,
            disposition=disposition,
            confidence=min((each.confidence for each in equals), key=_SURENESS.index),
            evidence=tuple(dict.fromkeys(each.evidence for each in ranked)),
            fix_published=max((each.stated.affected.fix_published for each in equals), default=""),
        )
        return _headers_only(self.enricher.enrich(finding, ranked))

    def _owned(
        self,
        later: Iterable[tuple[FoundPackage, FoundPackage | None, dict[str, list[Candidate]]]],
        answered: Mapping[str, Mapping[str, FoundPackage]],
    ) -> None:
        """Language packages owned by a distribution package (§2 and §4 of the rules).

        Where the owner's feed answers for the vulnerability, that answer counts. Else it is
        reported once, on the owner.
        """
        reported: set[tuple[str, str]] = set()
        for package, owner, grouped in later:
            for group, found in grouped.items():
                if group in answered.get(package.owner, {}):
                    self.dropped.append(
                        Dropped(
                            found[0].id,
                            package,
                            found[0].stated.feed,
                            found[0].stated.advisory.id,
                            "owned-by-distribution",
                            f"{package.owner} owns it, and its distribution's feed has an answer",
                        )
                    )
                    continue
                finding = self._finding(package, found)
                if owner is None:
                    self.findings.append(finding)
                    continue
                if (package.owner, group) in reported:
                    continue
                reported.add((package.owner, group))
                note = (
                    f"{package.purl} is part of {owner.name}, and its distribution's feed is silent"
                )
                evidence = Evidence(
                    "", "", "language-package-of-distribution", package.version, "", note
                )
                self.findings.append(
                    replace(
                        finding,
                        package=owner,
                        confidence=min(finding.confidence, Confidence.MEDIUM, key=_SURENESS.index),
                        evidence=(*finding.evidence, evidence),
                    )
                )

    def _with_limits(self, found: Iterable[Finding]) -> Iterable[Finding]:
        limits = support.Limits(self.db)
        for each in found:
            yield limits.noted(each, self._distribution(each.package))

    def _gaps(self) -> Iterable[Gap]:
        for (where, why), count in self.unanswered.items():
            yield Gap("feed", where, f"{why}: {count} package{'s' if count > 1 else ''} unassessed")
        undetermined: dict[str, list[Finding]] = defaultdict(list)
        for each in self.findings:
            if each.state is State.UNDETERMINED:
                undetermined[str(each.package.purl)].append(each)
        for purl, found in undetermined.items():
            ids = ", ".join(sorted({each.id for each in found})[:3])
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            yield Gap("version", purl, f"{ids}{more}: {found[0].evidence[0].note}")


def _headers_only(finding: Finding) -> Finding:
    """Kernel headers hold none of the kernel's code, and draw every one of its CVEs."""
    package = finding.package
    if finding.state is not State.AFFECTED or not _HEADERS.fullmatch(package.name):
        return finding
    note = "kernel headers: declarations, and no code of the kernel"
    evidence = Evidence("", "", "headers-only", package.version, "", note)
    return replace(
        finding,
        disposition=Disposition.UNIMPORTANT,
        level=Level.NEGLIGIBLE,
        level_source="headers-only",
        evidence=(*finding.evidence, evidence),
    )


def _shown(names: list[str], best: Candidate) -> str:
    """The only CVE of the group, else its lowest GHSA, else the record's id."""
    cves = [name for name in names if name.startswith("CVE-")]
    if len(cves) == 1:
        return cves[0]
    if best.id.startswith("CVE-"):
        return best.id
    return next((name for name in names if name.startswith("GHSA-")), best.id)


def _highest(versions: list[str], purl_type: str) -> str:
    """The highest of several fixes; where they cannot be ordered, the last as text."""
    known = sorted({each for each in versions if each})
    order_ = order_of(purl_type)
    if len(known) < 2 or order_ is None:
        return known[-1] if known else ""
    from staunch.errors import SpecError

    try:
        return max(known, key=order_)
    except SpecError:
        return known[-1]

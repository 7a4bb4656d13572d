"""Ends of support: releases, and single packages (debian-security-support)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from staunch.ecosystems import releases
from staunch.match.keys import DISTRIBUTIONS, distribution_of
from staunch.model.advisory import Lifecycle, Support
from staunch.model.finding import Disposition, Evidence, Finding, Level, State
from staunch.model.inventory import Distribution, FoundPackage, Gap, Inventory
from staunch.model.purl import Purl
from staunch.ports import Advisories

RELEASE, PACKAGE = "unsupported-release", "unsupported-package"


def findings(
    inventory: Inventory, db: Advisories, *, now: datetime
) -> tuple[list[Finding], list[Gap]]:
    """What is out of support on the day of ``now``, and what is not known about it."""
    today = now.date().isoformat()
    found: list[Finding] = []
    gaps: list[Gap] = []
    packages = [each for each in inventory.packages if each.purl.type in DISTRIBUTIONS]
    images = {distribution_of(each, inventory.distribution) for each in packages}
    for distribution in sorted({*images, inventory.distribution} - {None}, key=str):
        assert distribution is not None  # noqa: S101  taken out above
        release = _release(distribution, db)
        if release is None:
            gaps.append(
                Gap(
                    "lifecycle",
                    f"{distribution.id} {distribution.version}".strip(),
                    "no feed tells when its support ends",
                )
            )
            continue
        ended = _ended(release, today)
        if ended:
            found.append(_of_release(distribution, release, *ended))
    found += _packages(packages, inventory.distribution, db, today)
    return found, gaps


def _release(distribution: Distribution, db: Advisories) -> Lifecycle | None:
    told = db.lifecycles(distribution.id)
    short = releases.leading(distribution.id, distribution.version)
    for row in told:
        if (distribution.codename and row.codename == distribution.codename) or (
            short and row.version == short
        ):
            return row
    return releases.release_of(distribution.id, distribution.version, distribution.codename)


def _ended(release: Lifecycle, today: str) -> tuple[str, str] | None:
    """The day on which support ended, and whose."""
    if release.distribution == "debian":
        day = release.lts or release.eol
        return (day, "Debian's and Debian LTS's support") if day and day < today else None
    if release.eol and release.eol < today:
        paid = (
            f" (paid support until {max(release.lts, release.elts)})"
            if max(release.lts, release.elts) >= today
            else ""
        )
        return release.eol, f"everybody's support{paid}"
    return None


def _of_release(distribution: Distribution, release: Lifecycle, day: str, whose: str) -> Finding:
    name = f"{distribution.id} {release.version or release.codename}"
    package = FoundPackage(
        Purl("generic", "", distribution.id, distribution.version),
        distribution.id,
        distribution.version,
        "os-release",
        distribution=distribution,
    )
    why = f"{whose} of {name} ended on {day}: what is found later is not fixed"
    return Finding(
        RELEASE,
        package,
        State.AFFECTED,
        disposition=Disposition.END_OF_LIFE,
        level=Level.HIGH,
        level_source="lifecycle",
        summary=why,
        evidence=(
            Evidence("lifecycle", name, "unsupported-release", distribution.version, "", why),
        ),
    )


def _packages(
    packages: Iterable[FoundPackage], image: Distribution | None, db: Advisories, today: str
) -> list[Finding]:
    limits = Limits(db)
    found = []
    for each in packages:
        row = limits.row(each, distribution_of(each, image), "ended")
        if row is None or row.day > today:
            continue
        why = (
            f"security support of {each.source or each.name} ended on {row.day}. {row.note}".strip()
        )
        evidence = Evidence(
            f"support:debian:ended{row.release}",
            row.pattern,
            PACKAGE,
            each.version,
            row.last_version,
            why,
        )
        found.append(
            Finding(
                PACKAGE,
                each,
                State.AFFECTED,
                disposition=Disposition.END_OF_LIFE,
                level=Level.HIGH,
                level_source="debian-security-support",
                summary=why,
                evidence=(evidence,),
            )
        )
    return found


class Limits:
    """The lists of debian-security-support, looked up by source package."""

    def __init__(self, db: Advisories) -> None:
        """Read the lists once per distribution."""
        self._db = db
        self._rows: dict[str, tuple[tuple[re.Pattern[str] | None, Support], ...]] = {}

    def row(
        self, package: FoundPackage, distribution: Distribution | None, kind: str
    ) -> Support | None:
        """The line that speaks of the package's source."""
        if distribution is None or package.purl.type != "deb":
            return None
        if distribution.id not in self._rows:
            self._rows[distribution.id] = tuple(
                (_pattern(each.pattern), each) for each in self._db.supports(distribution.id)
            )
        if not self._rows[distribution.id]:
            return None
        name = package.source or package.name
        release = releases.release_of(distribution.id, distribution.version, distribution.codename)
        number = release.version if release else ""
        for pattern, row in self._rows[distribution.id]:
            if (
                row.kind == kind
                and row.release in ("", number)
                and (row.pattern == name or (pattern is not None and pattern.fullmatch(name)))
            ):
                return row
        return None

    def noted(self, finding: Finding, distribution: Distribution | None) -> Finding:
        """The finding, with a word on limited support where there is one."""
        if finding.state is not State.AFFECTED:
            return finding
        row = self.row(finding.package, distribution, "limited")
        if row is None:
            return finding
        evidence = Evidence(
            "support:debian:limited", row.pattern, "limited-support", "", "", row.note
        )
        return replace(finding, evidence=(*finding.evidence, evidence))


def _pattern(text: str) -> re.Pattern[str] | None:
    """Only ``name.*`` is used by the lists; anything else is taken as it is written."""
    return re.compile(re.escape(text[:-2]) + ".*") if text.endswith(".*") else None

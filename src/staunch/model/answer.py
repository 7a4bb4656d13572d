"""The answer of a scan: what is there, what is wrong with it, and what could not be found out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from staunch.model.digest import Digest
from staunch.model.finding import FeedState, Finding, Level, State
from staunch.model.inventory import Gap, Inventory

UNKNOWN_STATES = frozenset({State.UNDETERMINED, State.UNASSESSED})


@dataclass(frozen=True, slots=True, order=True)
class Exposure:
    """A secret that anybody who pulls the image can read.

    ``rule`` is its name, ``what`` says what it is in words, ``hint`` a part of it that identifies
    and does not give away. ``checked`` says how its form was proved (``crc32``, ``parses``), "" if
    only its shape fits. ``removed`` tells that a later layer hides it; it can be read all the same.
    """

    path: str
    rule: str
    what: str
    line: int = 0
    hint: str = ""
    level: Level = Level.HIGH
    checked: str = ""
    layer: Digest | None = None
    removed: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Misconfiguration:
    """A setting of the image against a benchmark's advice.

    ``id`` is the benchmark's number (``CIS-Docker-4.1``, ``PSS-restricted-runAsNonRoot``).
    """

    id: str
    title: str
    why: str
    mend: str
    level: Level = Level.MEDIUM
    where: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of some findings, and of what kind. ``levels`` are worst first, all of them."""

    total: int
    levels: tuple[tuple[Level, int], ...]
    kev: int
    malware: int
    fixable: int

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Tally:
        """Count them."""
        counted = list(findings)
        levels = tuple(
            (level, sum(each.level is level for each in counted)) for level in reversed(Level)
        )
        return cls(
            len(counted),
            levels,
            sum(each.kev is not None for each in counted),
            sum(each.malware for each in counted),
            sum(bool(each.fixed_version) for each in counted),
        )

    def at(self, level: Level) -> int:
        """How many of that level."""
        return dict(self.levels)[level]


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a scan found out.

    ``findings`` are of every state, in the order of their priority. ``secrets`` and
    ``misconfigurations`` are None where they were not looked for (an SBOM has no files), sorted
    else. ``gaps`` are those of the scan beside the inventory's. ``refused`` are exceptions and
    statements that were given and do not hold, in words. ``idle`` counts VEX statements that speak
    of nothing found here. ``since`` names what an answer was compared with, where it was.
    """

    inventory: Inventory
    findings: tuple[Finding, ...]
    feeds: tuple[FeedState, ...] = ()
    gaps: tuple[Gap, ...] = ()
    secrets: tuple[Exposure, ...] | None = None
    misconfigurations: tuple[Misconfiguration, ...] | None = None
    refused: tuple[str, ...] = ()
    idle: int = 0
    since: str = ""

    @property
    def raw(self) -> Tally:
        """What the feeds say, before VEX and exceptions."""
        return Tally.of(each for each in self.findings if each.state is State.AFFECTED)

    @property
    def after_vex(self) -> Tally:
        """What is left when VEX is believed."""
        return Tally.of(each for each in self.findings if each.state_after_vex is State.AFFECTED)

    @property
    def accepted(self) -> Tally:
        """What somebody accepted, of those left after VEX."""
        return Tally.of(
            each
            for each in self.findings
            if each.state_after_vex is State.AFFECTED and each.accepted
        )

    @property
    def open(self) -> Tally:
        """What is left after VEX and exceptions: what gates."""
        return Tally.of(each for each in self.findings if each.is_open)

    @property
    def judged(self) -> Tally:
        """What a person's judgement cleared, without a witness: counted apart."""
        return Tally.of(
            each
            for each in self.findings
            if each.state is State.AFFECTED
            and each.state_after_vex is not State.AFFECTED
            and next(note for note in each.vex if not note.refused).ground == "judgement"
        )

    @property
    def under_investigation(self) -> tuple[Finding, ...]:
        """What a vendor is still looking at."""
        return tuple(
            each for each in self.findings if each.state_after_vex is State.UNDER_INVESTIGATION
        )

    @property
    def undecided(self) -> tuple[Finding, ...]:
        """Findings that are none: versions that could not be compared, packages without a feed."""
        return tuple(each for each in self.findings if each.state_after_vex in UNKNOWN_STATES)

    @property
    def unknowns(self) -> tuple[Gap, ...]:
        """Everything that could not be found out, sorted: gaps (stale feeds too) and undecided findings."""
        found = {*self.inventory.gaps, *self.gaps}
        for each in self.undecided:
            why = each.summary or next((note.note for note in each.evidence if note.note), "")
            name = "" if each.id == each.state_after_vex.value else each.id
            found.add(Gap(each.state_after_vex.value, f"{each.package.purl} {name}".strip(), why))
        return tuple(sorted(found))

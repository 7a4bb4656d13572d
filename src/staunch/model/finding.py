"""A published advisory matched on one package of one target (ADVISORIES.md §2, DESIGN.md §14)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from staunch.model.inventory import Confidence, FoundPackage
from staunch.model.level import Level as Level


class State(Enum):
    """What is known of one vulnerability in one package instance.

    ``UNDETERMINED``: the versions could not be compared; ``UNASSESSED``: no feed can answer. Both
    are unknowns, never clean.
    """

    AFFECTED = "affected"
    FIXED = "fixed"
    NOT_AFFECTED = "not_affected"
    UNDER_INVESTIGATION = "under_investigation"
    UNDETERMINED = "undetermined"
    UNASSESSED = "unassessed"


class Disposition(Enum):
    """What the vendor says it will do about it."""

    WILL_NOT_FIX = "will_not_fix"
    DEFERRED = "deferred"
    END_OF_LIFE = "end_of_life"
    NO_DSA = "no_dsa"
    UNIMPORTANT = "unimportant"
    FIX_IN_PRO = "fix_in_pro_only"


@dataclass(frozen=True, slots=True, order=True)
class Cvss:
    """One CVSS vector with its base score and who gave it."""

    vector: str
    score: float
    source: str


@dataclass(frozen=True, slots=True, order=True)
class Epss:
    """An EPSS score; scores of different ``model`` are not comparable."""

    score: float
    percentile: float
    model: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Kev:
    """An entry of CISA's catalogue of known exploited vulnerabilities."""

    added: str
    due: str = ""
    ransomware: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Evidence:
    """Why a finding says what it says.

    ``feed`` and ``record`` name the source, ``rule`` the rule of matching (``deb-source-version``),
    ``installed`` and ``compared`` the two versions that were compared ("" where none were).
    """

    feed: str
    record: str
    rule: str
    installed: str = ""
    compared: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class VexNote:
    """A VEX statement that speaks of a finding.

    ``status`` and ``justification`` are VEX's words; ``author`` who said so; ``witness`` the
    name of the rule behind a replayable witness, "" where there is none. ``ground`` is
    ``witness``, ``judgement`` (a person's, with an expiry) or ``statement`` (another's word).
    ``refused`` says why the note does not count (expired, contradicted), "" where it may.
    """

    status: str
    justification: str = ""
    author: str = ""
    statement: str = ""
    impact: str = ""
    witness: str = ""
    source: str = ""
    timestamp: str = ""
    expires: str = ""
    ground: str = "statement"
    refused: str = ""


@dataclass(frozen=True, slots=True)
class ExceptionNote:
    """An exception that speaks of a finding: somebody accepted it, until a day.

    ``expires`` is a day (``YYYY-MM-DD``); ``place`` where it stands, as ``file:line:column``.
    ``refused`` says why it does not count (expired, not signed), "" where it may.
    """

    reason: str
    owner: str
    approver: str
    expires: str
    place: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One vulnerability group on one package instance.

    ``id`` is what is shown (the only CVE of the group, else the lowest GHSA, else the record's);
    ``aliases`` the others, sorted; ``related`` are bundles (USN, DSA, RHSA) that never merge.
    ``fixed_version`` "" means no fix is known. ``published`` and ``fix_published`` are RFC 3339 or "".
    """

    id: str
    package: FoundPackage
    state: State
    aliases: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    fixed_version: str = ""
    disposition: Disposition | None = None
    level: Level = Level.UNKNOWN
    level_source: str = ""
    cvss: tuple[Cvss, ...] = ()
    epss: Epss | None = None
    kev: Kev | None = None
    confidence: Confidence = Confidence.HIGH
    malware: bool = False
    summary: str = ""
    published: str = ""
    fix_published: str = ""
    evidence: tuple[Evidence, ...] = ()
    vex: tuple[VexNote, ...] = ()
    references: tuple[str, ...] = ()
    exceptions: tuple[ExceptionNote, ...] = ()

    @property
    def state_after_vex(self) -> State:
        """The state when VEX is believed; that of the feeds where nothing counts."""
        note = next((each for each in self.vex if not each.refused), None)
        if note is None or self.state in (State.FIXED, State.NOT_AFFECTED):
            return self.state
        return State(note.status)

    @property
    def accepted(self) -> ExceptionNote | None:
        """The exception that holds, if one does."""
        return next((each for each in self.exceptions if not each.refused), None)

    @property
    def is_open(self) -> bool:
        """Whether it is affected, after VEX, and nobody accepted it."""
        return self.state_after_vex is State.AFFECTED and self.accepted is None


@dataclass(frozen=True, slots=True, order=True)
class FeedState:
    """One feed that an answer rests on; dates are RFC 3339, "" where untold.

    ``note`` says in words what cannot be expected of it (stale, lists fixes only, broken records).
    """

    name: str
    digest: str
    retrieved: str
    newest: str
    stale: bool
    note: str = ""

"""Exceptions put beside findings: accepted is a third number, never a silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase

from staunch.match.vex import Target, purl_names
from staunch.model.exceptions import AcceptedRisk, Scope
from staunch.model.finding import ExceptionNote, Finding

__all__ = ["Applied", "apply_exceptions", "in_scope"]

Verifies = Callable[[AcceptedRisk], str]  # why its signature does not count, "" where it does


@dataclass(frozen=True, slots=True)
class Applied:
    """Findings with their exceptions; ``refused`` says of each that does not hold why, in words."""

    findings: tuple[Finding, ...]
    refused: tuple[str, ...]


def apply_exceptions(
    findings: Sequence[Finding],
    exceptions: Sequence[AcceptedRisk],
    target: Target,
    *,
    tier: str,
    today: date,
    verifies: Verifies | None = None,
) -> Applied:
    """Note on each finding the exceptions that speak of it.

    An exception that has expired, or is not signed where ``verifies`` is given, accepts nothing:
    it is a note with its reason, and where it speaks of a finding here, a refusal.

    Args:
        findings: in any order, which is kept.
        exceptions: of one file or several.
        target: what was scanned.
        tier: the tier it is for, "" for none.
        today: an exception holds on its last day.
        verifies: judges signatures; None asks for none.
    """
    here = [each for each in exceptions if in_scope(each.scope, target, tier)]
    refused: dict[str, None] = {}
    found = []
    for finding in findings:
        notes = []
        for exception in here:
            if not _about(exception, finding):
                continue
            why = _refused(exception, today, verifies)
            if why and finding.is_open:
                refused[f"{exception.place}: the exception for {exception.about} {why}"] = None
            notes.append(_note(exception, why))
        notes.sort(key=lambda note: (not note.refused, note.expires, note.place), reverse=True)
        found.append(replace(finding, exceptions=tuple(notes)) if notes else finding)
    return Applied(tuple(found), tuple(refused))


def in_scope(scope: Scope, target: Target, tier: str) -> bool:
    """Whether an exception may be used for a target: all that its scope names must fit."""
    if scope.digest is not None and scope.digest not in target.digests:
        return False
    if scope.tier and scope.tier != tier:
        return False
    return not scope.image or any(fnmatchcase(name, scope.image) for name in target.names)


def _about(exception: AcceptedRisk, finding: Finding) -> bool:
    ids = {finding.id.upper(), *(each.upper() for each in finding.aliases)}
    if exception.finding and exception.finding.upper() not in ids:
        return False
    return exception.package is None or purl_names(exception.package, finding.package)


def _refused(exception: AcceptedRisk, today: date, verifies: Verifies | None) -> str:
    if exception.expires < today:
        return f"expired on {exception.expires.isoformat()}"
    return verifies(exception) if verifies is not None else ""


def _note(exception: AcceptedRisk, refused: str) -> ExceptionNote:
    return ExceptionNote(
        exception.reason,
        exception.owner,
        exception.approver,
        exception.expires.isoformat(),
        str(exception.place),
        refused,
    )

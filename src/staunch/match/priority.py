"""The order in which a person would take findings up, and the words of ``--fail-on``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from staunch.errors import SpecError
from staunch.model.finding import Disposition, Finding, Level, State

_STATES = (
    State.AFFECTED,
    State.UNDETERMINED,
    State.UNDER_INVESTIGATION,
    State.UNASSESSED,
    State.FIXED,
    State.NOT_AFFECTED,
)
NOT_INSTALLED = "not-reachable"  # a package's fact: the image's entry point does not reach it
_LEVELS = {each.value: each for each in Level if each is not Level.UNKNOWN}
_FLAGS = ("kev", "malware", "unsupported", "fixable", "any", "unknown")


def order(findings: Iterable[Finding]) -> list[Finding]:
    """Most urgent first; ties by id and place, so that the order is always the same."""
    return sorted(findings, key=urgency)


def urgency(finding: Finding) -> tuple[object, ...]:
    """State; malware and KEV; EPSS by tenths; severity; CVSS; a fix at hand; reach; then names."""
    epss = finding.epss.score if finding.epss else -1.0
    return (
        _STATES.index(finding.state),
        not finding.malware,
        finding.kev is None,
        finding.disposition is Disposition.UNIMPORTANT,
        -round(epss, 1) if epss >= 0.1 else 0,
        -finding.level.rank,
        -(finding.cvss[0].score if finding.cvss else 0.0),
        not finding.fixed_version,
        finding.package.fact("reachable") == "no",
        -epss,
        finding.id,
        str(finding.package.purl),
        finding.package.locations,
    )


def fails(finding: Finding, words: Sequence[str]) -> bool:
    """Whether a finding is what ``--fail-on`` names.

    Words, any of which is enough: a severity (that or worse), ``kev``, ``malware``,
    ``unsupported``, ``fixable`` (a fix is at hand), ``epss>0.5``, ``cvss>=7``, ``unknown``
    (undetermined or unassessed), ``any``. Joined by ``+`` all must hold: ``high+fixable``. Malware
    and the end of a release's support always count, once any word is given. What Debian calls
    unimportant counts under ``any`` alone.

    Raises:
        SpecError: a word is none of these.
    """
    wanted = [_terms(word) for word in words]
    if not wanted:
        return False
    unknown = finding.state in (State.UNDETERMINED, State.UNASSESSED, State.UNDER_INVESTIGATION)
    if finding.state is not State.AFFECTED and not unknown:
        return False
    if not unknown and (finding.malware or finding.id == "unsupported-release"):
        return True
    return any(all(_holds(finding, term, unknown=unknown) for term in terms) for terms in wanted)


def check_words(words: Sequence[str]) -> None:
    """Raise SpecError, as ``fails`` does, when a word is none."""
    for word in words:
        _terms(word)


def _terms(word: str) -> list[str]:
    terms = [term.strip().lower() for term in word.split("+")]
    for term in terms:
        if term not in _LEVELS and term not in _FLAGS and _threshold(term) is None:
            raise SpecError(
                f"--fail-on does not know {term[:40]!r}",
                why=f"it knows {', '.join(_LEVELS)}, {', '.join(_FLAGS)}, epss>N and cvss>N",
                mend="write for example `--fail-on high`, `--fail-on kev` or `--fail-on high+fixable`",
            )
    return terms


def _threshold(term: str) -> tuple[str, float] | None:
    for name in ("epss", "cvss"):
        for sign in (">=", ">"):
            if term.startswith(name + sign):
                try:
                    value = float(term[len(name + sign) :])
                except ValueError:
                    return None
                return (name, value if sign == ">=" else value + 1e-9) if 0 <= value <= 10 else None
    return None


def _holds(finding: Finding, term: str, *, unknown: bool) -> bool:
    if unknown:
        return term == "unknown"
    if term == "any":
        return True
    if finding.disposition is Disposition.UNIMPORTANT and finding.kev is None:
        return False
    if term in _LEVELS:
        return finding.level.rank >= _LEVELS[term].rank
    threshold = _threshold(term)
    if threshold is not None:
        name, least = threshold
        score = (
            (finding.epss.score if finding.epss else None)
            if name == "epss"
            else (finding.cvss[0].score if finding.cvss else None)
        )
        return score is not None and score >= least
    return {
        "kev": finding.kev is not None,
        "malware": finding.malware,
        "unsupported": finding.id in ("unsupported-release", "unsupported-package"),
        "fixable": bool(finding.fixed_version),
        "unknown": False,
    }[term]

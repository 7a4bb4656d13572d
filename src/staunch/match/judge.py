"""Turns an answer into a verdict, by the words of ``--fail-on``.

The words for findings are those of ``match.priority``. Beside them stand ``secret`` and
``misconfiguration``, alone or with a level (``secret+high``). Malware is refused whatever the words.

Only findings that are open count: affected after VEX, and not accepted. A definite no outweighs
what is unknown; what is unknown outweighs a yes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from staunch.errors import SpecError
from staunch.match.priority import check_words, fails
from staunch.model.answer import Answer
from staunch.model.finding import Cvss, Epss, Finding, Level, State
from staunch.model.verdict import Passed, Refused, Unknown, Verdict

__all__ = ["Term", "judge", "parse_terms"]

_LEVELS = {each.value: each for each in Level if each is not Level.UNKNOWN}
_OTHERS = ("secret", "misconfiguration")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Term:
    """One term; ``subject`` is ``finding``, ``secret`` or ``misconfiguration``."""

    text: str
    subject: str = "finding"
    level: Level | None = None

    def meets(self, finding: Finding) -> bool:
        """Whether a finding is one that the term speaks of."""
        return self.subject == "finding" and fails(finding, (self.text,))

    def could_meet(self, finding: Finding) -> bool:
        """Whether it would, if all that is not known of it were as bad as can be."""
        worst = replace(
            finding,
            level=Level.CRITICAL if finding.level is Level.UNKNOWN else finding.level,
            epss=finding.epss or Epss(1.0, 1.0),
            cvss=finding.cvss or (Cvss("", 10.0, ""),),
        )
        return self.meets(worst)


def parse_terms(texts: Iterable[str]) -> tuple[Term, ...]:
    """Read terms; each text may hold several, joined by commas.

    Raises:
        SpecError: a word that is none.
    """
    return tuple(_term(part.strip()) for text in texts for part in text.split(",") if part.strip())


def _term(text: str) -> Term:
    words = text.lower().split("+")
    subject = next((word for word in words if word in _OTHERS), "finding")
    if subject == "finding":
        check_words((text,))
        return Term(text)
    others = [word for word in words if word != subject]
    if len(others) > 1 or any(word not in _LEVELS for word in others):
        raise SpecError(
            f"cannot use `--fail-on {text[:80]}`",
            why=f"`{subject}` goes together with a level alone",
            mend=f"write `{subject}`, or with one of {', '.join(_LEVELS)}: `{subject}+high`",
        )
    return Term(text, subject, _LEVELS[others[0]] if others else None)


def judge(answer: Answer, terms: Sequence[Term]) -> Verdict:
    """Refused with what is wrong, else Unknown with what is not known, else Passed."""
    reasons = [*_refusals(answer, terms), *answer.refused]
    if reasons:
        return Refused(tuple(dict.fromkeys(reasons)))
    unknowns = [
        *_unasked(answer, terms),
        *_unscored(answer, terms),
        *(f"{each.what} {each.where}: {each.why}" for each in answer.unknowns),
    ]
    if not unknowns:
        return Passed()
    more = len(unknowns) - _SHOWN
    return Unknown((*unknowns[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])))


def _unasked(answer: Answer, terms: Sequence[Term]) -> Iterator[str]:
    """A word that no feed can answer: without KEV nothing is known of exploitation."""
    there = {each.name for each in answer.feeds}
    for name in ("kev", "epss"):
        asked = any(
            word.startswith(name) for term in terms for word in term.text.lower().split("+")
        )
        if asked and name not in there and any(each.is_open for each in answer.findings):
            yield f"feed {name}: it is not in the database, so `--fail-on` cannot ask it"


def _unscored(answer: Answer, terms: Sequence[Term]) -> Iterator[str]:
    """Open findings that could be above a threshold: nobody has said how grave they are."""
    for each in answer.findings:
        if each.is_open and any(term.could_meet(each) for term in terms):
            yield f"{each.id} in {each.package.purl}: how grave it is, is not known"


def _refusals(answer: Answer, terms: Sequence[Term]) -> Iterator[str]:
    opened = [each for each in answer.findings if each.is_open]
    unknown = [each for each in answer.undecided if each.state is not State.AFFECTED]
    for each in opened:
        if each.malware:
            yield f"{each.id} in {each.package.purl}: malware"
    for term in terms:
        if term.subject == "finding":
            yield from (
                f"{each.id} in {each.package.purl}: {term.text}"
                for each in (*opened, *unknown)
                if term.meets(each)
            )
            continue
        least = term.level.rank if term.level else Level.LOW.rank  # negligible: set down already
        if term.subject == "secret":
            yield from (
                f"{each.what} in {each.path}"
                for each in answer.secrets or ()
                if each.level.rank >= least
            )
        else:
            yield from (
                f"{each.id}: {each.title}"
                for each in answer.misconfigurations or ()
                if each.level.rank >= least
            )

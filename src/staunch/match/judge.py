"""Turns an answer into a verdict, by the words of ``--fail-on``.

A term is words joined by ``+``, all of which a finding must meet: a level (``high`` means high or
worse), ``kev``, ``fixable``, ``malware``, ``epss:0.1`` (at least that probability). ``secret`` and
``misconfiguration`` stand alone, or with a level. Malware is refused whatever the terms say.

Only findings that are open count: affected after VEX, and not accepted. A definite no outweighs
what is unknown; what is unknown outweighs a yes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from staunch.errors import SpecError
from staunch.model.answer import Answer
from staunch.model.finding import Epss, Finding, Level
from staunch.model.verdict import Passed, Refused, Unknown, Verdict

__all__ = ["Term", "judge", "parse_terms"]

_LEVELS = {each.value: each for each in Level if each is not Level.UNKNOWN}
_EPSS = re.compile(r"epss:(0(?:\.[0-9]{1,6})?|1(?:\.0{1,6})?)")
_SIMPLE: dict[str, Callable[[Finding], bool]] = {
    "kev": lambda finding: finding.kev is not None,
    "fixable": lambda finding: bool(finding.fixed_version),
    "malware": lambda finding: finding.malware,
}
_OTHERS = ("secret", "misconfiguration")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Term:
    """One term; ``subject`` is ``finding``, ``secret`` or ``misconfiguration``."""

    text: str
    subject: str = "finding"
    level: Level | None = None
    epss: float | None = None
    words: tuple[str, ...] = ()

    def meets(self, finding: Finding) -> bool:
        """Whether a finding is one that the term speaks of."""
        if self.level is not None and finding.level.rank < self.level.rank:
            return False
        if self.epss is not None and (finding.epss is None or finding.epss.score < self.epss):
            return False
        return all(_SIMPLE[word](finding) for word in self.words)

    def could_meet(self, finding: Finding) -> bool:
        """Whether it would meet the term if what is not known of it were bad enough."""
        unknown = (self.level is not None and finding.level is Level.UNKNOWN) or (
            self.epss is not None and finding.epss is None
        )
        worst = (
            replace(finding, level=Level.CRITICAL) if finding.level is Level.UNKNOWN else finding
        )
        if self.epss is not None and finding.epss is None:
            worst = replace(worst, epss=Epss(1.0, 1.0))
        return unknown and self.subject == "finding" and self.meets(worst)


def parse_terms(texts: Iterable[str]) -> tuple[Term, ...]:
    """Read terms; each text may hold several, joined by commas.

    Raises:
        SpecError: a word that is none.
    """
    return tuple(_term(part.strip()) for text in texts for part in text.split(",") if part.strip())


def _term(text: str) -> Term:
    level, epss, words, subject = None, None, [], "finding"
    for word in text.lower().split("+"):
        score = _EPSS.fullmatch(word)
        if word in _LEVELS:
            level = _LEVELS[word]
        elif score:
            epss = float(score[1])
        elif word in _SIMPLE:
            words.append(word)
        elif word in _OTHERS and subject == "finding":
            subject = word
        else:
            raise _wrong(text, f"{word[:40]!r} is no word of it")
    if subject != "finding" and (words or epss is not None):
        raise _wrong(text, f"`{subject}` goes together with a level alone")
    return Term(text, subject, level, epss, tuple(words))


def judge(answer: Answer, terms: Sequence[Term]) -> Verdict:
    """Refused with what is wrong, else Unknown with what is not known, else Passed."""
    reasons = [*_refusals(answer, terms), *answer.refused]
    if reasons:
        return Refused(tuple(dict.fromkeys(reasons)))
    unknowns = [
        *_unscored(answer, terms),
        *(f"{each.what} {each.where}: {each.why}" for each in answer.unknowns),
    ]
    if not unknowns:
        return Passed()
    more = len(unknowns) - _SHOWN
    return Unknown((*unknowns[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])))


def _unscored(answer: Answer, terms: Sequence[Term]) -> Iterator[str]:
    """Open findings that could be above a threshold: nobody has said how grave they are."""
    for each in answer.findings:
        if each.is_open and any(term.could_meet(each) for term in terms):
            yield f"{each.id} in {each.package.purl}: its severity or EPSS score is not known"


def _refusals(answer: Answer, terms: Sequence[Term]) -> Iterator[str]:
    opened = [each for each in answer.findings if each.is_open]
    for each in opened:
        if each.malware:
            yield f"{each.id} in {each.package.purl}: malware"
    for term in terms:
        if term.subject == "finding":
            yield from (
                f"{each.id} in {each.package.purl}: {term.text}"
                for each in opened
                if term.meets(each)
            )
            continue
        least = term.level.rank if term.level else 0
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


def _wrong(text: str, why: str) -> SpecError:
    return SpecError(
        f"cannot use `--fail-on {text[:80]}`",
        why=why,
        mend=f"use {', '.join([*_LEVELS, *_SIMPLE, 'epss:0.1', *_OTHERS])}; join what must hold "
        "together with `+`, as in `high+fixable`",
    )

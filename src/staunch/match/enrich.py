"""Severity, KEV and EPSS of a finding, joined through its alias group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from staunch.match.candidates import Candidate
from staunch.match.keys import DISTRIBUTIONS
from staunch.model.advisory import Advisory, Feed
from staunch.model.finding import Cvss, Epss, Finding, Kev, Level
from staunch.ports import Advisories

_PREFIXES = ("CVSS:4.", "CVSS:3.1", "CVSS:3.0", "")  # the better first
_LATE = ("nvd",)  # sources that count last
_BANDS = ((9.0, Level.CRITICAL), (7.0, Level.HIGH), (4.0, Level.MEDIUM), (0.1, Level.LOW))
_REFERENCES = 20


class Enricher:
    """Looks the join up, each vulnerability once."""

    def __init__(self, db: Advisories, feeds: Sequence[Feed]) -> None:
        """Join against ``db``."""
        self._db = db
        self._records: dict[str, tuple[tuple[str, Advisory], ...]] = {}
        scores = next((each for each in feeds if each.format == "epss"), None)
        self._model = dict(scores.facts).get("model", "") if scores else ""
        self._day = scores.newest if scores else ""

    def enrich(self, finding: Finding, ranked: Sequence[Candidate]) -> Finding:
        """Add what is known; ``ranked`` are its candidates, most authoritative first."""
        names = (finding.id, *finding.aliases)
        records = [record for name in names for record in self._of(name)]
        records += [(each.stated.feed, each.stated.advisory) for each in ranked]
        told = [record for _, record in records if not record.withdrawn]
        scores = _scores(told)
        level, source = _level(finding, ranked, records, scores)
        cves = [name for name in names if name.startswith("CVE-")]
        malware = any(record.malware for record in told)
        if malware:
            level, source = Level.CRITICAL, "malware"
        return replace(
            finding,
            level=level,
            level_source=source,
            cvss=scores,
            epss=self._epss(cves),
            kev=self._kev(cves),
            malware=malware,
            summary=finding.summary
            or _first(each.stated.advisory.summary for each in ranked)
            or _first(each.summary for each in told),
            published=min((each.published for each in told if each.published), default=""),
            references=tuple(sorted({url for each in told for url in each.references}))[
                :_REFERENCES
            ],
        )

    def _of(self, name: str) -> tuple[tuple[str, Advisory], ...]:
        if name not in self._records:
            self._records[name] = self._db.records(name)
        return self._records[name]

    def _epss(self, cves: Iterable[str]) -> Epss | None:
        """The maximum over the group; absent is not nought."""
        found = [score for cve in cves if (score := self._db.epss(cve)) is not None]
        return Epss(*max(found), self._model, self._day) if found else None

    def _kev(self, cves: Iterable[str]) -> Kev | None:
        return min((kev for cve in cves if (kev := self._db.kev(cve))), default=None)


def _scores(records: Iterable[Advisory]) -> tuple[Cvss, ...]:
    """Every vector with its score, the better version first, then by source."""
    found = set()
    for record in records:
        for each in record.cvss:
            score = each.score or base_score(each.vector)
            if score is not None:
                found.add(replace(each, score=score))
    return tuple(sorted(found, key=_standing))


def _standing(each: Cvss) -> tuple[bool, int, float, str, str]:
    rank = next(n for n, prefix in enumerate(_PREFIXES) if each.vector.startswith(prefix))
    return each.source in _LATE, rank, -each.score, each.source, each.vector


@lru_cache(maxsize=1 << 14)
def base_score(vector: str) -> float | None:
    """The base score of a CVSS 2, 3 or 4 vector; None where it is none."""
    from cvss import CVSS2, CVSS3, CVSS4
    from cvss.exceptions import CVSSError

    kind = CVSS4 if vector.startswith("CVSS:4") else CVSS3 if vector.startswith("CVSS:3") else CVSS2
    try:
        return float(kind(vector).scores()[0])
    except (CVSSError, ArithmeticError, ValueError, KeyError):
        return None


def band(score: float) -> Level:
    """CVSS's word for a score ("Qualitative Severity Rating Scale")."""
    return next((level for least, level in _BANDS if score >= least), Level.NEGLIGIBLE)


def _level(
    finding: Finding,
    ranked: Sequence[Candidate],
    records: Sequence[tuple[str, Advisory]],
    scores: tuple[Cvss, ...],
) -> tuple[Level, str]:
    """The vendor's word for distribution packages; else CVSS (4 over 3.1); else any record's word."""
    if finding.package.purl.type in DISTRIBUTIONS:
        for each in ranked:
            level = each.stated.affected.level
            level = each.stated.advisory.level if level is Level.UNKNOWN else level
            if level is not Level.UNKNOWN:
                return level, each.stated.feed
    if scores:
        return band(scores[0].score), f"{scores[0].vector.partition('/')[0]} {scores[0].source}"
    words = [(record.level, feed) for feed, record in records if record.level is not Level.UNKNOWN]
    if words:
        return max(words, key=lambda each: (each[0].rank, each[1]))
    return Level.UNKNOWN, ""


def _first(texts: Iterable[str]) -> str:
    return next((each for each in texts if each), "")

"""One vulnerability's whole story, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from staunch.model.finding import Finding
from staunch.report.document import finding_document
from staunch.report.text import clean

__all__ = ["Record", "StoryView", "story_document", "story_text"]


@dataclass(frozen=True, slots=True)
class Record:
    """A record about the vulnerability: whom it names, and what it came to here."""

    feed: str
    record: str
    about: tuple[str, ...]
    total: int
    withdrawn: str
    outcome: str


@dataclass(frozen=True, slots=True)
class StoryView:
    """What is told: one sentence, then what it rests on. ``findings`` carry VEX and exceptions."""

    id: str
    names: tuple[str, ...]
    answer: str
    findings: tuple[Finding, ...]
    records: tuple[Record, ...]
    dropped: tuple[tuple[str, str, str, str, str], ...]  # package, feed, record, rule, why
    gaps: tuple[str, ...]


def story_text(story: StoryView) -> str:
    """The story as text."""
    lines = [f"{clean(story.id)}: {clean(story.answer)}"]
    others = [each for each in story.names if each != story.id]
    if others:
        lines.append(f"  also known as {clean(', '.join(others))}")
    for finding in story.findings:
        lines += ["", *_finding(finding)]
    if story.dropped:
        lines += ["", "Facts under a package's name that are not about it"]
        lines += [
            f"  {clean(package)}: {clean(feed)} {clean(record)}, by the rule {clean(rule)}: {clean(why)}"
            for package, feed, record, rule, why in story.dropped
        ]
    if story.records:
        lines += ["", "Records"]
        lines += [line for each in story.records for line in _record(each)]
    if story.gaps:
        lines += ["", "What this answer does not rest on"]
        lines += [f"  {clean(each)}" for each in story.gaps]
    return "\n".join(lines) + "\n"


def _finding(finding: Finding) -> Iterator[str]:
    package = finding.package
    yield f"{clean(package.name)} {clean(package.version)}: {finding.state.value}"
    fixed = clean(finding.fixed_version) or "no fix is known"
    yield f"  fixed in {fixed}" if finding.fixed_version else f"  {fixed}"
    if finding.disposition:
        yield f"  the vendor: {finding.disposition.value.replace('_', ' ')}"
    yield f"  severity {finding.level.value}" + (
        f", by {clean(finding.level_source)}" if finding.level_source else ""
    )
    for cvss in finding.cvss:
        yield f"  CVSS {cvss.score:g} {clean(cvss.vector)} by {clean(cvss.source)}"
    if finding.kev:
        yield f"  known to be exploited since {clean(finding.kev.added)} (KEV)"
    if finding.epss:
        yield f"  EPSS {finding.epss.score:.2%} ({clean(finding.epss.model)})"
    if finding.summary:
        yield f"  {clean(finding.summary)}"
    for each in finding.evidence:
        compared = (
            f": {clean(each.installed)} against {clean(each.compared)}" if each.compared else ""
        )
        note = f" ({clean(each.note)})" if each.note else ""
        yield f"  because {clean(each.feed)} {clean(each.record)}, rule {clean(each.rule)}{compared}{note}"
    for vex in finding.vex:
        standing = f"does not count: {clean(vex.refused)}" if vex.refused else "counts"
        yield (
            f"  VEX of {clean(vex.author or vex.source)}: {clean(vex.status)} {clean(vex.justification)}"
            f" {clean(vex.impact)} [{clean(vex.ground)}, {standing}]"
        )
    for risk in finding.exceptions:
        standing = f"does not count: {clean(risk.refused)}" if risk.refused else "counts"
        yield f"  accepted until {clean(risk.expires)} by {clean(risk.approver)}: {clean(risk.reason)} [{standing}]"


def _record(record: Record) -> Iterator[str]:
    withdrawn = f", withdrawn {clean(record.withdrawn)}" if record.withdrawn else ""
    yield f"  {clean(record.feed)} {clean(record.record)}{withdrawn}: {clean(record.outcome)}"
    if record.about:
        more = record.total - len(record.about)
        names = clean(", ".join(record.about), most=2000)
        yield f"    about {names}" + (f" and {more} more" if more > 0 else "")


def story_document(story: StoryView) -> dict[str, object]:
    """The story as ``staunch.dev/explain/v1``."""
    return {
        "schema": "staunch.dev/explain/v1",
        "id": story.id,
        "names": list(story.names),
        "answer": story.answer,
        "findings": [finding_document(each) for each in story.findings],
        "records": [
            {
                "feed": each.feed,
                "record": each.record,
                "about": list(each.about),
                "total": each.total,
                "withdrawn": each.withdrawn or None,
                "outcome": each.outcome,
            }
            for each in story.records
        ],
        "dropped": [_dropped(each) for each in story.dropped],
        "gaps": list(story.gaps),
    }


def _dropped(row: Sequence[str]) -> dict[str, str]:
    return dict(zip(("package", "feed", "record", "rule", "why"), row, strict=True))

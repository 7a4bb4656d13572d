"""The answer as ``scan --json`` gives it: ``staunch.dev/scan/v1`` (docs/api.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from staunch.model.answer import Answer, Exposure, Misconfiguration, Tally
from staunch.model.finding import Cvss, Finding, Level
from staunch.model.inventory import FoundPackage
from staunch.model.verdict import Passed, Refused, Unknown, Verdict
from staunch.report.plan import Task, plan

__all__ = ["SCHEMA", "document"]

SCHEMA = "staunch.dev/scan/v1"


def document(answer: Answer, verdict: Verdict) -> dict[str, object]:
    """The whole answer; lists keep the answer's order, nothing depends on the clock."""
    inventory = answer.inventory
    return {
        "schema": SCHEMA,
        "target": inventory.target,
        "digest": str(inventory.digest) if inventory.digest else None,
        "platform": str(inventory.platform) if inventory.platform else None,
        "distribution": asdict(inventory.distribution) if inventory.distribution else None,
        "layers": [str(each) for each in inventory.layers],
        "verdict": verdict_document(verdict),
        "summary": summary(answer),
        "plan": [_task(each) for each in plan(answer.findings)],
        "findings": [finding_document(each) for each in answer.findings],
        "packages": [_package(each) for each in inventory.packages],
        "unowned": None if inventory.unowned is None else list(inventory.unowned),
        "unowned_executables": None
        if inventory.unowned_executables is None
        else list(inventory.unowned_executables),
        "secrets": None if answer.secrets is None else [_exposure(each) for each in answer.secrets],
        "misconfigurations": None
        if answer.misconfigurations is None
        else [_misconfiguration(each) for each in answer.misconfigurations],
        "unknowns": [
            {"what": each.what, "where": each.where, "why": each.why} for each in answer.unknowns
        ],
        "refused": list(answer.refused),
        "feeds": [asdict(each) for each in answer.feeds],
        **({"since": answer.since} if answer.since else {}),
    }


def verdict_document(verdict: Verdict) -> dict[str, object]:
    """``passed``, ``refused`` or ``unknown``, with the reasons."""
    match verdict:
        case Passed():
            return {"result": "passed", "reasons": []}
        case Refused():
            return {"result": "refused", "reasons": list(verdict.reasons)}
        case Unknown():
            return {"result": "unknown", "reasons": list(verdict.reasons)}


def summary(answer: Answer) -> dict[str, object]:
    """The numbers, side by side."""
    return {
        "raw": tally(answer.raw),
        "after_vex": tally(answer.after_vex),
        "accepted": tally(answer.accepted),
        "open": tally(answer.open),
        "judged": tally(answer.judged),
        "under_investigation": len(answer.under_investigation),
        "unknowns": len(answer.unknowns),
        "packages": len(answer.inventory.packages),
        "secrets": _count(_grave(answer.secrets)),
        "misconfigurations": _count(answer.misconfigurations),
    }


def tally(counted: Tally) -> dict[str, int]:
    """One of the numbers, by level and kind."""
    return {
        "total": counted.total,
        **{level.value: number for level, number in counted.levels},
        "kev": counted.kev,
        "malware": counted.malware,
        "fixable": counted.fixable,
    }


def _grave(secrets: Sequence[Exposure] | None) -> Sequence[Exposure] | None:
    """Without those that were set down: published in packages and test suites."""
    if secrets is None:
        return None
    return [each for each in secrets if each.level is not Level.NEGLIGIBLE]


def _count(found: Sequence[object] | None) -> int | None:
    return None if found is None else len(found)


def finding_document(finding: Finding) -> dict[str, object]:
    """One finding."""
    package = finding.package
    return {
        "id": finding.id,
        "aliases": list(finding.aliases),
        "related": list(finding.related),
        "purl": str(package.purl),
        "package": package.name,
        "installed_version": package.version,
        "locations": [each.path for each in package.locations],
        "state": finding.state.value,
        "state_after_vex": finding.state_after_vex.value,
        "open": finding.is_open,
        "fixed_version": finding.fixed_version or None,
        "disposition": finding.disposition.value if finding.disposition else None,
        "severity": finding.level.value,
        "severity_source": finding.level_source or None,
        "cvss": _cvss(finding.cvss[0]) if finding.cvss else None,
        "cvss_all": [_cvss(each) for each in finding.cvss],
        "epss": asdict(finding.epss) if finding.epss else None,
        "kev": asdict(finding.kev) if finding.kev else None,
        "malware": finding.malware,
        "confidence": finding.confidence.value,
        "summary": finding.summary,
        "published": finding.published or None,
        "fix_published": finding.fix_published or None,
        "evidence": [asdict(each) for each in finding.evidence],
        "vex": [asdict(each) for each in finding.vex],
        "exceptions": [asdict(each) for each in finding.exceptions],
        "references": list(finding.references),
    }


def _cvss(cvss: Cvss) -> dict[str, object]:
    return {"vector": cvss.vector, "score": cvss.score, "source": cvss.source}


def _package(package: FoundPackage) -> dict[str, object]:
    layers = [each.layer for each in package.locations if each.layer is not None]
    return {
        "purl": str(package.purl),
        "name": package.name,
        "version": package.version,
        "locations": [each.path for each in package.locations],
        "layer": str(layers[0]) if layers else None,
        "owner": package.owner or None,
        "found_by": package.found_by,
        "architecture": package.architecture or None,
        "source": package.source or None,
        "source_version": package.source_version or None,
        "distribution": asdict(package.distribution) if package.distribution else None,
        "confidence": package.confidence.value,
        "known_by": package.known_by or None,
        "files": package.files,
        "facts": dict(package.facts),
    }


def _task(task: Task) -> dict[str, object]:
    return {
        "do": task.title,
        "kind": task.kind.value,
        "packages": list(task.packages),
        "installed_versions": list(task.installed),
        "version": task.version or None,
        "severity": task.level.value,
        "closes": list(task.ids),
        "findings": len(task.findings),
    }


def _exposure(each: Exposure) -> dict[str, object]:
    return {
        "path": each.path,
        "line": each.line or None,
        "rule": each.rule,
        "what": each.what,
        "hint": each.hint or None,
        "severity": each.level.value,
        "checked": each.checked or None,
        "layer": str(each.layer) if each.layer else None,
        "removed": each.removed,
    }


def _misconfiguration(each: Misconfiguration) -> dict[str, object]:
    return {
        "id": each.id,
        "title": each.title,
        "why": each.why,
        "mend": each.mend,
        "severity": each.level.value,
        "where": each.where or None,
    }

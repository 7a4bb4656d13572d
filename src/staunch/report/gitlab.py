"""The answer as GitLab's container scanning report (security report schemas, 15.0.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from staunch.model.answer import Answer
from staunch.model.finding import Finding, State
from staunch.report.text import clean

__all__ = ["write_gitlab"]

_VERSION = "15.0.2"
_SEVERITIES = {"negligible": "Info"}


def write_gitlab(answer: Answer, *, version: str, now: datetime) -> bytes:
    """The report, as JSON. What VEX or an exception sets aside is flagged, and stays in it.

    Args:
        answer: the answer.
        version: Staunch's.
        now: the format wants a time of the scan.
    """
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S")
    tool = {
        "id": "staunch",
        "name": "Staunch",
        "version": version,
        "vendor": {"name": "Staunch"},
    }
    report = {
        "version": _VERSION,
        "scan": {
            "analyzer": tool,
            "scanner": tool,
            "type": "container_scanning",
            "start_time": stamp,
            "end_time": stamp,
            "status": "success",
            "messages": list(_messages(answer)),
        },
        "vulnerabilities": [
            _vulnerability(answer, each)
            for each in answer.findings
            if each.state in (State.AFFECTED, State.UNDETERMINED)
        ],
        "remediations": [],
    }
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()


def _messages(answer: Answer) -> Iterator[dict[str, str]]:
    yield {
        "level": "info",
        "value": f"raw {answer.raw.total}, after VEX {answer.after_vex.total}, "
        f"accepted {answer.accepted.total}, open {answer.open.total}",
    }
    for reason in answer.refused:
        yield {"level": "warn", "value": clean(reason)}
    for each in answer.unknowns:
        yield {"level": "warn", "value": clean(f"not known: {each.what} {each.where}: {each.why}")}


def _vulnerability(answer: Answer, finding: Finding) -> dict[str, object]:
    package, system = finding.package, answer.inventory.distribution
    place = package.locations[0].path if package.locations else ""
    key = json.dumps([answer.inventory.target, finding.id, str(package.purl), place])
    fix = f"Upgrade {package.name} to {finding.fixed_version}." if finding.fixed_version else ""
    content: dict[str, object] = {
        "id": str(uuid5(NAMESPACE_URL, key)),
        "name": clean(finding.id, most=250),
        "description": clean(finding.summary, most=4000),
        "severity": _SEVERITIES.get(finding.level.value, finding.level.value.capitalize()),
        "identifiers": [_identifier(each) for each in (finding.id, *finding.aliases)],
        "location": {
            "dependency": {
                "package": {"name": clean(package.name)},
                "version": clean(package.version),
            },
            "operating_system": f"{system.id} {system.version}".strip() if system else "unknown",
            "image": clean(answer.inventory.target) or "unknown",
        },
    }
    if fix:
        content["solution"] = clean(fix, most=6000)
    links = [each for each in finding.references if each.startswith(("https://", "http://"))]
    if links:
        content["links"] = [{"url": clean(each, most=2000)} for each in links]
    flags = list(_flags(finding))
    if flags:
        content["flags"] = flags
    return content


def _identifier(id_: str) -> dict[str, str]:
    kind = "cve" if id_.startswith("CVE-") else "ghsa" if id_.startswith("GHSA-") else "staunch"
    url = {
        "cve": f"https://www.cve.org/CVERecord?id={clean(id_)}",
        "ghsa": f"https://github.com/advisories/{clean(id_)}",
    }.get(kind)
    return {
        "type": kind,
        "name": clean(id_),
        "value": clean(id_),
        **({"url": url} if url else {}),
    }


def _flags(finding: Finding) -> Iterator[dict[str, str]]:
    if finding.state_after_vex is not finding.state:
        note = next(note for note in finding.vex if not note.refused)
        yield _flag(f"VEX of {note.author or note.source}: {note.status} {note.justification}")
    exception = finding.accepted
    if exception:
        yield _flag(f"accepted until {exception.expires}: {exception.reason}")


def _flag(text: str) -> dict[str, str]:
    return {
        "type": "flagged-as-likely-false-positive",
        "origin": "staunch",
        "description": clean(text),
    }

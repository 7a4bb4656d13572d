"""The answer as SARIF 2.1.0 (OASIS standard, 27 March 2020), as code scanning services read it.

One rule for each vulnerability, kind of secret and setting; one result for each place. What VEX or an
exception sets aside stays a result with a suppression (3.27.23). What could not be found out is a
notification of the invocation (3.20.21).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

from staunch.formats import strict_json
from staunch.model.answer import Answer, Exposure, Misconfiguration
from staunch.model.digest import Digest
from staunch.model.finding import Finding, Level, State
from staunch.report.text import clean

__all__ = ["SARIF_SCHEMA", "write_sarif"]

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_URL = re.compile(
    r"https://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*)?"
)
_HOME = "https://github.com/staunch-dev/staunch"
_LEVELS = {
    Level.CRITICAL: "error",
    Level.HIGH: "error",
    Level.MEDIUM: "warning",
    Level.LOW: "note",
    Level.NEGLIGIBLE: "note",
    Level.UNKNOWN: "warning",
}
_SCORES = {  # where no CVSS is known: the middle of each level's range
    Level.CRITICAL: "9.5",
    Level.HIGH: "8.0",
    Level.MEDIUM: "5.5",
    Level.LOW: "2.0",
    Level.NEGLIGIBLE: "0.1",
}
_SHOWN = (State.AFFECTED, State.UNDETERMINED)


def write_sarif(answer: Answer, *, version: str) -> bytes:
    """The log, as JSON; ``version`` is Staunch's."""
    rules: dict[str, dict[str, object]] = {}
    results = [
        *_findings(answer, rules),
        *(_secret(each, rules) for each in answer.secrets or ()),
        *(_setting(each, rules) for each in answer.misconfigurations or ()),
    ]
    order = {id_: number for number, id_ in enumerate(sorted(rules))}
    for result in results:
        result["ruleIndex"] = order[str(result["ruleId"])]
    run: dict[str, object] = {
        "tool": {
            "driver": {
                "name": "Staunch",
                "version": version,
                "informationUri": _HOME,
                "rules": [rules[id_] for id_ in sorted(rules)],
            }
        },
        "automationDetails": {"id": f"staunch/{clean(answer.inventory.target)}"},
        "invocations": [
            {"executionSuccessful": True, "toolExecutionNotifications": _notifications(answer)}
        ],
        "results": results,
        "columnKind": "unicodeCodePoints",
        "properties": _properties(answer),
    }
    log = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return (json.dumps(log, indent=2, ensure_ascii=False) + "\n").encode()


def _properties(answer: Answer) -> dict[str, object]:
    numbers = {
        "raw": answer.raw.total,
        "afterVex": answer.after_vex.total,
        "accepted": answer.accepted.total,
        "open": answer.open.total,
        "unknowns": len(answer.unknowns),
    }
    digest = answer.inventory.digest
    return {**numbers, **({"imageDigest": str(digest)} if digest else {})}


def _notifications(answer: Answer) -> list[dict[str, object]]:
    told = [
        *(("error", each) for each in answer.refused),
        *(
            ("warning", f"not known: {each.what} {each.where}: {each.why}")
            for each in answer.unknowns
        ),
    ]
    return [{"level": level, "message": {"text": clean(text)}} for level, text in told]


def _findings(answer: Answer, rules: dict[str, dict[str, object]]) -> Iterator[dict[str, object]]:
    for finding in answer.findings:
        if finding.state not in _SHOWN:
            continue
        id_ = clean(finding.id)
        rules.setdefault(id_, _rule(finding))
        package = finding.package
        fix = f"upgrade to {finding.fixed_version}" if finding.fixed_version else "no fix is known"
        text = f"{id_} in {package.name} {package.version}: {fix}"
        result: dict[str, object] = {
            "ruleId": id_,
            "level": _LEVELS[finding.level],
            "message": {"text": clean(text)},
            "locations": [_location(each.path) for each in package.locations[:10]]
            or [_location(package.name)],
            "partialFingerprints": {"staunch/v1": _fingerprint(finding.id, str(package.purl))},
            "properties": {
                "purl": str(package.purl),
                "state": finding.state.value,
                "severity": finding.level.value,
                **({"fixedVersion": finding.fixed_version} if finding.fixed_version else {}),
            },
        }
        suppressions = _suppressions(finding)
        if suppressions:
            result["suppressions"] = suppressions
        yield result


def _suppressions(finding: Finding) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    if finding.state is State.AFFECTED and finding.state_after_vex is not State.AFFECTED:
        note = next(note for note in finding.vex if not note.refused)
        said = " ".join(filter(None, (note.status, note.justification, note.impact, note.author)))
        found.append(_suppression(f"VEX: {said}"))
    exception = finding.accepted
    if exception:
        found.append(
            _suppression(
                f"accepted until {exception.expires} by {exception.approver}: {exception.reason}"
            )
        )
    return found


def _suppression(why: str) -> dict[str, object]:
    return {"kind": "external", "status": "accepted", "justification": clean(why)}


def _rule(finding: Finding) -> dict[str, object]:
    score = f"{finding.cvss[0].score:.1f}" if finding.cvss else _SCORES.get(finding.level, "")
    link = next((each for each in finding.references if _URL.fullmatch(each)), "")
    text = clean(finding.summary) or f"{clean(finding.id)} in {clean(finding.package.name)}"
    return {
        "id": clean(finding.id),
        "shortDescription": {"text": text},
        **({"helpUri": link} if link else {}),
        "defaultConfiguration": {"level": _LEVELS[finding.level]},
        "properties": {
            "tags": ["security", "vulnerability", *(["exploited"] if finding.kev else [])],
            **({"security-severity": score} if score else {}),
        },
    }


def _secret(each: Exposure, rules: dict[str, dict[str, object]]) -> dict[str, object]:
    id_ = f"secret/{each.rule}"
    rules.setdefault(id_, _plain_rule(id_, f"The image holds {each.what}", each.level, "secret"))
    return {
        "ruleId": id_,
        "level": _LEVELS[each.level],
        "message": {"text": clean(f"{each.what} {each.hint}".strip())},
        "locations": [_location(each.path, each.line)],
        "partialFingerprints": {
            "staunch/v1": _fingerprint(each.rule, each.path, str(each.line), each.hint)
        },
    }


def _setting(each: Misconfiguration, rules: dict[str, dict[str, object]]) -> dict[str, object]:
    rules.setdefault(each.id, _plain_rule(each.id, each.title, each.level, "misconfiguration"))
    return {
        "ruleId": each.id,
        "level": _LEVELS[each.level],
        "message": {"text": clean(f"{each.title}: {each.why}. To mend it: {each.mend}")},
        "locations": [_location(each.where or "config")],
        "partialFingerprints": {"staunch/v1": _fingerprint(each.id, each.where)},
    }


def _plain_rule(id_: str, text: str, level: Level, tag: str) -> dict[str, object]:
    return {
        "id": id_,
        "shortDescription": {"text": clean(text)},
        "defaultConfiguration": {"level": _LEVELS[level]},
        "properties": {"tags": ["security", tag], "security-severity": _SCORES.get(level, "5.5")},
    }


def _location(path: str, line: int = 0) -> dict[str, object]:
    """Paths are relative to the image's root, as URIs (3.4.3)."""
    physical: dict[str, object] = {
        "artifactLocation": {"uri": quote(path.lstrip("/"), safe="/-._~", errors="replace")}
    }
    if line:
        physical["region"] = {"startLine": line}
    return {"physicalLocation": physical}


def _fingerprint(*parts: str) -> str:
    return Digest.of(strict_json.canonical(parts)).hex

"""The answer as CycloneDX 1.6: every component, and what is known of its vulnerabilities."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from uuid import NAMESPACE_URL, uuid5

from staunch.model.answer import Answer
from staunch.model.finding import Cvss, Finding, State, VexNote
from staunch.model.inventory import FoundPackage, Inventory

__all__ = ["write_cyclonedx"]

_ANALYSIS = {
    "not_affected": "not_affected",
    "fixed": "resolved",
    "affected": "exploitable",
    "under_investigation": "in_triage",
}
_JUSTIFICATIONS = {
    "component_not_present": "code_not_present",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "requires_environment",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
_SEVERITIES = {"negligible": "info"}
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_METHODS = (
    ("CVSS:4.0/", "CVSSv4"),
    ("CVSS:3.1/", "CVSSv31"),
    ("CVSS:3.0/", "CVSSv3"),
    ("", "CVSSv2"),
)
_STATES = {
    State.FIXED: "resolved",
    State.NOT_AFFECTED: "not_affected",
    State.UNDER_INVESTIGATION: "in_triage",
    State.UNDETERMINED: "in_triage",
}


def write_cyclonedx(answer: Answer, *, version: str) -> bytes:
    """The document, as JSON. Its serial number follows from its content, so equal answers are equal.

    Findings of every state are in it but those that no feed could answer: these are properties of
    the document (``staunch:unknown``), for CycloneDX has no word for them.
    """
    inventory = answer.inventory
    refs = _references(inventory)
    content: dict[str, object] = {
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "staunch", "version": version}]
            },
            "component": _subject(inventory),
            "properties": [*_numbers(answer), *_unknowns(answer)],
        },
        "components": [_component(each, refs) for each in inventory.packages],
        "vulnerabilities": list(_vulnerabilities(answer, refs)),
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _references(inventory: Inventory) -> dict[int, str]:
    """A reference for each package instance: its purl, numbered where one stands twice."""
    refs: dict[int, str] = {}
    seen: dict[str, int] = {}
    for package in inventory.packages:
        purl = str(package.purl)
        seen[purl] = seen.get(purl, 0) + 1
        refs[id(package)] = purl if seen[purl] == 1 else f"{purl}#{seen[purl]}"
    return refs


def _subject(inventory: Inventory) -> dict[str, object]:
    digest = str(inventory.digest) if inventory.digest else ""
    return {
        "type": "container" if digest else "application",
        "bom-ref": "target",
        "name": inventory.target,
        **({"version": digest} if digest else {}),
    }


def _component(package: FoundPackage, refs: Mapping[int, str]) -> dict[str, object]:
    kind = "machine-learning-model" if package.found_by == "model" else "library"
    occurrences = [{"location": each.path} for each in package.locations]
    properties = _property("staunch:found-by", package.found_by)
    if package.owner:
        properties += _property("staunch:owner", package.owner)
    return {
        "type": kind,
        "bom-ref": refs[id(package)],
        "name": package.name,
        **({"version": package.version} if package.version else {}),
        "purl": str(package.purl),
        **({"evidence": {"occurrences": occurrences}} if occurrences else {}),
        "properties": properties,
    }


def _property(name: str, value: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value}]


def _numbers(answer: Answer) -> Iterator[dict[str, str]]:
    for name, number in (
        ("raw", answer.raw.total),
        ("after-vex", answer.after_vex.total),
        ("accepted", answer.accepted.total),
        ("open", answer.open.total),
        ("unknowns", len(answer.unknowns)),
    ):
        yield from _property(f"staunch:{name}", str(number))


def _unknowns(answer: Answer) -> Iterator[dict[str, str]]:
    for each in answer.unknowns:
        yield from _property("staunch:unknown", f"{each.what} {each.where}: {each.why}")


def _vulnerabilities(answer: Answer, refs: Mapping[int, str]) -> Iterator[dict[str, object]]:
    by_purl = {str(each.purl): refs[id(each)] for each in reversed(answer.inventory.packages)}
    for number, finding in enumerate(answer.findings):
        if finding.state is State.UNASSESSED:
            continue
        ref = refs.get(id(finding.package)) or by_purl.get(str(finding.package.purl), "target")
        yield _vulnerability(finding, ref, number)


def _vulnerability(finding: Finding, ref: str, number: int) -> dict[str, object]:
    references = [
        {"id": each, "source": {"name": each.partition("-")[0]}} for each in finding.aliases
    ]
    note = next((each for each in finding.vex if not each.refused), None)
    ratings: list[dict[str, object]] = [_rating(each) for each in finding.cvss]
    ratings.append(
        {
            "severity": _SEVERITIES.get(finding.level.value, finding.level.value),
            "source": {"name": finding.level_source or "staunch"},
        }
    )
    content: dict[str, object] = {
        "bom-ref": f"finding-{number}",
        "id": finding.id,
        "source": {"name": finding.evidence[0].feed if finding.evidence else "staunch"},
    }
    if references:
        content["references"] = references
    content["ratings"] = ratings
    if finding.summary:
        content["description"] = finding.summary
    if finding.fixed_version:
        content["recommendation"] = f"upgrade {finding.package.name} to {finding.fixed_version}"
    if _TIME.fullmatch(finding.published):
        content["published"] = finding.published
    analysis = _analysis(finding, note)
    if analysis:
        content["analysis"] = analysis
    content["affects"] = [{"ref": ref}]
    exception = finding.accepted
    properties = _property("staunch:state", finding.state.value)
    if finding.kev:
        properties += _property("staunch:kev", finding.kev.added)
    if finding.epss:
        properties += _property("staunch:epss", f"{finding.epss.score:g}")
    if exception:
        properties += _property(
            "staunch:accepted",
            f"until {exception.expires} by {exception.approver}: {exception.reason}",
        )
    content["properties"] = properties
    return content


def _rating(cvss: Cvss) -> dict[str, object]:
    method = next(method for prefix, method in _METHODS if cvss.vector.startswith(prefix))
    return {
        "source": {"name": cvss.source},
        "score": cvss.score,
        "method": method,
        "vector": cvss.vector,
    }


def _analysis(finding: Finding, note: VexNote | None) -> dict[str, object]:
    if finding.state in (State.FIXED, State.NOT_AFFECTED) or note is None:
        state = _STATES.get(finding.state)
        return {"state": state} if state else {}
    justification = _JUSTIFICATIONS.get(note.justification)
    return {
        "state": _ANALYSIS[note.status],
        **(
            {"justification": justification}
            if justification and note.status == "not_affected"
            else {}
        ),
        **({"detail": note.impact} if note.impact else {}),
    }

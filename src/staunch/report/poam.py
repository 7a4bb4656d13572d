"""Open and accepted findings as rows of FedRAMP's Plan of Action and Milestones (template of 2021).

The columns are the worksheet "Open POA&M Items", in its order and its words. What an organisation
alone can say (resources, milestones, approvals of deviations) is left for it to fill in.
"""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

from staunch.model.answer import Answer
from staunch.model.digest import Digest
from staunch.model.finding import Finding, Level, State
from staunch.report.text import clean

__all__ = ["COLUMNS", "write_poam"]

COLUMNS = (
    "POAM ID",
    "Controls",
    "Weakness Name",
    "Weakness Description",
    "Weakness Detector Source",
    "Weakness Source Identifier",
    "Asset Identifier",
    "Point of Contact",
    "Resources Required",
    "Overall Remediation Plan",
    "Original Detection Date",
    "Scheduled Completion Date",
    "Planned Milestones",
    "Milestone Changes",
    "Status Date",
    "Vendor Dependency",
    "Last Vendor Check-in Date",
    "Vendor Dependent Product Name",
    "Original Risk Rating",
    "Adjusted Risk Rating",
    "Risk Adjustment",
    "False Positive",
    "Operational Requirement",
    "Deviation Rationale",
    "Supporting Documents",
    "Comments",
    "Auto-Approve",
    "Binding Operational Directive 22-01 tracking",
    "Binding Operational Directive 22-01 Due Date",
    "CVE",
    "Service Name",
)
_RATINGS = {
    Level.CRITICAL: "High",
    Level.HIGH: "High",
    Level.MEDIUM: "Moderate",
    Level.LOW: "Low",
    Level.NEGLIGIBLE: "Low",
    Level.UNKNOWN: "Moderate",  # nobody has said that it is less
}
_DAYS = {"High": 30, "Moderate": 90, "Low": 180}  # FedRAMP's times for scan findings
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_poam(answer: Answer, *, today: date, service: str = "") -> bytes:
    """Rows as CSV (RFC 4180), in the order of priority, with a heading.

    Findings that VEX with a witness or a vendor sets aside are no weaknesses and have no row; a
    person's judgement is a deviation request, so it has one. A cell that a spreadsheet would take
    for a formula begins with an apostrophe.

    Args:
        answer: the answer.
        today: the detection date, and the first day of FedRAMP's times.
        service: the name of the service, for the last column.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for finding in answer.findings:
        if finding.state is State.AFFECTED and _is_weakness(finding):
            row = _row(answer, finding, today, service)
            writer.writerow([_cell(row.get(name, "")) for name in COLUMNS])
    return text.getvalue().encode()


def _is_weakness(finding: Finding) -> bool:
    if finding.state_after_vex is State.AFFECTED:
        return True
    return next(note for note in finding.vex if not note.refused).ground == "judgement"


def _row(answer: Answer, finding: Finding, today: date, service: str) -> dict[str, str]:
    package, exception = finding.package, finding.accepted
    rating = _RATINGS[finding.level]
    due = today + timedelta(days=_DAYS[rating])
    image = str(answer.inventory.digest or "")
    fixed = finding.fixed_version
    disposition = finding.disposition.value.replace("_", " ") if finding.disposition else ""
    judged = finding.state_after_vex is not State.AFFECTED
    note = next((each for each in finding.vex if not each.refused), None)
    return {
        "POAM ID": "V-" + Digest.of(f"{image} {finding.id} {package.purl}".encode()).hex[:12],
        "Controls": "RA-5, SI-2",
        "Weakness Name": f"{finding.id} in {package.name}",
        "Weakness Description": finding.summary or f"{finding.id} affects {package.purl}",
        "Weakness Detector Source": "Staunch",
        "Weakness Source Identifier": finding.id,
        "Asset Identifier": f"{answer.inventory.target} {image}".strip(),
        "Point of Contact": exception.owner if exception else "",
        "Overall Remediation Plan": f"rebuild with {package.source or package.name} {fixed}"
        if fixed
        else f"wait for the vendor's fix{f' ({disposition})' if disposition else ''}",
        "Original Detection Date": today.isoformat(),
        "Scheduled Completion Date": exception.expires if exception else due.isoformat(),
        "Status Date": today.isoformat(),
        "Vendor Dependency": "No" if fixed else "Yes",
        "Vendor Dependent Product Name": "" if fixed else package.source or package.name,
        "Original Risk Rating": rating,
        "Adjusted Risk Rating": "N/A",
        "Risk Adjustment": "No",
        "False Positive": "Pending" if judged else "No",
        "Operational Requirement": "Pending" if exception else "No",
        "Deviation Rationale": exception.reason
        if exception
        else (note.impact or note.justification if note and judged else ""),
        "Comments": f"approved by {exception.approver}" if exception else "",
        "Auto-Approve": "No",
        "Binding Operational Directive 22-01 tracking": "Yes" if finding.kev else "No",
        "Binding Operational Directive 22-01 Due Date": finding.kev.due if finding.kev else "",
        "CVE": ", ".join(
            each for each in (finding.id, *finding.aliases) if each.startswith("CVE-")
        ),
        "Service Name": service,
    }


def _cell(text: str) -> str:
    shown = clean(text, most=2000)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown

"""The inventory as GitHub's dependency snapshot (REST API, "Dependency submission").

For findings in GitHub's code scanning there is SARIF; this is what makes the packages of an image
known to the dependency graph.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from staunch.model.answer import Answer
from staunch.report.text import clean

__all__ = ["write_github"]

_HOME = "https://github.com/staunch-dev/staunch"


def write_github(
    answer: Answer, *, version: str, now: datetime, environment: Mapping[str, str]
) -> bytes:
    """The snapshot, as JSON.

    Args:
        answer: the answer; its numbers stand in ``metadata``.
        version: Staunch's.
        now: when it was scanned.
        environment: ``GITHUB_SHA``, ``GITHUB_REF``, ``GITHUB_RUN_ID``, ``GITHUB_WORKFLOW`` and
            ``GITHUB_JOB`` as GitHub Actions sets them; what is missing is left empty.
    """
    workflow, job = environment.get("GITHUB_WORKFLOW", ""), environment.get("GITHUB_JOB", "")
    target = clean(answer.inventory.target)
    resolved: dict[str, object] = {
        str(each.purl): {
            "package_url": str(each.purl),
            "relationship": "direct",
            "scope": "runtime",
        }
        for each in answer.inventory.packages
        if each.version
    }
    snapshot = {
        "version": 0,
        "job": {
            "id": environment.get("GITHUB_RUN_ID", ""),
            "correlator": " ".join(filter(None, (workflow, job, target))),
        },
        "sha": environment.get("GITHUB_SHA", ""),
        "ref": environment.get("GITHUB_REF", ""),
        "detector": {"name": "staunch", "version": version, "url": _HOME},
        "metadata": {
            "raw": answer.raw.total,
            "after_vex": answer.after_vex.total,
            "accepted": answer.accepted.total,
            "open": answer.open.total,
            "unknowns": len(answer.unknowns),
        },
        "scanned": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "manifests": {target: {"name": target, "resolved": resolved}},
    }
    return (json.dumps(snapshot, indent=2, ensure_ascii=False) + "\n").encode()

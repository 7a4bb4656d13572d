"""CSAF VEX documents of one component, in Red Hat's form."""

from __future__ import annotations

import json
from typing import Any


def document(
    *,
    cve: str = "CVE-2026-0001",
    component: str = "curl-0:7.76.1-30.el9.x86_64",
    purl: str = "pkg:rpm/redhat/curl@7.76.1-30.el9?arch=x86_64",
    cpe: str = "cpe:/o:redhat:enterprise_linux:9::baseos",
    word: str = "fixed",
    status: dict[str, list[str]] | None = None,
    remediation: tuple[str, str] = ("", ""),
    branches: list[Any] | None = None,
) -> bytes:
    full = f"RHEL9:{component}"
    helper = {"purl": purl} if purl else {}
    products = [
        {
            "category": "product_name",
            "product": {"product_id": "RHEL9", "product_identification_helper": {"cpe": cpe}},
        },
        {
            "category": "product_version",
            "product": {"product_id": component, "product_identification_helper": helper},
        },
    ]
    relationship = {
        "category": "default_component_of", "full_product_name": {"product_id": full},
        "product_reference": component, "relates_to_product_reference": "RHEL9",
    }  # fmt: skip
    category, details = remediation
    remediations = (
        [{"category": category, "details": details, "product_ids": [full]}] if category else []
    )
    return json.dumps({
        "document": {
            "category": "csaf_vex", "aggregate_severity": {"text": "Moderate"},
            "tracking": {"id": cve, "current_release_date": "2026-11-20T00:00:00+00:00"},
        },
        "product_tree": {"branches": branches or products, "relationships": [relationship]},
        "vulnerabilities": [{"cve": cve, "title": "made for a test", "product_status": status or {word: [full]}, "remediations": remediations}],
    }).encode()  # fmt: skip

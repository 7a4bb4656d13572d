"""VEX in CycloneDX documents."""

from __future__ import annotations

import json

import pytest

from staunch.errors import UntrustedError
from staunch.formats.cyclonedx_vex import is_cyclonedx, parse_cyclonedx_vex
from tests.support.findings import IMAGE

SERIAL = "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79"


def document(*vulnerabilities: dict[str, object], **more: object) -> bytes:
    return json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": SERIAL,
            "metadata": {
                "timestamp": "2026-01-01T00:00:00Z",
                "authors": [{"name": "Ann"}, {"name": "Bob"}],
                "component": {
                    "type": "container",
                    "bom-ref": "image",
                    "name": "registry.example.org/app",
                    "version": str(IMAGE),
                },
            },
            "components": [
                {
                    "type": "library",
                    "bom-ref": "a",
                    "name": "zlib1g",
                    "purl": "pkg:deb/debian/zlib1g@1",
                    "components": [
                        {"type": "file", "bom-ref": "b", "name": "b", "purl": "pkg:pypi/b@2"}
                    ],
                }
            ],
            "vulnerabilities": vulnerabilities,
            **more,
        }
    ).encode()


def vulnerability(**more: object) -> dict[str, object]:
    return {
        "id": "CVE-2024-0001",
        "references": [{"id": "GHSA-mq29-j5xf-cjwr", "source": {"name": "GHSA"}}],
        "analysis": {
            "state": "not_affected",
            "justification": "code_not_present",
            "detail": "minizip is not built",
        },
        "affects": [{"ref": "a"}],
        **more,
    }


def test_reads_a_statement_about_a_component_inside_the_subject() -> None:
    found = parse_cyclonedx_vex(document(vulnerability()), source="x.cdx.json")
    assert not found.faults
    (statement,) = found.statements
    assert statement.status == "not_affected"
    assert statement.justification == "vulnerable_code_not_present"
    assert statement.impact == "CycloneDX: code_not_present; minizip is not built"
    assert statement.aliases == ("GHSA-mq29-j5xf-cjwr",)
    assert statement.author == "Ann, Bob"
    (product,) = statement.products
    assert product.named.digest == IMAGE.hex
    assert str(product.components[0].purls[0]) == "pkg:deb/debian/zlib1g@1"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("resolved", "fixed"),
        ("resolved_with_pedigree", "fixed"),
        ("exploitable", "affected"),
        ("in_triage", "under_investigation"),
        ("false_positive", "not_affected"),
        ("not_affected", "not_affected"),
    ],
)
def test_states_are_translated(state: str, status: str) -> None:
    data = document(vulnerability(analysis={"state": state}))
    assert parse_cyclonedx_vex(data, source="x").statements[0].status == status


def test_nested_components_and_links_to_other_documents_are_found() -> None:
    link = "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg%3Apypi%2Fc%403"
    data = document(vulnerability(affects=[{"ref": "b"}, {"ref": link}, {"ref": "image"}]))
    (statement,) = parse_cyclonedx_vex(data, source="x").statements
    inside, linked, whole = statement.products
    assert str(inside.components[0].purls[0]) == "pkg:pypi/b@2"
    assert str(linked.named.purls[0]) == "pkg:pypi/c@3"
    assert not whole.components
    assert whole.named.digest == IMAGE.hex


def test_without_an_analysis_nothing_is_said() -> None:
    data = document({"id": "CVE-2024-0001", "affects": [{"ref": "a"}]})
    found = parse_cyclonedx_vex(data, source="x")
    assert not found.statements
    assert not found.faults


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"affects": [{"ref": "nobody"}]}, "'nobody' names no component"),
        ({"affects": []}, "1 to 1000000 items"),
        ({"affects": [{"ref": "a", "versions": [{"range": "vers:deb/<2"}]}]}, "are not read"),
        ({"id": "../x"}, "no id of a vulnerability"),
        ({"analysis": {"state": "fine"}}, "analysis.state"),
        ({"analysis": {"state": "not_affected", "justification": "luck"}}, "'luck' is none of"),
    ],
)
def test_a_bad_statement_is_named_and_not_used(more: dict[str, object], why: str) -> None:
    found = parse_cyclonedx_vex(document(vulnerability(**more)), source="x")
    assert not found.statements
    assert why in found.faults[0]


def test_what_is_no_cyclonedx_is_refused() -> None:
    assert not is_cyclonedx(b"{}")
    with pytest.raises(UntrustedError, match="cannot use the VEX document x") as caught:
        parse_cyclonedx_vex(b'{"bomFormat": "SPDX"}', source="x")
    assert "wanted 'CycloneDX', got 'SPDX'" in caught.value.why

"""CSAF documents as VEX: Red Hat's real ones, and those of others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.errors import UntrustedError
from staunch.formats.csaf_vex import is_csaf, parse_csaf_vex
from staunch.match.vex import Target, apply_vex
from staunch.model.finding import State
from staunch.model.inventory import Distribution, FoundPackage
from staunch.model.purl import Purl
from tests.support.findings import IMAGE, finding, wheel

DATA = Path(__file__).parent.parent / "data" / "vuln" / "redhat-csaf" / "vex"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.name)
def test_reads_every_real_document(path: Path) -> None:
    data = path.read_bytes()
    assert is_csaf(data)
    document = parse_csaf_vex(data, source=path.name)
    assert not document.faults
    assert document.author == "Red Hat Product Security"
    told = json.loads(data)["vulnerabilities"][0]["product_status"]
    said = sum(len(each.products) for each in document.statements)
    assert said == len({(word, each) for word, names in told.items() for each in names})


def test_a_real_statement_applies_on_its_platform_alone() -> None:
    """CVE-2023-4154: samba of RHEL 8 and 9 does not hold the code of an AD domain controller."""
    data = (DATA / "cve-2023-4154.json").read_bytes()
    document = parse_csaf_vex(data, source="x")
    version = "4.18.6-1.el9"
    purl = Purl.make("rpm", "redhat", "samba-krb5-printing", version, arch="x86_64")
    package = FoundPackage(purl, purl.name, version, "rpmdb", source="samba")
    found = [finding("CVE-2023-4154", package)]
    for release, cleared in (("9.4", True), ("10.0", False), ("5.11", False)):
        target = Target(frozenset({IMAGE}), distribution=Distribution("rhel", release))
        (after,) = apply_vex(found, document.statements, target, [package], now=NOW)
        assert (after.state_after_vex is State.NOT_AFFECTED) is cleared, release


def other(**status: object) -> bytes:
    return json.dumps(
        {
            "document": {
                "category": "csaf_vex",
                "csaf_version": "2.0",
                "publisher": {"name": "Example"},
                "tracking": {"id": "EX-1", "current_release_date": "2026-01-01T00:00:00Z"},
            },
            "product_tree": {
                "full_product_names": [
                    {
                        "name": "torch",
                        "product_id": "P1",
                        "product_identification_helper": {"purl": "pkg:pypi/torch@1.0"},
                    },
                    {"name": "other", "product_id": "P2"},
                ]
            },
            "vulnerabilities": [
                {
                    "cve": "CVE-2026-0001",
                    "product_status": status or {"known_not_affected": ["P1", "P2"]},
                    "flags": [{"label": "vulnerable_code_not_present", "product_ids": ["P1"]}],
                    "threats": [
                        {"category": "impact", "details": "not built", "product_ids": ["P1"]}
                    ],
                }
            ],
        }
    ).encode()


def test_products_of_other_publishers_by_their_purl() -> None:
    document = parse_csaf_vex(other(), source="x")
    with_flag, without = document.statements
    assert (with_flag.justification, with_flag.impact) == (
        "vulnerable_code_not_present",
        "not built",
    )
    assert not without.products[0].named.purls
    package = wheel("torch")
    (after,) = apply_vex([finding("CVE-2026-0001", package)], document.statements, Target(), [package], now=NOW)  # fmt: skip
    assert after.state_after_vex is State.NOT_AFFECTED
    assert len(after.vex) == 1


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("fixed", "fixed"),
        ("first_fixed", "fixed"),
        ("known_affected", "affected"),
        ("last_affected", "affected"),
        ("under_investigation", "under_investigation"),
    ],
)
def test_statuses(word: str, status: str) -> None:
    (statement,) = parse_csaf_vex(other(**{word: ["P1"]}), source="x").statements
    assert statement.status == status
    assert not statement.justification


def test_a_product_that_is_not_described_is_a_fault() -> None:
    document = parse_csaf_vex(other(fixed=["P9"]), source="x")
    assert not document.statements
    assert "vulnerabilities[0]: product 'P9' is not in its tree" in document.faults[0]


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"document": {"category": "csaf_vex"}}', b"{"])
def test_what_is_no_csaf_is_refused(data: bytes) -> None:
    with pytest.raises(UntrustedError):
        parse_csaf_vex(data, source="x")

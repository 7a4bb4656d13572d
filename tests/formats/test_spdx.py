"""formats/spdx.py: documents that the official library reads and finds no fault with."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import SpecError, UntrustedError
from staunch.formats.spdx import (
    ExternalRef,
    ExtractedLicence,
    Relationship,
    SpdxDocument,
    SpdxPackage,
    element_id,
    package_purls,
    write_spdx,
)
from tests.support.spdx import faults

CREATED = datetime(2026, 11, 1, 12, tzinfo=UTC)
A, B = element_id("deb", "a"), element_id("deb", "b")


def _document(*packages: SpdxPackage, **more: object) -> SpdxDocument:
    values: dict[str, object] = {
        "name": "demo",
        "namespace": "https://example.org/demo/1",
        "created": CREATED,
        "creators": ("Tool: staunch-1",),
        "packages": packages or (SpdxPackage(A, "a"),),
        "relationships": (Relationship("SPDXRef-DOCUMENT", "DESCRIBES", A),),
    }
    return SpdxDocument(**{**values, **more})  # type: ignore[arg-type]


FULL = _document(
    SpdxPackage(
        B,
        "b",
        version="1:2.0-1",
        file_name="b_2.0-1_amd64.deb",
        supplier="Person: B (b@example.org)",
        homepage="https://example.org/",
        summary="Does b",
        licence_declared="MIT AND LicenseRef-x",
        source_info="built package from: b 1",
        comment="one; two",
        purpose="LIBRARY",
        checksums=(("SHA256", "0" * 64),),
        refs=(ExternalRef("PACKAGE-MANAGER", "purl", "pkg:deb/debian/b@1"),),
    ),
    SpdxPackage(A, "a", refs=(ExternalRef("PACKAGE-MANAGER", "purl", "pkg:pypi/a@1"), ExternalRef("OTHER", "x", "y"))),
    relationships=(Relationship("SPDXRef-DOCUMENT", "DESCRIBES", A), Relationship(A, "CONTAINS", B)),
    licences=(ExtractedLicence("LicenseRef-x", "text"),),
    comment="a comment",
)  # fmt: skip


def test_the_official_validator_accepts_it() -> None:
    assert faults(write_spdx(_document())) == []
    assert faults(write_spdx(FULL)) == []


def test_the_validator_would_tell() -> None:
    broken = write_spdx(FULL).replace(b"LicenseRef-x", b"LicenseRef-y", 1)
    assert faults(broken)


def test_bytes_do_not_depend_on_order_or_zone() -> None:
    turned = _document(
        *reversed(FULL.packages),
        relationships=tuple(reversed(FULL.relationships)) * 2,
        licences=FULL.licences,
        comment=FULL.comment,
        created=CREATED.astimezone(timezone(timedelta(hours=5))),
    )
    assert write_spdx(turned) == write_spdx(FULL)
    assert json.loads(write_spdx(FULL))["creationInfo"]["created"] == "2026-11-01T12:00:00Z"


def test_purls() -> None:
    assert package_purls(write_spdx(FULL)) == ("pkg:deb/debian/b@1", "pkg:pypi/a@1")


@pytest.mark.parametrize(
    "document",
    [
        _document(SpdxPackage("SPDXRef-a b", "a")),
        _document(SpdxPackage(A, "a"), SpdxPackage(A, "b")),
        _document(SpdxPackage("SPDXRef-DOCUMENT", "a")),
        _document(SpdxPackage(B, "b")),
    ],
)
def test_a_document_that_hangs_in_the_air(document: SpdxDocument) -> None:
    with pytest.raises(SpecError, match="the SBOM cannot be written"):
        write_spdx(document)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"[" * 100_000, b'{"spdxVersion":"SPDX-3.0"}', b"\xff",
     b'{"spdxVersion":"SPDX-2.3","packages":[1]}', b'{"spdxVersion":"SPDX-2.3","packages":{}}',
     b'{"spdxVersion":"SPDX-2.3","packages":[{"externalRefs":[1]}]}'],
)  # fmt: skip
def test_no_document(data: bytes) -> None:
    with pytest.raises(UntrustedError, match="the SBOM cannot be read"):
        package_purls(data)


@settings(max_examples=50)
@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_identifiers_differ(one: list[str], other: list[str]) -> None:
    """Clause 7.2: `SPDXRef-[idstring]`, letters, numbers, `.` and `-`, unique in the document."""
    first, second = element_id("deb", *one), element_id("deb", *other)
    assert write_spdx(_document(SpdxPackage(first, "a"), relationships=()))
    if "".join(one).isalnum() and "".join(other).isalnum() and len(one) == len(other) == 1:
        assert (first == second) == (one == other)

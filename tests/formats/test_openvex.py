"""OpenVEX: real documents, round trips, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import StaunchError, UntrustedError
from staunch.formats.openvex import document_id, named, parse_openvex, write_openvex
from staunch.model.vex import Look, Product, VexDocument, VexStatement, Witness
from tests.support.findings import IMAGE

DATA = Path(__file__).parent.parent / "data" / "vuln" / "openvex"
REAL = sorted((DATA / "vexhub").glob("*.json")) + sorted((DATA / "examples").glob("*.json"))


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_reads_every_real_document(path: Path) -> None:
    document = parse_openvex(path.read_bytes(), source=path.name)
    told = json.loads(path.read_bytes())["statements"]
    assert len(document.statements) + len(document.faults) == len(told)
    assert not document.faults
    for statement in document.statements:
        assert statement.products
        assert all(product.named.purls for product in statement.products)


def test_a_statement_has_the_words_of_its_document() -> None:
    data = (DATA / "examples" / "go-vex__v0.2.0.json").read_bytes()
    document = parse_openvex(data, source="x")
    first = document.statements[0]
    assert (first.vulnerability, first.status) == ("CVE-2023-1255", "fixed")
    assert first.timestamp == "2023-07-17T18:28:47.696004345-06:00"
    assert str(first.products[0].named.purls[0]).startswith("pkg:oci/alpine@sha256:124c7d27")
    assert [str(each.purls[0]) for each in first.products[0].components] == [
        "pkg:apk/alpine/libssl3@3.0.8-r3",
        "pkg:apk/alpine/libcrypto3@3.0.8-r3",
    ]


def test_version_001_has_texts_for_vulnerability_and_products() -> None:
    data = (DATA / "examples" / "go-vex__v0.0.1-noversion.json").read_bytes()
    statement = parse_openvex(data, source="x").statements[0]
    assert statement.vulnerability == "CVE-2023-12345"
    assert len(statement.products) == 2


WITNESS = Witness(
    "zlib-minizip",
    str(IMAGE),
    (Look("file", "usr/lib/*/libminizip.so*", searched=12),),
    ("https://example.org/zlib",),
)


def statement(**more: object) -> VexStatement:
    return VexStatement(
        **{  # type: ignore[arg-type]  # fields by name
            "vulnerability": "CVE-2023-45853",
            "status": "not_affected",
            "products": (
                Product(
                    named(f"pkg:oci/app@{IMAGE}"),
                    (named("pkg:deb/debian/zlib1g@1:1.3?arch=amd64"),),
                ),
            ),
            "aliases": ("GHSA-mq29-j5xf-cjwr",),
            "justification": "vulnerable_code_not_present",
            "impact": "minizip is not in the image",
            "timestamp": "2026-01-01T00:00:00Z",
            **more,
        }
    )


@pytest.mark.parametrize(
    "given_",
    [
        statement(witness=WITNESS),
        statement(judgement=True, expires="2027-01-01T00:00:00Z"),
        statement(status="affected", action="upgrade", justification=""),
    ],
)
def test_what_is_written_is_read_again(given_: VexStatement) -> None:
    document = VexDocument("https://x/1", "staunch", "2026-01-01T00:00:00Z", (given_,))
    data = write_openvex(document)
    read = parse_openvex(data, source="")
    (found,) = read.statements
    assert (found.witness, found.judgement, found.expires) == (
        given_.witness,
        given_.judgement,
        given_.expires,
    )
    assert (found.products, found.aliases, found.impact) == (
        given_.products,
        given_.aliases,
        given_.impact,
    )
    assert write_openvex(document) == data


def test_equal_statements_have_equal_ids() -> None:
    assert document_id((statement(),)) == document_id((statement(),))
    assert document_id((statement(),)) != document_id((statement(impact="x"),))


def document(**statement_: object) -> bytes:
    fields = {
        "vulnerability": {"name": "CVE-2024-0001"},
        "products": [{"@id": "pkg:deb/debian/a@1"}],
        "status": "fixed",
        **statement_,
    }
    return json.dumps(
        {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "author": "a", "timestamp": "2026-01-01T00:00:00Z", "statements": [fields]}
    ).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("statement_", "why"),
    [
        ({"status": "not_affected"}, "needs a justification or an impact statement"),
        ({"status": "not_affected", "justification": "trust_me"}, "'trust_me' is none of"),
        ({"status": "harmless"}, "statements[0].status"),
        ({"vulnerability": {"name": "../../etc/passwd"}}, "no id of a vulnerability"),
        ({"vulnerability": {"name": "<script>"}}, "no id of a vulnerability"),
        ({"products": []}, "1 to 20000 items"),
        ({"products": [{}]}, "neither `@id` nor an identifier"),
        ({"timestamp": "yesterday"}, "no time as RFC 3339"),
        ({"products": "pkg:deb/debian/a"}, "wanted a list"),
        ({"x_staunch": {"witness": {"rule": "r"}}}, "witness.image"),
    ],
)
def test_a_bad_statement_is_named_and_not_used(statement_: dict[str, object], why: str) -> None:
    found = parse_openvex(document(**statement_), source="x")
    assert not found.statements
    (fault,) = found.faults
    assert why in fault


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[]", "wanted an object"),
        (b'{"@context": "https://cyclonedx.org"}', "wanted https://openvex.dev"),
        (b'{"@context": "https://openvex.dev/ns", "statements": {}}', "wanted a list"),
        (b'{"a": ' * 100_000, "not JSON with one meaning"),
        (b'{"@context": 1, "@context": 2}', "stands twice"),
    ],
)
def test_what_is_no_openvex_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(UntrustedError, match="cannot use the VEX document of-a-stranger") as caught:
        parse_openvex(data, source="of-a-stranger")
    assert why in caught.value.why


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["vulnerability", "products", "status", "justification", "timestamp", "x_staunch"]
        ),
        json_values,
    )
)
def test_any_statement_is_read_or_named(statement_: dict[str, object]) -> None:
    try:
        found = parse_openvex(document(**statement_), source="x")
    except StaunchError:
        return
    assert len(found.statements) + len(found.faults) == 1

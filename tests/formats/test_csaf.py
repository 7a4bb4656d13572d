"""formats.csaf: Red Hat's VEX documents and advisories, as published."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.csaf import parse_document, read_content_sets, read_documents, read_index
from staunch.model.advisory import Advisory, Broken, ContentSet
from staunch.model.finding import Level, State
from tests.support.advisories import DATA
from tests.support.csaf import document

CSAF = DATA / "redhat-csaf"


def test_a_real_vex_document() -> None:
    (record,) = parse_document((CSAF / "vex" / "cve-2023-38545.json").read_bytes(), where="x")
    assert (record.id, record.key, record.level) == ("CVE-2023-38545", "CVE-2023-38545", Level.HIGH)
    assert record.modified == "2025-11-21T14:31:32+00:00"
    facts = [
        each
        for each in record.affected
        if each.package == "curl" and "enterprise_linux:9:" in each.cpe
    ]
    found = {
        (each.ranges[0][1].version, each.advisory, each.architecture)
        for each in facts
        if each.keyed == "binary"
    }
    everywhere = "aarch64,ppc64le,s390x,x86_64"
    assert ("7.76.1-26.el9_3.2", "RHSA-2023:6745", everywhere) in found
    assert ("7.76.1-23.el9_2.4", "RHSA-2023:5763", everywhere) in found
    never = next(
        each
        for each in record.affected
        if each.cpe == "cpe:/o:redhat:enterprise_linux:8" and each.package == "libcurl"
    )
    assert (never.state, never.keyed, never.ranges) == (State.NOT_AFFECTED, "any", ())


def test_an_epoch_is_part_of_the_version() -> None:
    (record,) = parse_document((CSAF / "vex" / "cve-2023-38545.json").read_bytes(), where="x")
    assert not any(
        ":" in each.version for fact in record.affected for one in fact.ranges for each in one
    )
    epoch = document(purl="pkg:rpm/redhat/curl@7.76.1-30.el9?arch=x86_64&epoch=1")
    (record,) = parse_document(epoch, where="x")
    assert record.affected[0].ranges[0][1].version == "1:7.76.1-30.el9"


def test_modules_are_resolved_through_relationships() -> None:
    (record,) = parse_document(
        (CSAF / "advisories" / "rhsa-2025_0002.json").read_bytes(), where="x"
    )
    assert {each.module for each in record.affected} == {"python36:3.6"}
    assert {each.cpe for each in record.affected} == {
        f"cpe:/a:redhat:rhel_{kind}:8.4::appstream" for kind in ("aus", "tus", "e4s")
    }
    assert record.related == ("RHSA-2025:0002",)


@pytest.mark.parametrize("path", sorted((CSAF).glob("[va]*/*.json")), ids=lambda path: path.name)
def test_every_real_document_is_read(path: Any) -> None:
    for record in parse_document(path.read_bytes(), where=path.name):
        assert record.id.startswith("CVE-")
        assert record.affected
        assert all(each.cpe.startswith("cpe:/") and each.package for each in record.affected)


def test_what_a_document_does_not_describe_breaks_it() -> None:
    broken = document(status={"fixed": ["nowhere:x"]})
    with pytest.raises(UntrustedError) as caught:
        parse_document(broken, where="x.json")
    assert caught.value.why == "product 'nowhere:x' is not in its tree"


def test_a_platform_without_cpe_breaks_it() -> None:
    with pytest.raises(UntrustedError) as caught:
        parse_document(document(cpe=""), where="x.json")
    assert caught.value.why == "platform 'RHEL9' has no CPE"


def test_branches_that_never_end() -> None:
    branch: dict[str, Any] = {}
    for _ in range(50):
        branch = {"branches": [branch]}
    with pytest.raises(UntrustedError) as caught:
        parse_document(document(branches=[branch]), where="x.json")
    assert caught.value.why == "its branches are nested too deep"


def test_container_images_are_left_out() -> None:
    assert parse_document(document(purl="pkg:oci/ubi9@sha256%3Aaa?arch=amd64"), where="x") == ()


def test_another_json_document_is_broken() -> None:
    found = list(read_documents([("x.json", b"{}"), ("y.json", b"[")], whole=True).items)
    assert [type(each) for each in found] == [Broken, Broken]


def test_deleted_documents_are_left_out() -> None:
    name = "2024/rhea-2024_5245.json"
    deleted = frozenset(
        gone for gone, _ in read_index((CSAF / "index" / "deletions.csv").read_bytes())
    )
    assert name in deleted
    documents = [(f"csaf/{name}", document()), ("2024/cve-2026-0001.json", document())]
    assert len(list(read_documents(documents, whole=True, deleted=deleted).items)) == 1


def test_changes() -> None:
    found = read_index((CSAF / "index" / "changes.csv").read_bytes())
    assert found[0] == ("2024/rhsa-2024_0010.json", "2025-02-18T14:28:08+00:00")
    with pytest.raises(UntrustedError, match=r"cannot read changes\.csv"):
        read_index(b'"../../etc/passwd","now"\n')


def test_content_sets() -> None:
    rows = {
        "data": {
            "rhel-9-for-x86_64-baseos-rpms": {"cpes": ["cpe:/o:redhat:enterprise_linux:9::baseos"]},
            "x": {},
        }
    }
    found = list(read_content_sets(json.dumps(rows).encode()).items)
    assert found == [
        ContentSet("rhel-9-for-x86_64-baseos-rpms", "cpe:/o:redhat:enterprise_linux:9::baseos"),
        Broken("x", "it has no list `cpes`"),
    ]
    with pytest.raises(UntrustedError) as caught:
        read_content_sets(b"{}")
    assert caught.value.why == "it has no object `data`"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["product_id", "branches", "product", "category", "cve", "fixed"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=60)
@given(json_values, st.sampled_from(["document", "product_tree", "vulnerabilities"]))
def test_any_shape_is_read_or_refused(value: Any, key: str) -> None:
    top = json.loads(document())
    top[key] = value
    try:
        for record in parse_document(json.dumps(top).encode(), where="x"):
            assert isinstance(record, Advisory)
    except UntrustedError as error:
        assert error.why

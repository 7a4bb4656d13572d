"""Which findings a VEX statement is about, and which statement decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from staunch.formats.openvex import named, parse_openvex
from staunch.match.vex import Target, apply_vex, purl_names, unused
from staunch.model.answer import Answer
from staunch.model.digest import Digest
from staunch.model.finding import Finding, State
from staunch.model.inventory import Distribution, FoundPackage, Location
from staunch.model.purl import Purl
from staunch.model.vex import Named, Product, VexStatement, Witness
from tests.support.findings import DEBIAN, IMAGE, deb, finding, inventory, wheel

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ZLIB = deb("zlib1g", "1:1.3.dfsg-1", source="zlib")
CVE = finding("CVE-2023-45853", ZLIB, aliases=("GHSA-mq29-j5xf-cjwr",))
TARGET = Target(frozenset({IMAGE}), frozenset({"registry.example.org/team/app"}), DEBIAN)
WHOLE = Product(named(f"pkg:oci/app@{IMAGE}"))


def said(*products: Product, **more: object) -> VexStatement:
    fields: dict[str, object] = {
        "vulnerability": "CVE-2023-45853",
        "status": "not_affected",
        "products": products,
        "justification": "vulnerable_code_not_present",
        "timestamp": "2026-01-01T00:00:00Z",
        "source": "a.json",
        **more,
    }
    return VexStatement(**fields)  # type: ignore[arg-type]  # fields by name


def applied(*statements: VexStatement, to: Finding = CVE, target: Target = TARGET) -> Finding:
    return apply_vex([to], statements, target, [to.package], now=NOW)[0]


@pytest.mark.parametrize(
    ("purl", "names"),
    [
        ("pkg:deb/debian/zlib1g", True),
        ("pkg:deb/debian/zlib1g@1:1.3.dfsg-1", True),
        ("pkg:deb/debian/zlib1g@1%3A1.3.dfsg-1?arch=amd64", True),
        ("pkg:deb/debian/zlib1g@1:1.3.dfsg-1?arch=arm64", False),
        ("pkg:deb/debian/zlib1g@1:1.3.dfsg-2", False),
        ("pkg:deb/debian/zlib1g@1.3.dfsg-1", False),
        ("pkg:deb/debian/zlib1g?distro=debian-12", False),
        ("pkg:deb/debian/zlib1g?distro=debian-13", True),
        ("pkg:deb/ubuntu/zlib1g", False),
        ("pkg:apk/debian/zlib1g", False),
        ("pkg:deb/debian/zlib", False),
        ("pkg:deb/debian/zlib?arch=source", True),
        ("pkg:deb/debian/zlib@1:1.3.dfsg-1?arch=source", True),
        ("pkg:deb/debian/zlib@1?arch=source", False),
        ("pkg:deb/debian/zlib1g?arch=source", False),
    ],
)
def test_a_purl_names_a_package_by_what_it_says_and_no_more(purl: str, names: bool) -> None:
    assert purl_names(Purl.parse(purl), ZLIB) is names


@pytest.mark.parametrize(
    ("product", "applies"),
    [
        (WHOLE, True),
        (Product(named(f"pkg:oci/other-name@{IMAGE}")), True),
        (Product(named(f"pkg:oci/app@{Digest.of(b'another')}")), False),
        (Product(named("pkg:oci/app")), False),  # any repository of that name
        (Product(named("pkg:oci/app?repository_url=registry.example.org/team/app")), True),
        (Product(named("pkg:oci/app?repository_url=evil.example.org/team/app")), False),
        (Product(named("app", digest=IMAGE.hex)), True),
        (Product(WHOLE.named, (named("pkg:deb/debian/zlib1g"),)), True),
        (Product(WHOLE.named, (named("pkg:deb/debian/zlib1g@1"),)), False),
        (Product(WHOLE.named, (named("pkg:deb/debian/openssl"),)), False),
        (Product(named("pkg:deb/debian/zlib1g")), True),
        (Product(named("some words")), False),
        (Product(Named("cpe", cpe="cpe:/o:debian:debian_linux:13"), (named("pkg:deb/debian/zlib1g"),)), True),
        (Product(Named("cpe", cpe="cpe:/o:debian:debian_linux:12"), (named("pkg:deb/debian/zlib1g"),)), False),
        (Product(Named("cpe", cpe="cpe:/o:debian:debian_linux:13")), False),  # everything in Debian
        (Product(Named("cpe", cpe="nonsense"), (named("pkg:deb/debian/zlib1g"),)), False),
    ],
)  # fmt: skip
def test_products(product: Product, applies: bool) -> None:
    found = applied(said(product))
    assert bool(found.vex) is applies
    assert found.state is State.AFFECTED
    assert found.state_after_vex is (State.NOT_AFFECTED if applies else State.AFFECTED)


def test_a_statement_by_an_alias_counts() -> None:
    assert applied(said(WHOLE, vulnerability="GHSA-MQ29-J5XF-CJWR")).vex
    assert applied(said(WHOLE, vulnerability="GO-1", aliases=("CVE-2023-45853",))).vex
    assert not applied(said(WHOLE, vulnerability="CVE-2023-45854")).vex


def test_a_library_inside_a_program_by_a_real_document() -> None:
    """VEX Hub: trivy's own statements name trivy as the product and helm as the component."""
    data = Path(__file__).parent.parent / "data" / "vuln" / "openvex" / "vexhub"
    path = data / "pkg__golang__github.com__aquasecurity__trivy__trivy.openvex.json"
    document = parse_openvex(path.read_bytes(), source=path.name)

    def module(namespace: str, name: str, where: str) -> FoundPackage:
        purl = Purl.make("golang", namespace, name, "v0.1")
        return FoundPackage(purl, name, "v0.1", "go-buildinfo", locations=(Location(where),))

    trivy = module("github.com/aquasecurity", "trivy", "usr/bin/trivy")
    inside = module("helm.sh/helm", "v3", "usr/bin/trivy")
    elsewhere = module("helm.sh/helm", "v3", "usr/bin/helm")
    findings = [finding("CVE-2024-26147", each) for each in (inside, elsewhere)]
    of_trivy, of_helm = apply_vex(
        findings, document.statements, TARGET, [trivy, inside, elsewhere], now=NOW
    )
    assert of_trivy.state_after_vex is State.NOT_AFFECTED
    assert not of_helm.vex


def test_what_the_owner_package_says_counts() -> None:
    """A distribution's statement about its package speaks of a module inside that package."""
    owner = deb("python3-requests")
    module = wheel("requests", owner=str(owner.purl))
    statement = said(
        Product(named("pkg:deb/debian/python3-requests"), (named("pkg:pypi/requests"),))
    )
    (found,) = apply_vex(
        [finding("CVE-2023-45853", module)], [statement], TARGET, [owner, module], now=NOW
    )
    assert found.vex


def test_the_newest_statement_decides() -> None:
    old = said(WHOLE)
    new = said(WHOLE, status="affected", timestamp="2026-02-01T00:00:00+01:00")
    for order in ([old, new], [new, old]):
        found = applied(*order)
        assert [note.status for note in found.vex] == ["affected", "not_affected"]
        assert found.state_after_vex is State.AFFECTED


def test_statements_of_one_time_that_contradict_each_other_decide_nothing() -> None:
    found = applied(said(WHOLE), said(WHOLE, status="affected", source="b.json"))
    assert found.state_after_vex is State.AFFECTED
    assert all("contradict each other" in note.refused for note in found.vex)
    assert "not_affected (a.json)" in found.vex[0].refused


def test_expired_statements_and_judgements_without_expiry_decide_nothing() -> None:
    expired = applied(said(WHOLE, judgement=True, expires="2026-05-31T00:00:00Z"))
    endless = applied(said(WHOLE, judgement=True))
    until = "2026-06-02T00:00:00Z"
    unsigned = applied(said(WHOLE, judgement=True, expires=until))
    holds = applied(said(WHOLE, judgement=True, expires=until, signed=True))
    assert unsigned.vex[0].refused == "a person's judgement counts only when it is signed"
    assert expired.vex[0].refused == "it expired on 2026-05-31T00:00:00Z"
    assert endless.vex[0].refused == "a person's judgement needs an expiry"
    assert (expired.state_after_vex, endless.state_after_vex) == (State.AFFECTED, State.AFFECTED)
    assert holds.state_after_vex is State.NOT_AFFECTED
    assert holds.vex[0].ground == "judgement"
    assert Answer(inventory(ZLIB), (holds,)).judged.total == 1


def test_an_expired_statement_does_not_hide_an_older_one_that_holds() -> None:
    found = applied(
        said(WHOLE, status="affected"),
        said(WHOLE, timestamp="2026-03-01T00:00:00Z", expires="2026-04-01T00:00:00Z"),
    )
    assert found.vex[0].status == "affected"
    assert found.vex[1].refused


def test_malware_is_not_cleared() -> None:
    bad = replace(CVE, malware=True)
    found = applied(said(WHOLE), to=bad)
    assert found.is_open
    assert found.vex[0].refused == "malware is not cleared by a statement"


def test_a_witness_is_told_as_such() -> None:
    note = applied(said(WHOLE, witness=Witness("zlib-minizip", str(IMAGE), ()))).vex[0]
    assert (note.ground, note.witness) == ("witness", "zlib-minizip")


def test_what_the_feeds_clear_stays_cleared() -> None:
    fixed = replace(CVE, state=State.FIXED)
    assert applied(said(WHOLE, status="affected"), to=fixed).state_after_vex is State.FIXED


def test_nothing_is_removed_and_counts_stand_side_by_side() -> None:
    other = finding("CVE-2024-1", ZLIB)
    found = apply_vex([CVE, other], [said(WHOLE)], TARGET, [ZLIB], now=NOW)
    answer = Answer(inventory(ZLIB), found)
    assert (answer.raw.total, answer.after_vex.total, len(answer.findings)) == (2, 1, 2)


def test_statements_that_meet_nothing_are_told() -> None:
    used, other = said(WHOLE), said(WHOLE, vulnerability="CVE-1999-0001", source="b.json")
    found = apply_vex([CVE], [used, other], TARGET, [ZLIB], now=NOW)
    assert unused([used, other], found) == (other,)


def test_times_that_are_none_count_as_oldest() -> None:
    found = applied(
        said(WHOLE, timestamp="nonsense"),
        said(WHOLE, status="affected", timestamp="2020-01-01T00:00:00Z"),
    )
    assert found.vex[0].status == "affected"


def test_red_hats_platforms() -> None:
    rhel = Target(distribution=Distribution("rhel", "9.4"))
    package = FoundPackage(Purl.make("rpm", "redhat", "curl", "1"), "curl", "1", "rpmdb")
    component = (named("pkg:rpm/redhat/curl"),)
    for cpe, applies in (
        ("cpe:/o:redhat:enterprise_linux:9", True),
        ("cpe:/a:redhat:enterprise_linux:9::appstream", True),
        ("cpe:/o:redhat:enterprise_linux:8", False),
        ("cpe:/a:redhat:openshift:9", False),
    ):
        statement = said(Product(Named("p", cpe=cpe), component))
        found = applied(statement, to=finding("CVE-2023-45853", package), target=rhel)
        assert bool(found.vex) is applies, cpe

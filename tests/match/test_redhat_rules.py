"""The rules for Red Hat's images (docs/advisories.md), each with a test of its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from staunch.match.redhat import same_platform
from staunch.model.finding import Disposition, Level, State
from staunch.model.inventory import Confidence, Distribution
from tests.support.advisories import DATA, RHEL9, database, one, rpm, run, states, write
from tests.support.csaf import document

RHEL8 = Distribution("rhel", "8.4")


def csaf(tmp_path: Path, *documents: bytes) -> Path:
    folder = write(tmp_path / "csaf", {f"{n}.json": each for n, each in enumerate(documents)})
    return database(tmp_path, csaf=folder)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("redhat")
    return database(folder, csaf=DATA / "redhat-csaf" / "vex")


def test_rpm_binaries_are_compared_with_their_own_fix(real: Path) -> None:
    found = one(
        run(real, rpm("libcurl", "7.76.1-26.el9", "curl", "7.76.1-26.el9"), distribution=RHEL9),
        "CVE-2023-38545",
    )
    assert (found.state, found.fixed_version, found.level) == (
        State.AFFECTED,
        "7.76.1-26.el9_3.2",
        Level.HIGH,
    )
    assert found.related == ("RHSA-2023:5763", "RHSA-2023:6745")
    assert {each.rule for each in found.evidence} == {"rpm-binary"}
    assert (
        states(run(real, rpm("libcurl", "7.76.1-29.el9"), distribution=RHEL9))["CVE-2023-38545"]
        == "fixed"
    )


def test_known_not_affected_is_kept(real: Path) -> None:
    found = run(real, rpm("libcurl", "7.61.1-33.el8"), distribution=Distribution("rhel", "8.9"))
    assert states(found)["CVE-2023-38545"] == "not_affected"


def test_platforms_of_other_products_do_not_count(real: Path) -> None:
    """rhel_eus rows have other fixes than enterprise_linux:9."""
    matched = run(real, rpm("libcurl", "7.76.1-26.el9"), distribution=RHEL9)
    assert "rhel-platform" in {each.rule for each in matched.dropped}
    assert {each.compared for each in one(matched, "CVE-2023-38545").evidence} == {
        "7.76.1-23.el9_2.4",
        "7.76.1-26.el9_3.2",
    }


def test_the_highest_fix_counts_but_for_a_build_that_has_its_own_minor_releases_fix(
    real: Path,
) -> None:
    """Rows for 9.2 and 9.3 stand under one CPE."""
    builds = {
        "7.76.1-25.el9": "affected",
        "7.76.1-23.el9_2.4": "fixed",
        "7.76.1-23.el9_2.3": "affected",
    }
    for version, state in builds.items():
        found = states(run(real, rpm("libcurl", version), distribution=RHEL9))
        assert found["CVE-2023-38545"] == state, version


def test_content_sets_name_the_platform(tmp_path: Path) -> None:
    mapping = {
        "data": {
            "rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_2": {
                "cpes": ["cpe:/o:redhat:rhel_eus:9.2::baseos"]
            },
            "rhel-8-for-x86_64-baseos-rpms": {"cpes": ["cpe:/o:redhat:enterprise_linux:8::baseos"]},
        }
    }
    folder = write(tmp_path / "map", {"repository-to-cpe.json": json.dumps(mapping).encode()})
    eus = document(
        cpe="cpe:/o:redhat:rhel_eus:9.2::baseos",
        purl="pkg:rpm/redhat/curl@7.76.1-23.el9_2.4?arch=x86_64",
    )
    db = database(
        tmp_path, csaf=(folder / "repository-to-cpe.json", write(tmp_path / "d", {"a.json": eus}))
    )
    package = rpm(
        "curl", "7.76.1-23.el9", content_sets="rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_2"
    )
    assert states(run(db, package, distribution=RHEL9)) == {"CVE-2026-0001": "affected"}
    assert states(run(db, rpm("curl", "7.76.1-23.el9"), distribution=RHEL9)) == {}
    # the suffix `__8` is no part of the name, `__9_DOT_2` is
    eight = rpm("curl", "1-1.el8", content_sets="rhel-8-for-x86_64-baseos-rpms__8")
    assert "content sets" in run(db, eight, distribution=RHEL8).dropped[0].why


@pytest.mark.parametrize(
    ("stated", "image", "same"),
    [
        ("cpe:/o:redhat:enterprise_linux:9", "cpe:/a:redhat:enterprise_linux:9::appstream", True),
        (
            "cpe:/a:redhat:enterprise_linux:9::appstream",
            "cpe:/o:redhat:enterprise_linux:9::baseos",
            False,
        ),
        (
            "cpe:/a:redhat:enterprise_linux:9.4::appstream",
            "cpe:/a:redhat:enterprise_linux:9::appstream",
            True,
        ),
        (
            "cpe:/a:redhat:rhel_eus:9.2::appstream",
            "cpe:/a:redhat:enterprise_linux:9::appstream",
            False,
        ),
        ("cpe:/o:redhat:enterprise_linux:8", "cpe:/o:redhat:enterprise_linux:9", False),
        ("", "cpe:/o:redhat:enterprise_linux:9", True),
    ],
)
def test_cpes(stated: str, image: str, *, same: bool) -> None:
    assert same_platform(stated, [image]) is same


@pytest.mark.parametrize(
    ("remediation", "disposition"),
    [
        (("no_fix_planned", "Will not fix"), Disposition.WILL_NOT_FIX),
        (("no_fix_planned", "Out of support scope"), Disposition.END_OF_LIFE),
        (("none_available", "Fix deferred"), Disposition.DEFERRED),
        (("none_available", "Affected"), None),
        (("workaround", "None"), None),
    ],
)
def test_dispositions(
    tmp_path: Path, remediation: tuple[str, str], disposition: Disposition | None
) -> None:
    open_ = document(component="curl", purl="", word="known_affected", remediation=remediation)
    found = one(
        run(csaf(tmp_path, open_), rpm("curl", "1-1.el9"), distribution=RHEL9), "CVE-2026-0001"
    )
    assert (found.state, found.disposition, found.fixed_version) == (
        State.AFFECTED,
        disposition,
        "",
    )


def test_components_by_source_name(tmp_path: Path) -> None:
    open_ = document(component="curl", purl="pkg:rpm/redhat/curl?arch=src", word="known_affected")
    package = rpm("libcurl-minimal", "7.76.1-1.el9", "curl", "7.76.1-1.el9")
    found = one(run(csaf(tmp_path, open_), package, distribution=RHEL9), "CVE-2026-0001")
    assert found.evidence[0].rule == "rpm-source-without-epoch"


def test_under_investigation_as_it_is(tmp_path: Path) -> None:
    asked = document(word="under_investigation")
    assert states(run(csaf(tmp_path, asked), rpm("curl", "1-1"), distribution=RHEL9)) == {
        "CVE-2026-0001": "under_investigation"
    }


def test_source_rows_carry_an_unknown_epoch(tmp_path: Path) -> None:
    """perl-Errno 1.28 of perl-5.26.3-420.el8 against the fix 4:5.26.3-419.el8."""
    fixed = document(
        purl="pkg:rpm/redhat/perl@5.26.3-419.el8?arch=src&epoch=4",
        component="perl-4:5.26.3-419.el8.src",
        cpe="cpe:/o:redhat:enterprise_linux:8::baseos",
    )
    package = rpm("perl-Errno", "1.28-420.el8", "perl", "5.26.3-420.el8")
    assert states(run(csaf(tmp_path, fixed), package, distribution=RHEL8)) == {
        "CVE-2026-0001": "fixed"
    }


def test_a_missing_epoch_of_a_binary_is_nought(tmp_path: Path) -> None:
    fixed = document(purl="pkg:rpm/redhat/curl@7.76.1-30.el9?arch=x86_64&epoch=1")
    assert states(run(csaf(tmp_path, fixed), rpm("curl", "7.76.1-31.el9"), distribution=RHEL9)) == {
        "CVE-2026-0001": "affected"
    }


def test_architectures(tmp_path: Path) -> None:
    db = csaf(
        tmp_path,
        document(purl="pkg:rpm/redhat/curl@2-1?arch=s390x"),
        document(cve="CVE-2026-0002", purl="pkg:rpm/redhat/curl@2-1?arch=noarch"),
        document(cve="CVE-2026-0003", purl="pkg:rpm/redhat/curl@2-1"),
    )
    matched = run(db, rpm("curl", "1-1"), distribution=RHEL9)
    assert states(matched) == {"CVE-2026-0002": "affected", "CVE-2026-0003": "affected"}
    assert [each.rule for each in matched.dropped] == ["rhel-architecture"]
    assert set(states(run(db, rpm("curl", "1-1", architecture="noarch"), distribution=RHEL9))) == {
        "CVE-2026-0001",
        "CVE-2026-0002",
        "CVE-2026-0003",
    }


def module(tmp_path: Path, **more: Any) -> Path:
    return csaf(tmp_path, document(
        component="nodejs-1:18.20.4-1.module+el8.10.0+1+a.x86_64", cpe="cpe:/a:redhat:enterprise_linux:8::appstream",
        purl="pkg:rpm/redhat/nodejs@18.20.4-1.module%2Bel8.10.0%2B1%2Ba?arch=x86_64&epoch=1&rpmmod=nodejs:18:8100020240807161023:489197e6", **more,
    ))  # fmt: skip


def test_a_modular_advisory_applies_to_its_own_stream(tmp_path: Path) -> None:
    db, version = module(tmp_path), "1:18.20.2-1.module+el8.9.0+1+b"
    label = "nodejs:18:8090020240501:abcdef01:x86_64"
    assert states(run(db, rpm("nodejs", version, modularity=label), distribution=RHEL8)) == {
        "CVE-2026-0001": "affected"
    }
    other = run(
        db, rpm("nodejs", version, modularity=label.replace(":18:", ":16:")), distribution=RHEL8
    )
    assert states(other) == {}
    assert (other.dropped[0].rule, other.dropped[0].why) == (
        "rhel-module",
        "for module nodejs:18, not nodejs:16",
    )


def test_a_modular_advisory_never_applies_to_a_build_of_no_module(tmp_path: Path) -> None:
    matched = run(module(tmp_path), rpm("nodejs", "1:18.20.2-1.el8"), distribution=RHEL8)
    assert states(matched) == {}
    assert "this build is of none" in matched.dropped[0].why


def test_where_the_label_is_missing_it_may_apply(tmp_path: Path) -> None:
    package = rpm("nodejs", "1:18.20.2-1.module+el8.9.0+1+b")
    found = one(run(module(tmp_path), package, distribution=RHEL8), "CVE-2026-0001")
    assert (found.state, found.confidence) == (State.AFFECTED, Confidence.LOW)
    assert "the label is missing" in found.evidence[0].note


def test_a_row_of_no_module_says_nothing_of_a_modular_build(tmp_path: Path) -> None:
    db = csaf(tmp_path, document(purl="pkg:rpm/redhat/nodejs@20-1.el9?arch=x86_64"))
    package = rpm("nodejs", "1:18-1.module+el9", modularity="nodejs:18:9:a:x86_64")
    matched = run(db, package, distribution=RHEL9)
    assert states(matched) == {}
    assert matched.dropped[0].why == "not modular, and this build is of nodejs:18"


def test_rebuilds_of_red_hat_do_not_use_its_versions(real: Path) -> None:
    matched = run(
        real, rpm("libcurl", "7.76.1-26.el9.alma"), distribution=Distribution("almalinux", "9.2")
    )
    assert states(matched) == {}
    assert one(matched, "unassessed").state is State.UNASSESSED


def test_a_module_label_spelt_the_other_way_is_a_module_too(tmp_path: Path) -> None:
    package = rpm("nodejs", "1:18.20.2-1.module_el8.9.0+1+b")
    assert states(run(module(tmp_path), package, distribution=RHEL8)) == {
        "CVE-2026-0001": "affected"
    }

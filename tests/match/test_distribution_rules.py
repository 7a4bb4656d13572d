"""The rules for distribution packages (docs/advisories.md), each with a test of its name."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from staunch.errors import SpecError
from staunch.model.finding import Disposition, Level, State
from staunch.model.inventory import Confidence, Distribution
from tests.support.advisories import (
    ALPINE,
    BOOKWORM,
    BUSTER,
    DATA,
    JAMMY,
    affects,
    apk,
    database,
    deb,
    one,
    osv,
    pypi,
    run,
    states,
    write,
)


def tracker(tmp_path: Path, source: str, identifier: str = "CVE-2026-0001", **row: Any) -> Path:
    """The tracker's JSON of one row in bookworm."""
    release = {"status": "open", "urgency": "not yet assigned", "repositories": {}, **row}
    document = {source: {identifier: {"releases": {"bookworm": release}}}}
    return database(
        tmp_path,
        debian_tracker=write(tmp_path, {"tracker.json": json.dumps(document).encode()})
        / "tracker.json",
    )


def test_deb_is_matched_by_source_name_and_version(tmp_path: Path) -> None:
    """The binary's own version has an epoch that its source has not."""
    db = tracker(tmp_path, "openssl", status="resolved", fixed_version="3.0.17-1~deb12u2")
    package = deb("libssl3", "1:3.0.17-1~deb12u1", "openssl", "3.0.17-1~deb12u1")
    found = one(run(db, package, distribution=BOOKWORM), "CVE-2026-0001")
    assert (found.state, found.fixed_version) == (State.AFFECTED, "3.0.17-1~deb12u2")
    (evidence,) = found.evidence
    assert (evidence.rule, evidence.installed) == ("deb-source-version", "3.0.17-1~deb12u1")
    assert evidence.compared == "3.0.17-1~deb12u2"


def test_deb_binary_only_rebuilds_have_their_sources_version(tmp_path: Path) -> None:
    db = tracker(tmp_path, "x", status="resolved", fixed_version="1.0-2")
    found = one(run(db, deb("x", "1.0-1+b3"), distribution=BOOKWORM), "CVE-2026-0001")
    assert found.evidence[0].installed == "1.0-1"
    assert found.evidence[0].rule == "deb-source-version-of-binnmu"
    assert states(run(db, deb("x", "1.0-2+b1"), distribution=BOOKWORM))["CVE-2026-0001"] == "fixed"


def test_deb_fixed_version_nought_means_not_affected(tmp_path: Path) -> None:
    db = tracker(tmp_path, "x", status="resolved", fixed_version="0", urgency="unimportant")
    assert states(run(db, deb("x", "1"), distribution=BOOKWORM)) == {
        "CVE-2026-0001": "not_affected"
    }


def test_deb_undetermined_is_under_investigation(tmp_path: Path) -> None:
    db = tracker(tmp_path, "x", status="undetermined")
    assert states(run(db, deb("x", "1"), distribution=BOOKWORM)) == {
        "CVE-2026-0001": "under_investigation"
    }


@pytest.mark.parametrize(
    ("row", "disposition", "level"),
    [
        ({}, None, Level.UNKNOWN),
        ({"nodsa": "Minor issue", "nodsa_reason": ""}, Disposition.NO_DSA, Level.UNKNOWN),
        ({"nodsa": "x", "nodsa_reason": "ignored"}, Disposition.WILL_NOT_FIX, Level.UNKNOWN),
        ({"nodsa": "x", "nodsa_reason": "postponed"}, Disposition.DEFERRED, Level.UNKNOWN),
        ({"urgency": "unimportant"}, Disposition.UNIMPORTANT, Level.NEGLIGIBLE),
        ({"urgency": "end-of-life"}, Disposition.END_OF_LIFE, Level.UNKNOWN),
        ({"urgency": "high**"}, None, Level.HIGH),
    ],
)
def test_deb_dispositions(
    tmp_path: Path, row: dict[str, str], disposition: Disposition | None, level: Level
) -> None:
    """Open without a fix is affected, whatever Debian means to do about it."""
    db = tracker(tmp_path, "x", **row)
    found = one(run(db, deb("x", "1"), distribution=BOOKWORM), "CVE-2026-0001")
    assert (found.state, found.disposition, found.level) == (State.AFFECTED, disposition, level)


def test_deb_rows_that_are_not_understood_are_broken_not_clean(tmp_path: Path) -> None:
    document = {
        "x": {f"CVE-2026-000{n}": {"releases": {"bookworm": {"status": "open"}}} for n in range(4)}
    }
    document["x"]["CVE-2026-0009"] = {"releases": {"bookworm": {"status": "resolved"}}}
    path = write(tmp_path, {"t.json": json.dumps(document).encode()}) / "t.json"
    matched = run(database(tmp_path, debian_tracker=path), deb("x", "1"), distribution=BOOKWORM)
    assert [gap.why for gap in matched.gaps] == ["1 of its 5 records could not be read"]


def test_deb_temporary_ids_are_kept() -> None:
    document = json.loads((DATA / "debian" / "tracker-sample-vulnerablecode.json").read_bytes())
    assert "TEMP-0000000-A2EB44" in document["mimetex"]


def test_deb_real_rows(tmp_path: Path) -> None:
    db = database(tmp_path, debian_tracker=DATA / "debian" / "tracker-sample-vulnerablecode.json")
    found = states(run(db, deb("mimetex", "1.3.3"), distribution=BUSTER))
    assert found["TEMP-0000000-A2EB44"] == "affected"
    assert found["CVE-2009-2459"] == "affected"
    assert states(run(db, deb("librsync1", "0.9.7-10", "librsync"), distribution=BUSTER)) == {
        "CVE-2014-8242": "affected"
    }


def test_dsa_lists_are_bundles_and_the_newest_notice_wins(tmp_path: Path) -> None:
    text = (
        b"[02 Jan 2023] DSA-2-1 x - security update\n\t{CVE-2022-0001}\n\t[buster] - x 1.0-2\n"
        b"[01 Jan 2023] DSA-1-1 x - security update\n\t{CVE-2022-0001 CVE-2022-0002}\n\t[buster] - x 1.0-1\n"
        b"[01 Jan 2022] DSA-0-1 y - without a CVE\n\t[buster] - y 2.0-1\n"
    )
    path = write(tmp_path, {"DSA.list": text}) / "DSA.list"
    matched = run(
        database(tmp_path, debian_tracker=path),
        deb("x", "1.0-1"),
        deb("y", "1"),
        distribution=BUSTER,
    )
    assert {
        each.id: (each.state.value, each.fixed_version)
        for each in matched.findings
        if each.state is not State.UNASSESSED and each.id != "unsupported-release"
    } == {
        "CVE-2022-0001": ("affected", "1.0-2"),
        "CVE-2022-0002": ("fixed", "1.0-1"),
        "DSA-0-1": ("affected", "2.0-1"),
    }
    assert one(matched, "CVE-2022-0001").related == ("DSA-1-1", "DSA-2-1")
    assert one(matched, "CVE-2022-0001").fix_published == "2023-01-02T00:00:00Z"


def test_dsa_lists_alone_leave_packages_unassessed(tmp_path: Path) -> None:
    db = database(tmp_path, debian_tracker=DATA / "debian" / "DSA.list")
    matched = run(db, deb("faad2", "2.10.0-1~deb10u1"), distribution=BUSTER)
    assert "unassessed" in {each.id for each in matched.findings}
    assert states(matched)["CVE-2018-20196"] == "fixed"


@pytest.mark.parametrize(
    ("version", "facts", "why"),
    [
        ("15.4-1.pgdg120+1", {}, "its version 15.4-1.pgdg120+1 is marked as another archive's"),
        (
            "18.2.0-1nodesource1",
            {},
            "its version 18.2.0-1nodesource1 is marked as another archive's",
        ),
        ("2.21.5-1+cuda12.4", {}, "its version 2.21.5-1+cuda12.4 is marked as another archive's"),
        (
            "1.0",
            {"maintainer": "cudatools <cudatools@nvidia.com>"},
            "its maintainer is cudatools <cudatools@nvidia.com>",
        ),
        ("1.0", {"origin": "LP-PPA-deadsnakes"}, "its origin is LP-PPA-deadsnakes"),
    ],
)
def test_third_party_packages_are_unassessed(
    tmp_path: Path, version: str, facts: dict[str, str], why: str
) -> None:
    db = tracker(tmp_path, "x")
    found = run(db, deb("x", version, **facts), distribution=BOOKWORM)
    (finding,) = found.findings
    assert (finding.state, finding.evidence[0].rule, finding.summary) == (
        State.UNASSESSED,
        "third-party",
        why,
    )
    assert [gap.where for gap in found.gaps] == ["third-party packages"]


def test_debians_own_maintainers_are_no_third_party(tmp_path: Path) -> None:
    package = deb(
        "x",
        "1",
        maintainer="Debian MySQL <pkg-mysql-maint@lists.alioth.debian.org>",
        origin="Debian",
    )
    assert states(run(tracker(tmp_path, "x"), package, distribution=BOOKWORM))


def test_another_release_than_the_feeds_is_unassessed(tmp_path: Path) -> None:
    matched = run(
        tracker(tmp_path, "x"), deb("x", "1"), distribution=Distribution("debian", "13", "trixie")
    )
    assert [each.state for each in matched.findings] == [State.UNASSESSED]
    assert matched.gaps[0].why == "no feed in the database speaks for it: 1 package unassessed"


def test_a_package_of_another_distribution_is_matched_in_its_own(tmp_path: Path) -> None:
    """Not by os-release alone."""
    db = tracker(tmp_path, "x")
    foreign = deb("x", "1", distribution=Distribution("ubuntu", "22.04", "jammy"))
    assert states(run(db, foreign, distribution=BOOKWORM)) == {}
    assert states(run(db, deb("x", "1", distribution=BOOKWORM), distribution=JAMMY))


@pytest.fixture(scope="module")
def alpine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real secdb of June 2020, with rejections made up in the published form."""
    folder = tmp_path_factory.mktemp("alpine")
    rejected = b"# comment\nbusybox:\n  - CVE-2021-99999\n  - CVE-2020-1111 # why\n"
    return database(
        folder,
        secdb=(
            DATA / "alpine-secdb" / "v3.11" / "main.json",
            DATA / "alpine-secdb" / "v3.11" / "community.json",
            write(folder, {"main.yaml": rejected}) / "main.yaml",
        ),
    )


def test_apk_is_matched_by_origin(alpine: Path) -> None:
    found = one(
        run(alpine, apk("libcrypto1.1", "1.1.1d-r2", "openssl"), distribution=ALPINE),
        "CVE-2019-1551",
    )
    assert (found.state, found.fixed_version) == (State.AFFECTED, "1.1.1d-r3")
    assert found.evidence[0].rule == "apk-origin"
    assert found.evidence[0].feed == "secdb:alpine:3.11/main"
    fixed = run(alpine, apk("libcrypto1.1", "1.1.1g-r0", "openssl"), distribution=ALPINE)
    assert states(fixed)["CVE-2019-1551"] == "fixed"


def test_apk_key_nought_and_rejections_mean_never_affected(alpine: Path, tmp_path: Path) -> None:
    found = states(run(alpine, apk("busybox", "1.31.1-r9"), distribution=ALPINE))
    assert found["CVE-2021-99999"] == "not_affected"
    assert found["CVE-2020-1111"] == "not_affected"
    zero = json.dumps({
        "distroversion": "v3.11", "reponame": "main",
        "packages": [{"pkg": {"name": "x", "secfixes": {"0": ["CVE-2020-0001 (+ regression fix)", "CVE_2020-0002 XSA-300"], "2-r0": ["GHSA-aaaa-bbbb-cccc"]}}}],
    }).encode()  # fmt: skip
    db = database(tmp_path, secdb=write(tmp_path, {"main.json": zero}) / "main.json")
    assert states(run(db, apk("x", "1-r0"), distribution=ALPINE)) == {
        "CVE-2020-0001": "not_affected",
        "CVE-2020-0002": "not_affected",
        "XSA-300": "not_affected",
        "GHSA-aaaa-bbbb-cccc": "affected",
    }


def test_apk_without_an_entry_is_told_to_be_fixes_only(alpine: Path) -> None:
    matched = run(alpine, apk("zlib", "1.2.11-r3"), distribution=ALPINE)
    assert any("lists fixes only" in each.note for each in matched.feeds)


def test_apk_of_another_release_is_matched_there(alpine: Path) -> None:
    """The repository line wins over /etc/alpine-release; scan tells it per package."""
    package = apk("openssl", "1.1.1d-r2", distribution=Distribution("alpine", "edge"))
    assert states(run(alpine, package, distribution=ALPINE)) == {}
    assert one(run(alpine, package, distribution=ALPINE), "unassessed")


def test_apk_versions_that_are_none_are_undetermined(alpine: Path) -> None:
    found = run(alpine, apk("openssl", "1.1.1d~", "openssl"), distribution=ALPINE)
    assert set(states(found).values()) == {"undetermined"}


def test_wolfi_secdb_is_read_by_its_format(tmp_path: Path) -> None:
    """Made-up records: the real feed is under a licence that forbids us its use."""
    document = {
        "reponame": "os", "urlprefix": "https://packages.wolfi.dev",
        "packages": [{"pkg": {"name": "x", "secfixes": {"1.2-r0": ["CGA-test-0000-0001", "CVE-2026-0001"], "0": ["GHSA-aaaa-bbbb-cccc"]}}}],
    }  # fmt: skip
    path = write(tmp_path, {"security.json": json.dumps(document).encode()}) / "security.json"
    db = database(tmp_path, secdb=path)
    found = run(db, apk("libx", "1.1-r5", "x"), distribution=Distribution("wolfi", "20230201"))
    assert states(found) == {
        "CGA-test-0000-0001": "affected",
        "CVE-2026-0001": "affected",
        "GHSA-aaaa-bbbb-cccc": "not_affected",
    }


@pytest.fixture(scope="module")
def ubuntu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return database(tmp_path_factory.mktemp("ubuntu"), osv=DATA / "ubuntu" / "osv")


def test_ubuntu_usn_is_a_bundle_of_its_cves(ubuntu: Path) -> None:
    bionic = Distribution("ubuntu", "18.04", "bionic")
    package = deb("libwayland-client0", "1.16.0-1ubuntu1.1~18.04.3", "wayland", distribution=bionic)
    found = one(run(ubuntu, package, distribution=bionic), "CVE-2021-3782")
    assert (found.state, found.fixed_version) == (State.AFFECTED, "1.16.0-1ubuntu1.1~18.04.4")
    assert "USN-5614-1" in found.related
    assert "UBUNTU-CVE-2021-3782" in found.aliases


def test_ubuntu_without_a_fix_is_affected(ubuntu: Path) -> None:
    xenial = Distribution("ubuntu", "16.04", "xenial")
    found = one(run(ubuntu, deb("gitlab", "8.5.8+dfsg-5", distribution=xenial)), "CVE-2026-1403")
    assert (found.state, found.fixed_version, found.level) == (State.AFFECTED, "", Level.MEDIUM)


def test_ubuntu_fix_in_pro_only(tmp_path: Path) -> None:
    record = {
        "id": "UBUNTU-CVE-2026-0001", "upstream": ["CVE-2026-0001"], "modified": "2026-11-20T00:00:00Z",
        "affected": [
            {"package": {"ecosystem": "Ubuntu:Pro:22.04:LTS", "name": "x"},
             "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0-1ubuntu1+esm1"}]}]},
        ],
    }  # fmt: skip
    db = database(tmp_path, [json.dumps(record).encode()])
    base = one(
        run(db, deb("x", "1.0-1ubuntu1", distribution=JAMMY), distribution=JAMMY), "CVE-2026-0001"
    )
    assert (base.state, base.disposition, base.fixed_version) == (
        State.AFFECTED,
        Disposition.FIX_IN_PRO,
        "",
    )
    assert base.evidence[0].compared == "1.0-1ubuntu1+esm1"
    pro = run(db, deb("x", "1.0-1ubuntu1+esm1", distribution=JAMMY), distribution=JAMMY)
    assert states(pro) == {"CVE-2026-0001": "fixed"}


def test_ubuntu_builds_of_the_pro_archive_are_measured_by_it(tmp_path: Path) -> None:
    """The base archive has no fix; the build that is installed comes from the pro archive."""

    def entry(ecosystem: str, *events: dict[str, str]) -> dict[str, Any]:
        range_ = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, *events]}
        return {"package": {"ecosystem": ecosystem, "name": "x"}, "ranges": [range_]}

    record = {
        "id": "UBUNTU-CVE-2026-0001", "upstream": ["CVE-2026-0001"], "modified": "2026-11-20T00:00:00Z",
        "affected": [entry("Ubuntu:22.04:LTS"), entry("Ubuntu:Pro:22.04:LTS", {"fixed": "1.0-1ubuntu1+esm1"})],
    }  # fmt: skip
    db = database(tmp_path, [json.dumps(record).encode()])
    for version, state in (("1.0-1ubuntu1+esm1", "fixed"), ("1.0-1ubuntu1", "affected")):
        found = run(db, deb("x", version, distribution=JAMMY), distribution=JAMMY)
        assert states(found) == {"CVE-2026-0001": state}
    assert one(found, "CVE-2026-0001").disposition is Disposition.FIX_IN_PRO


def test_a_release_out_of_support_gates(tmp_path: Path) -> None:
    db = database(tmp_path, lifecycle=DATA / "debian" / "lifecycle")
    matched = run(db, deb("x", "1"), distribution=BUSTER)
    found = one(matched, "unsupported-release")
    assert (found.state, found.disposition, found.level) == (
        State.AFFECTED,
        Disposition.END_OF_LIFE,
        Level.HIGH,
    )
    assert (
        found.summary
        == "Debian's and Debian LTS's support of debian 10 ended on 2024-06-30: what is found later is not fixed"
    )
    before = run(db, deb("x", "1"), distribution=BUSTER, now=datetime(2024, 6, 30, tzinfo=UTC))
    assert "unsupported-release" not in {each.id for each in before.findings}


def test_a_release_that_nobody_knows_is_a_gap(tmp_path: Path) -> None:
    matched = run(tracker(tmp_path, "x"), deb("x", "1"), distribution=Distribution("debian", "99"))
    assert ("lifecycle", "debian 99") in {(gap.what, gap.where) for gap in matched.gaps}


def test_single_packages_out_of_support(tmp_path: Path) -> None:
    db = database(
        tmp_path,
        lifecycle=DATA / "debian" / "lifecycle",
        debian_tracker=write(tmp_path, {"t.json": b'{"hdf5": {"CVE-2026-0001": {"releases": {"bookworm": {"status": "open"}}}}}'}) / "t.json",
    )  # fmt: skip
    packages = (
        deb("pdns-server", "4.7.3-2", "pdns"),
        deb("php-horde-mail", "1"),
        deb("libhdf5-103", "1.10", "hdf5"),
    )
    matched = run(db, *packages, distribution=BOOKWORM)
    ended = [each for each in matched.findings if each.id == "unsupported-package"]
    assert [each.package.name for each in ended] == ["pdns-server", "php-horde-mail"]
    assert one(matched, "CVE-2026-0001").evidence[-1].rule == "limited-support"
    early = run(db, *packages, distribution=BOOKWORM, now=datetime(2025, 1, 1, tzinfo=UTC))
    assert "unsupported-package" not in {each.id for each in early.findings}


def test_ubuntu_vex_says_what_osv_does_not(tmp_path: Path) -> None:
    """Not affected, and what will not be fixed; versions are OSV's business."""
    db = database(tmp_path, ubuntu_vex=DATA / "ubuntu" / "vex", osv=DATA / "ubuntu" / "osv")
    trusty, xenial = (
        Distribution("ubuntu", "14.04", "trusty"),
        Distribution("ubuntu", "16.04", "xenial"),
    )
    never = run(db, deb("curl", "7.35.0-1ubuntu2.20", distribution=trusty), distribution=trusty)
    assert states(never) == {"CVE-2023-38545": "not_affected"}
    old = run(db, deb("curl", "7.47.0-1ubuntu2.19", distribution=xenial), distribution=xenial)
    found = one(old, "CVE-2023-38545")
    assert (found.state, found.disposition) == (State.AFFECTED, Disposition.END_OF_LIFE)


def test_deb_a_fix_that_is_newer_than_the_archive_is_none(tmp_path: Path) -> None:
    there = {"bookworm": "1.0-1", "bookworm-security": "1.0-1+deb12u1"}
    db = tracker(
        tmp_path, "x", status="resolved", fixed_version="1.0-1+deb12u2", repositories=there
    )
    found = one(run(db, deb("x", "1.0-1"), distribution=BOOKWORM), "CVE-2026-0001")
    assert (found.state, found.fixed_version) == (State.AFFECTED, "")
    assert "the fix 1.0-1+deb12u2 is not in the archive" in found.evidence[0].note


def test_facts_from_changelogs_are_less_sure_and_cover_nothing(tmp_path: Path) -> None:
    entry = "x ({}) bookworm-security; urgency=high\n\n  * {}\n\n -- A <a@b>  Tue, 24 Nov 2026 10:00:00 +0000\n\n"
    text = entry.format("1.0-1+deb12u2", "Follow-up of CVE-2026-0002") + entry.format(
        "1.0-1+deb12u1", "CVE-2026-0001"
    )
    path = (
        write(tmp_path, {"changelog.Debian.gz": gzip.compress(text.encode())})
        / "changelog.Debian.gz"
    )
    matched = run(
        database(tmp_path, debian_changelog=path), deb("x", "1.0-1"), distribution=BOOKWORM
    )
    first, weak = one(matched, "CVE-2026-0001"), one(matched, "CVE-2026-0002")
    assert (first.state, first.fixed_version, first.confidence) == (
        State.AFFECTED,
        "1.0-1+deb12u1",
        Confidence.MEDIUM,
    )
    assert weak.confidence is Confidence.LOW
    assert one(matched, "unassessed")


def test_a_changelog_of_no_release(tmp_path: Path) -> None:
    text = b"x (1.0-1) unstable; urgency=high\n\n  * CVE-2026-0001\n\n -- A <a@b>  Tue, 24 Nov 2026 10:00:00 +0000\n"
    path = write(tmp_path, {"changelog": text}) / "changelog"
    with pytest.raises(SpecError, match="cannot tell which release changelog belongs to"):
        database(tmp_path, debian_changelog=path)


def test_kernel_headers_hold_no_code_of_the_kernel(tmp_path: Path) -> None:
    """linux-libc-dev draws every CVE of its source."""
    db = tracker(tmp_path, "linux", urgency="high")
    packages = deb("linux-libc-dev", "6.1.1-1", "linux"), deb("linux-image-6.1", "6.1.1-1", "linux")
    matched = run(db, *packages, distribution=BOOKWORM)
    levels = {each.package.name: (each.level, each.disposition) for each in matched.findings}
    assert levels == {
        "linux-libc-dev": (Level.NEGLIGIBLE, Disposition.UNIMPORTANT),
        "linux-image-6.1": (Level.HIGH, None),
    }
    headers = next(each for each in matched.findings if each.package.name == "linux-libc-dev")
    assert headers.evidence[-1].rule == "headers-only"
    assert headers.state is State.AFFECTED


def test_a_feed_in_several_files_is_one(tmp_path: Path) -> None:
    samples = [
        DATA / "debian" / f"tracker-sample-{name}.json" for name in ("vunnel", "vulnerablecode")
    ]
    db = database(tmp_path, debian_tracker=tuple(samples))
    packages = (
        deb("librsync1", "0.9.7-10", "librsync"),
        deb("libjs-prototype", "1.5", "prototypejs"),
    )
    assert set(states(run(db, *packages, distribution=BUSTER))) >= {
        "CVE-2014-8242",
        "CVE-2008-7220",
    }


def test_wolfi_osv_is_read_by_its_format(tmp_path: Path) -> None:
    """Made-up records, as above."""
    entry = affects("x", "introduced 0", "fixed 1.2-r0", ecosystem="Wolfi")
    record = osv("CGA-test-0000-0001", entry, aliases=["CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"])
    wolfi = Distribution("wolfi", "20230201")
    db = database(tmp_path, [record])
    found = one(
        run(db, apk("libx", "1.1-r5", "x", distribution=wolfi), distribution=wolfi), "CVE-2026-0001"
    )
    assert (found.state, found.fixed_version) == (State.AFFECTED, "1.2-r0")
    assert found.aliases == ("CGA-test-0000-0001", "GHSA-aaaa-bbbb-cccc")


def test_a_distributions_no_silences_the_language_finding_of_what_it_owns(tmp_path: Path) -> None:
    """Of every alias: the secdb names the GHSA, the language feed the CVE."""
    document = {
        "reponame": "os", "urlprefix": "https://packages.wolfi.dev",
        "packages": [{"pkg": {"name": "py3-x", "secfixes": {"0": ["GHSA-aaaa-bbbb-cccc"]}}}],
    }  # fmt: skip
    record = osv(
        "PYSEC-2026-1",
        affects("x", "introduced 0"),
        aliases=["CVE-2026-0001", "GHSA-aaaa-bbbb-cccc"],
    )
    path = write(tmp_path, {"security.json": json.dumps(document).encode()}) / "security.json"
    db = database(tmp_path, [record], secdb=path)
    wolfi = Distribution("wolfi", "20230201")
    owner = apk("py3-x", "1-r0", distribution=wolfi)
    matched = run(db, owner, pypi("x", "1.0", owner=str(owner.purl)), distribution=wolfi)
    assert states(matched) == {"CVE-2026-0001": "not_affected"}
    assert [each.rule for each in matched.dropped] == ["owned-by-distribution"]

"""The rules for language packages, each named after ADVISORIES' section on it (docs/advisories.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from staunch.model.finding import Level, State
from staunch.model.inventory import Confidence, FoundPackage
from staunch.model.purl import Purl
from tests.support.advisories import (
    BOOKWORM,
    DATA,
    affects,
    database,
    deb,
    golang,
    npm,
    one,
    osv,
    pypi,
    run,
    states,
    write,
)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PyPI advisories of October 2024."""
    return database(
        tmp_path_factory.mktemp("real"),
        osv=DATA / "pypi-osv" / "all.zip",
        kev=DATA / "kev" / "known_exploited_vulnerabilities.json",
        epss=DATA / "epss" / "epss_kev_subset.csv",
    )


def test_a_real_finding_carries_its_evidence(real: Path) -> None:
    found = one(run(real, pypi("requests", "2.30.0")), "CVE-2023-32681")
    assert (found.state, found.fixed_version) == (State.AFFECTED, "2.31.0")
    assert found.aliases == ("GHSA-j8r2-6x86-q33q", "PYSEC-2023-74")
    (evidence,) = found.evidence
    assert (evidence.feed, evidence.record, evidence.rule) == (
        "osv:pypi",
        "PYSEC-2023-74",
        "pypi-name",
    )
    assert (evidence.installed, evidence.compared) == ("2.30.0", "2.31.0")
    assert found.published == "2023-05-26T18:15:00Z"
    assert "https://github.com/psf/requests/releases/tag/v2.31.0" in found.references


def test_names_are_normalised(real: Path) -> None:
    """PEP 503."""
    assert states(run(real, pypi("Pillow", "9.0.0"))) == states(run(real, pypi("pillow", "9.0.0")))
    assert "CVE-2022-24303" in states(run(real, pypi("Pillow", "9.0.0")))


def test_local_versions_count_by_their_public_part(real: Path) -> None:
    assert states(run(real, pypi("torch", "1.13.0+cu117")))["CVE-2022-45907"] == "affected"
    assert states(run(real, pypi("torch", "1.13.1+cu117")))["CVE-2022-45907"] == "fixed"


def test_prereleases_fall_into_ranges(real: Path) -> None:
    assert states(run(real, pypi("requests", "2.31.0rc1")))["CVE-2023-32681"] == "affected"


def test_fixed_and_not_affected_are_kept(real: Path) -> None:
    found = states(run(real, pypi("requests", "2.32.0")))
    assert found["CVE-2023-32681"] == "fixed"
    assert set(found.values()) <= {"fixed", "not_affected"}


def test_an_unparsable_version_is_undetermined(real: Path) -> None:
    matched = run(real, pypi("requests", "not-a-version"))
    assert set(states(matched).values()) == {"undetermined"}
    assert {gap.what for gap in matched.gaps if "requests" in gap.where} == {"version"}


def test_a_legacy_version_is_compared_as_text_with_the_list(tmp_path: Path) -> None:
    listed = affects("old", "introduced 0", "fixed 2", versions=["2004d", "1.0"])
    db = database(tmp_path, [osv("PYSEC-1-1", listed)])
    assert states(run(db, pypi("old", "2004d"))) == {"PYSEC-1-1": "affected"}


def test_withdrawn_records_say_nothing_and_hold_no_aliases(tmp_path: Path) -> None:
    withdrawn = osv(
        "GHSA-aaaa-bbbb-cccc", affects("x", "introduced 0"), aliases=["CVE-2026-0001", "CVE-2026-0002"],
        withdrawn="2026-01-01T00:00:00Z",
    )  # fmt: skip
    live = osv("PYSEC-2026-1", affects("x", "introduced 0"), aliases=["CVE-2026-0001"])
    matched = run(database(tmp_path, [withdrawn, live]), pypi("x", "1"))
    assert one(matched, "CVE-2026-0001").aliases == ("PYSEC-2026-1",)
    assert [each.rule for each in matched.dropped] == ["withdrawn"]


def test_a_record_to_be_withdrawn_still_counts(tmp_path: Path) -> None:
    record = osv("PYSEC-2026-1", affects("x", "introduced 0"), withdrawn="2030-01-01T00:00:00Z")
    assert states(run(database(tmp_path, [record]), pypi("x", "1"))) == {"PYSEC-2026-1": "affected"}


def test_git_ranges_are_ignored(tmp_path: Path) -> None:
    git = {"type": "GIT", "repo": "https://x", "events": [{"introduced": "0"}, {"fixed": "abc"}]}
    entry = {"package": {"ecosystem": "PyPI", "name": "x"}, "ranges": [git]}
    assert states(run(database(tmp_path, [osv("A-1", entry)]), pypi("x", "1"))) == {}


def test_several_entries_of_one_package_are_united(tmp_path: Path) -> None:
    record = osv(
        "A-1", affects("x", "introduced 1", "fixed 2"), affects("x", "introduced 3", "fixed 4")
    )
    db = database(tmp_path, [record])
    assert states(run(db, pypi("x", "3.5"))) == {"A-1": "affected"}
    assert one(run(db, pypi("x", "1.5")), "A-1").fixed_version == "2"
    assert states(run(db, pypi("x", "4"))) == {"A-1": "fixed"}


def test_a_version_from_a_url_lowers_the_confidence(real: Path) -> None:
    package = pypi("requests", "2.30.0", direct_url="git+https://example.org/requests")
    assert one(run(real, package), "CVE-2023-32681").confidence is Confidence.LOW


def test_npm_ranges_include_prereleases(tmp_path: Path) -> None:
    record = osv(
        "GHSA-aaaa-bbbb-cccc", affects("lodash", "introduced 0", "fixed 4.17.21", ecosystem="npm")
    )
    db = database(tmp_path, [record])
    assert states(run(db, npm("lodash", "4.17.21-rc.1"))) == {"GHSA-aaaa-bbbb-cccc": "affected"}
    assert states(run(db, npm("lodash", "4.17.21"))) == {"GHSA-aaaa-bbbb-cccc": "fixed"}


def test_malware_gates_without_a_score(tmp_path: Path) -> None:
    record = osv("MAL-2026-1", affects("evil", ecosystem="npm", versions=["1.0.0"]))
    found = one(run(database(tmp_path, [record]), npm("evil", "1.0.0")), "MAL-2026-1")
    assert found.malware
    assert (found.level, found.cvss) == (Level.CRITICAL, ())


def test_go_versions(tmp_path: Path) -> None:
    name = "golang.org/x/net"
    record = osv("GO-2026-1", affects(name, "introduced 0", "fixed 0.23.0", ecosystem="Go"))
    std = osv("GO-2026-2", affects("stdlib", "introduced 1.22.0-0", "fixed 1.22.3", ecosystem="Go"))
    db = database(tmp_path, [record, std])
    assert states(run(db, golang(name, "v0.22.0"))) == {"GO-2026-1": "affected"}
    assert states(run(db, golang(name, "v0.0.0-20220722155237-a158d28d115b"))) == {
        "GO-2026-1": "affected"
    }
    assert states(run(db, golang(name, "(devel)"))) == {"GO-2026-1": "undetermined"}
    assert states(run(db, golang("stdlib", "1.22.1"))) == {"GO-2026-2": "affected"}
    assert states(run(db, golang("stdlib", "go1.22.3"))) == {"GO-2026-2": "fixed"}


def test_aliases_are_one_finding(tmp_path: Path) -> None:
    """Symmetric and transitive; the only CVE of the group is shown."""
    records = [
        osv(
            "GHSA-aaaa-bbbb-cccc",
            affects("x", "introduced 0", "fixed 3"),
            aliases=["CVE-2026-0001"],
        ),
        osv(
            "PYSEC-2026-1", affects("x", "introduced 0", "fixed 2"), aliases=["GHSA-aaaa-bbbb-cccc"]
        ),
    ]
    found = one(run(database(tmp_path, records), pypi("x", "1")), "CVE-2026-0001")
    assert found.aliases == ("GHSA-aaaa-bbbb-cccc", "PYSEC-2026-1")
    assert found.fixed_version == "3"  # the one that closes both records
    assert {each.record for each in found.evidence} == {"GHSA-aaaa-bbbb-cccc", "PYSEC-2026-1"}


def test_upstream_and_related_never_merge(tmp_path: Path) -> None:
    records = [
        osv("A-1", affects("x", "introduced 0"), related=["A-2"], upstream=["A-3"]),
        osv("A-2", affects("x", "introduced 0")),
        osv("A-3", affects("x", "introduced 0")),
    ]
    assert set(states(run(database(tmp_path, records), pypi("x", "1")))) == {"A-1", "A-2", "A-3"}


def test_bundles_never_merge_even_where_they_list_cves_as_aliases(tmp_path: Path) -> None:
    entry = affects("x", "introduced 0", "fixed 1.0-2", ecosystem="Debian:12")
    record = osv("DSA-5000-1", entry, aliases=["CVE-2026-0001", "CVE-2026-0002"])
    matched = run(database(tmp_path, [record]), deb("x", "1.0-1"), distribution=BOOKWORM)
    assert states(matched) == {"CVE-2026-0001": "affected", "CVE-2026-0002": "affected"}
    assert one(matched, "CVE-2026-0001").related == ("DSA-5000-1",)
    assert one(matched, "CVE-2026-0001").aliases == ()


def test_the_lowest_ghsa_is_shown_where_there_is_no_single_cve(tmp_path: Path) -> None:
    record = osv(
        "PYSEC-2026-1",
        affects("x", "introduced 0"),
        aliases=["GHSA-zzzz-zzzz-zzzz", "GHSA-aaaa-bbbb-cccc"],
    )
    assert list(states(run(database(tmp_path, [record]), pypi("x", "1")))) == [
        "GHSA-aaaa-bbbb-cccc"
    ]


def test_kev_and_epss_join_through_the_group(real: Path, tmp_path: Path) -> None:
    record = osv("GHSA-aaaa-bbbb-cccc", affects("x", "introduced 0"), aliases=["CVE-2021-44228"])
    db = database(
        tmp_path, [record],
        kev=DATA / "kev" / "known_exploited_vulnerabilities.json",
        epss=DATA / "epss" / "epss_kev_subset.csv",
    )  # fmt: skip
    found = one(run(db, pypi("x", "1")), "CVE-2021-44228")
    assert found.kev is not None
    assert (found.kev.added, found.kev.ransomware) == ("2021-12-10", True)
    assert found.epss is not None
    assert found.epss.score > 0.9
    assert (
        one(run(real, pypi("requests", "2.30.0")), "CVE-2023-32681").epss is None
    )  # absent is not nought


def test_cvss_4_counts_before_3(tmp_path: Path) -> None:
    severity = [
        {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
        {
            "type": "CVSS_V4",
            "score": "CVSS:4.0/AV:L/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
        },
        {"type": "CVSS_V3", "score": "nonsense"},
    ]
    found = one(
        run(
            database(
                tmp_path,
                [osv("GHSA-aaaa-bbbb-cccc", affects("x", "introduced 0"), severity=severity)],
            ),
            pypi("x", "1"),
        ),
        "GHSA-aaaa-bbbb-cccc",
    )
    assert [each.vector[:8] for each in found.cvss] == ["CVSS:4.0", "CVSS:3.1"]
    assert (found.level, found.level_source) == (Level.MEDIUM, "CVSS:4.0 github")


def test_without_a_feed_a_package_is_unassessed(real: Path) -> None:
    matched = run(real, npm("left-pad", "1.0.0"))
    assert one(matched, "unassessed").state is State.UNASSESSED
    assert ("feed", "npm") in {(gap.what, gap.where) for gap in matched.gaps}


def test_single_records_do_not_speak_for_the_whole_feed(tmp_path: Path) -> None:
    path = write(tmp_path, {"A-1.json": osv("A-1", affects("x", "introduced 0"))}) / "A-1.json"
    matched = run(database(tmp_path, osv=path), pypi("x", "1"), pypi("y", "1"))
    assert {each.id for each in matched.findings} == {"A-1", "unassessed"}


OWNER = "pkg:deb/debian/python3-jinja2@3.1.2-1"


def owned_feeds(tmp_path: Path, debian: bytes) -> Path:
    record = osv(
        "GHSA-aaaa-bbbb-cccc",
        affects("jinja2", "introduced 0", "fixed 3.1.4"),
        aliases=["CVE-2024-34064"],
    )
    return database(
        tmp_path, [record], debian_tracker=write(tmp_path, {"t.json": debian}) / "t.json"
    )


def test_a_language_package_of_a_distribution_is_left_to_its_feed(tmp_path: Path) -> None:
    tracker = b'{"jinja2": {"CVE-2024-34064": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "3.1.2-1", "urgency": "low"}}}}}'
    packages = deb("python3-jinja2", "3.1.2-1", "jinja2"), pypi("Jinja2", "3.1.2", owner=OWNER)
    matched = run(owned_feeds(tmp_path, tracker), *packages, distribution=BOOKWORM)
    assert states(matched) == {"CVE-2024-34064": "fixed"}
    assert one(matched, "CVE-2024-34064").package.purl.type == "deb"
    assert [each.rule for each in matched.dropped] == ["owned-by-distribution"]


def test_where_the_distribution_is_silent_it_is_reported_once_on_its_package(
    tmp_path: Path,
) -> None:
    tracker = b'{"jinja2": {"CVE-2000-0001": {"releases": {"bookworm": {"status": "open", "urgency": "low"}}}}}'
    packages = deb("python3-jinja2", "3.1.2-1", "jinja2"), pypi("Jinja2", "3.1.2", owner=OWNER)
    matched = run(owned_feeds(tmp_path, tracker), *packages, distribution=BOOKWORM)
    found = one(matched, "CVE-2024-34064")
    assert found.state is State.AFFECTED
    assert str(found.package.purl) == OWNER
    assert found.evidence[-1].rule == "language-package-of-distribution"
    assert found.confidence is Confidence.MEDIUM


def test_go_names_are_compared_without_case(tmp_path: Path) -> None:
    """Purls of Go modules are in lower case, OSV writes them as their authors do."""
    name = "github.com/Masterminds/goutils"
    entry = affects(name, "introduced 0", "fixed 1.1.1", ecosystem="Go")
    db = database(tmp_path, [osv("GO-2022-1", entry)])
    assert states(run(db, golang(name.lower(), "v1.1.0"))) == {"GO-2022-1": "affected"}
    assert states(run(db, golang(name, "v1.1.0"))) == {"GO-2022-1": "affected"}


def test_a_jar_without_a_group_is_unassessed(tmp_path: Path) -> None:
    entry = affects(
        "org.apache.logging.log4j:log4j-core", "introduced 2.0", "fixed 2.17.1", ecosystem="Maven"
    )
    db = database(tmp_path, [osv("GHSA-aaaa-bbbb-cccc", entry)])
    jar = jar_of("org.apache.logging.log4j", "log4j-core", "2.14.1")
    assert states(run(db, jar)) == {"GHSA-aaaa-bbbb-cccc": "affected"}
    matched = run(db, jar_of("", "log4j-core", "2.14.1"))
    assert one(matched, "unassessed").evidence[0].rule == "name-not-known"
    assert "maven packages without a group" in {gap.where for gap in matched.gaps}


def jar_of(group: str, artifact: str, version: str) -> FoundPackage:
    return FoundPackage(Purl("maven", group, artifact, version), artifact, version, "jar")


def test_models_are_no_packages(tmp_path: Path) -> None:
    model = FoundPackage(
        Purl("generic", "", "model.safetensors", ""), "model.safetensors", "", "model"
    )
    bundled = FoundPackage(
        Purl("generic", "", "libwebp", "1.2"), "libwebp", "1.2", "bundled-library"
    )
    matched = run(database(tmp_path, [osv("A-1", affects("x", "introduced 0"))]), model, bundled)
    assert [each.package.name for each in matched.findings] == ["libwebp"]

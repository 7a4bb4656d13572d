"""formats.debian_changelog: what a changelog says was fixed, by the rule of docs/advisories.md."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.ecosystems.deb import order
from staunch.errors import SpecError, UntrustedError
from staunch.formats.debian_changelog import (
    Fix,
    SourceFixes,
    facts_document,
    fixes_of,
    ids_in,
    joined,
    parse_changelog,
    read_facts,
)
from staunch.model.advisory import Advisory, Broken
from tests.support.advisories import DATA


def entry(version: str, suite: str, *lines: str) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return f"x ({version}) {suite}; urgency=medium\n\n{body}\n\n -- A B <a@b.org>  Tue, 24 Nov 2026 10:00:00 +0100\n\n"


def fixes(*entries: str, codename: str = "bookworm", number: str = "12") -> dict[str, Fix]:
    changelog = parse_changelog("".join(entries).encode())
    found = fixes_of(changelog, codename=codename, number=number, order=order)
    return {each.id: each for each in found.fixes}


def test_an_entry_is_read() -> None:
    changelog = parse_changelog(
        entry("1.0-2", "unstable", "* Fix CVE-2026-0001", "  (Closes: #123456)").encode()
    )
    (one,) = changelog.entries
    assert (changelog.source, one.version, one.distributions) == ("x", "1.0-2", ("unstable",))
    assert one.date == "2026-11-24T09:00:00Z"
    (bullet,) = one.bullets
    assert (bullet.ids, bullet.bugs, bullet.weak) == (("CVE-2026-0001",), ("123456",), False)


def test_bundles_of_ids_are_expanded() -> None:
    assert ids_in("CVE-2026-71196-71197-71198") == (
        "CVE-2026-71196",
        "CVE-2026-71197",
        "CVE-2026-71198",
    )
    assert ids_in("CAN-2026-2034440, ghsa-AAAA-bbbb-1234; XSA-300 and OSSA-2026-001") == (
        "CVE-2026-2034440",
        "GHSA-aaaa-bbbb-1234",
        "OSSA-2026-001",
        "XSA-300",
    )
    assert ids_in("CVE-2026-1 and CVE-12-1234") == ()


def test_an_id_that_is_broken_over_lines() -> None:
    assert list(fixes(entry("1", "unstable", "* fixes CVE-2026-", "  0001"))) == ["CVE-2026-0001"]


def test_the_entry_that_names_it_fixed_it() -> None:
    found = fixes(
        entry("1.0-1+deb12u2", "bookworm-security", "* CVE-2026-0002"),
        entry("1.0-1+deb12u1", "bookworm-security", "* CVE-2026-0001"),
        entry("1.0-1", "unstable", "* CVE-2025-0001"),
    )
    assert {each: fix.fixed_version for each, fix in found.items()} == {
        "CVE-2026-0002": "1.0-1+deb12u2",
        "CVE-2026-0001": "1.0-1+deb12u1",
        "CVE-2025-0001": "1.0-1",
    }
    assert not any(fix.named_in for fix in found.values())


def test_a_rebuild_that_sorts_before_its_origin_is_what_the_suite_got() -> None:
    """pixman: fixed in 0.40.0-1.1 of sid, shipped as 0.40.0-1.1~deb11u1, which sorts before it."""
    found = fixes(
        entry("0.40.0-1.1~deb11u1", "bullseye-security", "* Rebuild"),
        entry("0.40.0-1.1", "unstable", "* CVE-2022-44638"),
        codename="bullseye",
        number="11",
    )
    assert found["CVE-2022-44638"].fixed_version == "0.40.0-1.1~deb11u1"
    assert found["CVE-2022-44638"].named_in == "0.40.0-1.1"


def test_a_rebased_package_keeps_old_fixes_old() -> None:
    """expat 2.9.0-1~deb13u1 must not claim CVEs of 2013 as fixed only there."""
    found = fixes(
        entry("2.9.0-1~deb13u1", "trixie-security", "* Rebuild"),
        entry("2.9.0-1", "unstable", "* CVE-2026-0001"),
        entry("2.4.1-1", "unstable", "* CVE-2013-0340"),
        codename="trixie",
        number="13",
    )
    assert found["CVE-2013-0340"].fixed_version == "2.4.1-1"
    assert found["CVE-2026-0001"].fixed_version == "2.9.0-1~deb13u1"


def test_the_oldest_mention_wins() -> None:
    found = fixes(
        entry("3", "unstable", "* Fix regression of CVE-2026-0001"),
        entry("2", "unstable", "* CVE-2026-0001"),
    )
    assert (found["CVE-2026-0001"].fixed_version, found["CVE-2026-0001"].weak) == ("2", False)


@pytest.mark.parametrize(
    "words",
    [
        "Follow-up fix for",
        "Refresh patch of",
        "Drop patch for",
        "Fix a bug in the patch of",
        "Fix test of",
        "Fix regression in",
    ],
)
def test_a_follow_up_alone_is_weak(words: str) -> None:
    assert fixes(entry("2", "unstable", f"* {words} CVE-2026-0001"))["CVE-2026-0001"].weak


def test_an_item_below_a_follow_up_is_weak_too() -> None:
    found = fixes(
        entry(
            "2",
            "unstable",
            "* Refresh patches:",
            "  - CVE-2026-0001",
            "* New fix",
            "  - CVE-2026-0002",
        )
    )
    assert (found["CVE-2026-0001"].weak, found["CVE-2026-0002"].weak) == (True, False)


def test_suites_are_joined_by_bug_number() -> None:
    """pcre2 #1149217: GHSA alone in trixie, CVE-2026-103111 in bookworm."""
    ghsa, bug = "GHSA-aaaa-bbbb-cccc", ("1149217",)
    trixie = SourceFixes("pcre2", "2", (Fix(ghsa, "2", bugs=bug),), (Fix("5", "1", bugs=("5",)),))
    bookworm = SourceFixes(
        "pcre2",
        "1",
        (Fix("CVE-2026-103111", "1", bugs=bug), Fix("CVE-2026-0005", "1", bugs=("5",))),
    )
    found = {fix.id: fix.fixed_version for fix in joined(trixie, [bookworm]).fixes}
    assert found == {ghsa: "2", "CVE-2026-103111": "2", "CVE-2026-0005": "1"}
    assert set(joined(bookworm, []).fixes) == set(bookworm.fixes)


def test_trimming_is_told() -> None:
    text = (
        entry("1", "unstable", "* x") + "# Older entries have been removed from this changelog.\n"
    )
    assert parse_changelog(text.encode()).trimmed
    assert not parse_changelog(entry("1", "unstable", "* x").encode()).trimmed


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"no changelog\n", b"  * a bullet\n"])
def test_what_is_no_changelog(data: bytes) -> None:
    with pytest.raises(UntrustedError, match="cannot read changelog") as caught:
        parse_changelog(data)
    assert "urgency" in caught.value.why


def test_too_long() -> None:
    with pytest.raises(UntrustedError) as caught:
        parse_changelog(entry("1", "unstable", "* x").encode() * 20_002)
    assert caught.value.why == "it has more than 20,000 entries"


def test_facts_are_written_as_they_are_read() -> None:
    found = SourceFixes(
        "x", "2", (Fix("CVE-2026-0001", "1", "1.1", weak=True, date="2026-01-01T00:00:00Z", bugs=("5",)),),
        repositories=(("bookworm-security", "2"),),
    )  # fmt: skip
    reading = read_facts(facts_document([found]))
    assert reading.feed.name == "debian-changelog:bookworm"
    (record,) = reading.items
    assert isinstance(record, Advisory)
    (fact,) = record.affected
    assert (fact.namespace, fact.package, fact.weak) == ("debian:bookworm", "x", True)
    assert fact.ranges[0][1].version == "1"
    assert fact.note == "named in 1.1, which 1 rebuilds"


@pytest.mark.parametrize(("codename", "count"), [("bookworm", 3998), ("trixie", 5061)])
def test_the_facts_of_november_2026(codename: str, count: int) -> None:
    data = (DATA / "debian" / "changelog-derived" / f"{codename}.json").read_bytes()
    found = list(read_facts(data).items)
    assert len(found) == count
    assert not any(isinstance(each, Broken) for each in found)


def test_facts_that_are_none() -> None:
    rows = {
        "x": {"repositories": {"bookworm": "1"}, "cves": {"CVE-2026-1": {"fixed_version": "1"}}},
        "y": {},
    }
    found = list(read_facts(json.dumps(rows).encode()).items)
    assert [type(each) for each in found] == [Broken, Broken]
    with pytest.raises(UntrustedError) as caught:
        read_facts(b'{"x": {"repositories": {"bookworm": "1", "trixie-security": "2"}}}')
    assert caught.value.why == "`repositories` name 2 releases, one was wanted"
    with pytest.raises(UntrustedError) as caught:
        read_facts(b"[]")
    assert caught.value.why == "it names no source"


@given(
    st.text("x (1.0-2) unstable; urgency=low\n*-+ CVE-2026-0001#, A<a@b>\t", max_size=300)
    | st.binary(max_size=100).map(lambda raw: raw.decode("latin-1"))
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        changelog = parse_changelog(text.encode())
        fixes_of(changelog, codename="bookworm", number="12", order=order)
    except (UntrustedError, SpecError) as error:
        assert error.mend

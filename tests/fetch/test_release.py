"""Release files: read exactly, refused where trust would rest on a guess."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.fetch.release import check_release, parse_release
from staunch.model.digest import Digest
from tests.support.archive import FakeArchive, stamp

HEX = "0" * 64
GOOD = f"""Origin: Debian
Label: Debian-Security
Suite: stable-security
Codename: trixie-security
Date: Sat, 21 Nov 2026 00:53:03 UTC
Valid-Until: Sat, 28 Nov 2026 00:53:03 UTC
Acquire-By-Hash: yes
Architectures: all amd64
Components: updates/main updates/contrib
MD5Sum:
 d41d8cd98f00b204e9800998ecf8427e 0 main/binary-amd64/Packages
SHA256:
 {HEX} 12 main/binary-amd64/Packages
 {HEX}       34 main/binary-amd64/Packages.xz
"""


def test_good() -> None:
    release = parse_release(GOOD.encode())
    assert (release.origin, release.label) == ("Debian", "Debian-Security")
    assert (release.suite, release.codename) == ("stable-security", "trixie-security")
    assert release.date == datetime(2026, 11, 21, 0, 53, 3, tzinfo=UTC)
    assert release.valid_until == datetime(2026, 11, 28, 0, 53, 3, tzinfo=UTC)
    assert release.components == ("main", "contrib")
    assert release.architectures == ("all", "amd64")
    assert release.acquire_by_hash
    assert release.all_apart
    assert release.files["main/binary-amd64/Packages.xz"].size == 34
    assert release.files["main/binary-amd64/Packages"].digest == Digest(HEX)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Date: Sat, 21 Nov 2026 00:53:03 UTC\n", "", "field 'date' is ''"),
        ("00:53:03 UTC\nValid", "00:53:03 +0200\nValid", "wanted a date in UTC"),
        ("21 Nov 2026", "31 Nov 2026", "no such date"),
        ("21 Nov 2026", "21 Foo 2026", "wanted a date in UTC"),
        ("28 Nov 2026 00:53:03 UTC", "never", "'valid-until' is 'Sat, never'"),
        ("SHA256:", "SHA512:", "no SHA256 hashes"),
        (f" {HEX} 12 main", f" {HEX[1:]} 12 main", "unreadable hash line"),
        (f" {HEX} 12 main", f" {HEX} x main", "unreadable hash line"),
        ("Packages.xz", "Packages", "two different hashes"),
        ("Label: ", "Origin: ", "twice"),
        ("Label: Debian-Security", "Label", "neither a field"),
    ],
)
def test_malformed(old: str, new: str, why: str) -> None:
    assert old in GOOD
    with pytest.raises(UntrustedError) as caught:
        parse_release(GOOD.replace(old, new).encode())
    assert why in caught.value.why


@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_junk_is_refused_in_words(junk: bytes) -> None:
    with pytest.raises(UntrustedError):
        parse_release(junk)


@given(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
)
@settings(max_examples=50)
def test_dates_survive(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    assert parse_release(FakeArchive(date=moment).release()).date == moment


def test_a_pocket_is_not_its_release() -> None:
    """Ubuntu signs all pockets of a release with one key, and gives all of them its codename."""
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    text = GOOD.replace("stable-security", "noble-proposed").replace("trixie-security", "noble")
    proposed = parse_release(text.encode())
    check_release(proposed, archive="repository-1", suite="noble-proposed", now=now)
    with pytest.raises(UntrustedError, match="repository-1 noble is another suite") as caught:
        check_release(proposed, archive="repository-1", suite="noble", now=now)
    assert "asked for 'noble', the signed file says suite 'noble-proposed'" in caught.value.why
    for suite in ("stable-security", "trixie-security"):
        check_release(parse_release(GOOD.encode()), archive="debian", suite=suite, now=now)


def test_stamp_is_what_debian_writes() -> None:
    assert stamp(datetime(2026, 7, 1, 9, 5, 3, tzinfo=UTC)) == "Wed, 01 Jul 2026 09:05:03 UTC"

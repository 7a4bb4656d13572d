"""match.feeds: which feeds speak, and which are too old to be relied on."""

from __future__ import annotations

import pytest

from staunch.match.feeds import covering, feed_gaps, is_stale
from staunch.model.advisory import Feed
from tests.support.advisories import NOW


@pytest.mark.parametrize(
    ("format_", "retrieved", "newest", "why"),
    [
        ("debian-tracker", "2026-11-25T12:00:00Z", "", ""),
        ("debian-tracker", "2026-11-23T12:00:00Z", "", "retrieved 4 days ago, 3 allowed"),
        (
            "osv",
            "2026-11-27T00:00:00Z",
            "2026-09-01T00:00:00Z",
            "its newest record is 87 days old, 60 allowed",
        ),
        ("osv", "", "2026-11-20T00:00:00Z", ""),
        ("secdb", "2026-11-27T00:00:00Z", "2020-01-01T00:00:00Z", ""),
        ("secdb", "", "", "its age is not known"),
        ("secdb", "yesterday", "", "its age is not known"),
        (
            "osv",
            "2026-11-27T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "its newest record is of 9999-01-01, which has not come yet",
        ),
        (
            "osv",
            "2027-11-27",
            "2026-11-20T00:00:00Z",
            "it was retrieved on 2027-11-27, which has not come yet",
        ),
    ],
)
def test_stale(format_: str, retrieved: str, newest: str, why: str) -> None:
    assert is_stale(Feed("x", format_, retrieved=retrieved, newest=newest), NOW) == why


def test_silence_means_something_only_in_whole_feeds() -> None:
    whole = Feed("a", "osv", covers=("pypi",))
    part = Feed("b", "osv", covers=("npm",), partial="single records")
    assert covering([whole, part], ["pypi", "npm"]) == (whole,)
    assert covering([part], ["npm"]) == ()


def test_broken_records_are_a_gap() -> None:
    feed = Feed("a", "osv", retrieved="2026-11-27T00:00:00Z", records=9, broken=1)
    assert [gap.why for gap in feed_gaps([feed], now=NOW)] == [
        "1 of its 10 records could not be read"
    ]

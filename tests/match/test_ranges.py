"""match.ranges: OSV's evaluation over each ecosystem's order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from staunch.match.ranges import judge
from staunch.model.advisory import Affected, Event
from staunch.model.finding import State


def fact(*events: str, versions: tuple[str, ...] = ()) -> Affected:
    range_ = tuple(Event(*event.split(" ", 1)) for event in events)
    return Affected("pypi", "x", ranges=(range_,) if range_ else (), versions=versions)


@pytest.mark.parametrize(
    ("events", "version", "state", "fixed"),
    [
        (["introduced 0", "fixed 2.0"], "1.9", State.AFFECTED, "2.0"),
        (["introduced 0", "fixed 2.0"], "2.0", State.FIXED, "2.0"),
        (["introduced 0"], "99", State.AFFECTED, ""),
        (["introduced 1.5", "fixed 2.0"], "1.4", State.NOT_AFFECTED, ""),
        (["introduced 0", "last_affected 2.0"], "2.0", State.AFFECTED, ""),
        (["introduced 0", "last_affected 2.0"], "2.0.1", State.NOT_AFFECTED, ""),
        (["introduced 0", "limit 2.0"], "2.0", State.NOT_AFFECTED, ""),
        (["introduced 0", "limit 2.0"], "1.9", State.AFFECTED, ""),
        (["introduced 0", "limit *"], "1.9", State.AFFECTED, ""),
        # events of several branches in one range, in any order
        (
            ["introduced 3.0", "fixed 3.2", "introduced 0", "fixed 2.5"],
            "3.1",
            State.AFFECTED,
            "3.2",
        ),
        (["introduced 3.0", "fixed 3.2", "introduced 0", "fixed 2.5"], "2.5", State.FIXED, "2.5"),
        (["fixed 1.0", "introduced 2.0"], "3.0", State.AFFECTED, ""),
        # a range that does not say where it begins, begins at the beginning
        (["fixed 2.0"], "1.0", State.AFFECTED, "2.0"),
        # prereleases fall into ranges
        (["introduced 0", "fixed 2.0"], "2.0rc1", State.AFFECTED, "2.0"),
        (["introduced 0", "fixed 2.0rc1"], "2.0rc1", State.FIXED, "2.0rc1"),
        # ranges are of public versions
        (["introduced 0", "fixed 2.6.0"], "2.6.0+cu124", State.FIXED, "2.6.0"),
        (["introduced 2.5.0", "last_affected 2.5.0"], "2.5.0+cpu", State.AFFECTED, ""),
        (["introduced 0", "fixed 2.6.0+cu124"], "2.6.0+cpu", State.AFFECTED, "2.6.0+cu124"),
    ],
)
def test_evaluation(events: list[str], version: str, state: State, fixed: str) -> None:
    judged = judge(fact(*events), version, "pypi")
    assert (judged.state, judged.fixed if state is State.AFFECTED else fixed) == (state, fixed)


def test_listed_versions_count_whatever_the_ranges_say() -> None:
    stated = fact("introduced 0", "fixed 1.0", versions=("1.5", "banana"))
    assert judge(stated, "1.5", "pypi").state is State.AFFECTED
    assert judge(stated, "1.5+cu121", "pypi").state is State.AFFECTED
    assert judge(stated, "banana", "pypi").state is State.AFFECTED
    assert judge(fact(versions=("1.5",)), "1.6", "pypi").state is State.NOT_AFFECTED


def test_what_cannot_be_compared_is_undetermined() -> None:
    ranged = fact("introduced 0", "fixed 1.0")
    assert judge(ranged, "banana", "pypi").state is State.UNDETERMINED
    assert judge(ranged, "", "pypi").note == "the installed version is not known"
    odd = judge(fact("introduced 0", "fixed banana"), "1.0", "pypi")
    assert odd.state is State.UNDETERMINED
    assert odd.compared == "banana"
    assert "banana" in odd.note
    assert judge(ranged, "1.0", "gem").note == "Staunch does not order versions of gem"
    assert judge(fact(), "banana", "pypi").state is State.AFFECTED  # every version


def test_one_odd_range_does_not_hide_another() -> None:
    both = Affected(
        "pypi", "x",
        ranges=((Event("introduced", "?"),), (Event("introduced", "0"), Event("fixed", "2"))),
    )  # fmt: skip
    assert judge(both, "1", "pypi").state is State.AFFECTED
    assert judge(both, "3", "pypi").state is State.UNDETERMINED


def test_the_epoch_of_a_source_rpm_is_unknown() -> None:
    """perl-Errno 1.28 of perl-5.26.3 against the fix 4:5.26.3-419.el8."""
    stated = fact("introduced 0", "fixed 4:5.26.3-419.el8")
    assert judge(stated, "5.26.3-420.el8", "rpm").state is State.AFFECTED
    assert judge(stated, "5.26.3-420.el8", "rpm", without_epoch=True).state is State.FIXED
    assert judge(stated, "5.26.3-418.el8", "rpm", without_epoch=True).state is State.AFFECTED


def test_a_union_has_the_highest_of_the_fixes_needed() -> None:
    ranges = tuple((Event("introduced", "0"), Event("fixed", each)) for each in ("2.0", "3.0"))
    assert judge(Affected("pypi", "x", ranges=ranges), "1.0", "pypi").fixed == "3.0"
    open_ = (*ranges, (Event("introduced", "0"),))
    assert judge(Affected("pypi", "x", ranges=open_), "1.0", "pypi").fixed == ""


plain = st.lists(st.integers(0, 5), min_size=1, max_size=3).map(
    lambda each: ".".join(map(str, each))
)


@given(plain, plain, plain)
def test_between_introduced_and_fixed(low: str, high: str, version: str) -> None:
    """OSV schema: "introduced <= version < fixed"."""
    judged = judge(fact(f"introduced {low}", f"fixed {high}"), version, "pypi")
    if low != "0" and Version(low) < Version(high):
        inside = Version(low) <= Version(version) < Version(high)
        assert (judged.state is State.AFFECTED) == inside


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["introduced", "fixed", "last_affected", "limit"]), st.text(max_size=8)
        ),
        max_size=6,
    ),
    st.text(max_size=8),
    st.sampled_from(["deb", "apk", "rpm", "pypi", "npm", "golang", "cargo", "maven", "gem"]),
)
def test_nonsense_never_crashes(events: list[tuple[str, str]], version: str, kind: str) -> None:
    stated = Affected("x", "x", ranges=(tuple(Event(*each) for each in events),))
    assert judge(stated, version, kind).state in State

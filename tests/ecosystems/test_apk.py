"""ecosystems.apk: the order of apk-tools 3."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from univers.versions import AlpineLinuxVersion

from staunch.ecosystems.apk import order
from staunch.errors import SpecError
from tests.support.vectors import ascending

GENTOO = ["alpha", "beta", "pre", "rc", "p"]  # the suffixes that univers knows
SUFFIXES = ["alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"]


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("1.9", "1.10"),
        ("1.0", "1.0.0"),
        ("1.0.1", "1.1"),
        ("1", "1.0"),
        ("1.0", "1.0a"),
        ("1.0b", "1.0.1"),
        ("1.0a", "1.0b"),
        ("1.0_rc1", "1.0"),
        ("1.0_rc", "1.0_rc1"),
        ("1.0_alpha_pre2", "1.0_alpha"),
        ("1.0_p9", "1.0_p10"),
        ("1.0", "1.0_p1"),
        ("1.0_p1", "1.0a"),
        ("1.0-r9", "1.0-r10"),
        ("1.0", "1.0-r0"),
        ("1.0-r5", "1.0_p1-r0"),
        ("1.0_rc1-r5", "1.0-r0"),
        ("1.0-r1", "1.0~abc"),
        ("1.0~abc", "1.0~abd"),
        ("1.0~abc", "1.0~abc-r1"),
        ("8.2.0015", "8.2.002"),
        ("1.02", "1.1"),
        ("1.06-r6", "006"),
    ],
)
def test_order(less: str, more: str) -> None:
    assert order(less) < order(more)


def test_equal() -> None:
    assert order("006.1-r01") == order("6.1-r1")
    assert order("1.0_p01") == order("1.0_p1")
    assert order("1.0") != order("1.00")


def test_all_suffixes_in_order() -> None:
    keys = [order(f"1.2{'_' if suffix else ''}{suffix}") for suffix in SUFFIXES]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "version",
    [
        "",
        "a",
        "1.",
        ".1",
        "1..2",
        "1ab",
        "1a2",
        "1_foo",
        "1_p_",
        "1-1",
        "1-r",
        "1-r1-r2",
        "1A",
        "1.0~",
        "1.0~xyz",
        "1.0-r1_p1",
        "1 ",
        "٣",
        "1.0\n",
    ],
)
def test_invalid(version: str) -> None:
    with pytest.raises(SpecError, match="not a version of apk") as caught:
        order(version)
    assert "digits{.digits}{letter}" in caught.value.why


parts = st.from_regex(r"[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2}){0,3}[a-c]?", fullmatch=True).filter(
    str.isascii
)
versions = st.builds(
    lambda main, suffixes, revision: main + "".join(suffixes) + f"-r{revision}",
    parts,
    st.lists(
        st.builds(lambda s, n: f"_{s}{n}", st.sampled_from(GENTOO), st.integers(1, 20)),
        max_size=2,
    ),
    st.integers(0, 20),
)


@given(versions, versions)
@settings(max_examples=150)
def test_like_univers_where_both_follow_one_rule(one: str, other: str) -> None:
    """Gentoo's rule: suffixes that both know, no numbers with leading zeros."""
    a, b = order(one), order(other)
    wanted = AlpineLinuxVersion(one), AlpineLinuxVersion(other)
    assert (a < b, a == b) == (wanted[0] < wanted[1], wanted[0] == wanted[1])


def test_like_univers_on_real_versions() -> None:
    plain = [
        version
        for _, version in ascending("apk")
        if "-r" in version
        and not any(part.startswith("0") for part in version.split(".")[1:])
        and not any(f"_{suffix}" in version for suffix in ("cvs", "svn", "git", "hg"))
    ]
    assert len(plain) > 50
    for before, after in itertools.pairwise(plain):
        assert AlpineLinuxVersion(before) < AlpineLinuxVersion(after)

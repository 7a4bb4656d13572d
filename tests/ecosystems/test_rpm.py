"""ecosystems.rpm: rpm-version(7), and rpm itself."""

from __future__ import annotations

import itertools
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from univers.versions import RpmVersion

from staunch.ecosystems.rpm import order
from staunch.errors import SpecError
from tests.support.tools import need
from tests.support.vectors import ascending


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("1.0~rc1", "1.0"),
        ("1.0~~", "1.0~"),
        ("1.0", "1.0^git1"),
        ("1.0^git1", "1.0.1"),
        ("1.0^git1~pre", "1.0^git1"),
        ("1.0^git1", "1.0^git2"),
        ("1.0^", "1.0a"),
        ("1.9", "1.10"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0.1"),
        ("1.0Z", "1.0a"),
        ("9-1", "1:1-1"),
        ("1.0", "1.0-1"),
        ("1.0-1.el8", "1.0-1.el9"),
        ("1.0-9", "1.0-10"),
        ("1.0-1", "1.0.1"),
    ],
)
def test_order(less: str, more: str) -> None:
    assert order(less) < order(more)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1_0"),
        ("1.0", "1.0."),
        ("1.01", "1.1"),
        ("1.0-1", "0:1.0-1"),
        (":1", "1"),
        ("1a1", "1.a.1"),
    ],
)
def test_equal(one: str, other: str) -> None:
    assert order(one) == order(other)
    assert hash(order(one)) == hash(order(other))


@pytest.mark.parametrize(
    "version",
    ["", "1:", "a:1", "1-", "-1", "1-1-1", "1..0", "1.0-1..2", "1 0", "1/0", "é", "1:2:3"],
)
def test_invalid(version: str) -> None:
    with pytest.raises(SpecError, match="not a version of rpm") as caught:
        order(version)
    assert "may stand in version and release" in caught.value.why


def test_epochs_are_of_32_bits() -> None:
    assert order("4294967295:1") > order("1:1")
    for version in ("4294967296:1", "9" * 50 + ":1"):
        with pytest.raises(SpecError) as caught:
            order(version)
        assert caught.value.why == "its epoch is over 4294967295"
    assert order("0" * 50 + "7:1") == order("7:1")


@given(
    st.from_regex(r"[0-9a-z][0-9a-z.]{0,6}", fullmatch=True).filter(
        lambda v: ".." not in v and v.isascii()
    )
)
@settings(max_examples=50)
def test_tilde_and_caret(version: str) -> None:
    """rpm-version(7): a tilde sorts before the base version, a caret behind it."""
    assert order(f"{version}~1") < order(version) < order(f"{version}^1")


@given(st.text("019az._+~", min_size=1, max_size=7), st.text("019az._+~", min_size=1, max_size=7))
@settings(max_examples=100)
def test_like_univers(one: str, other: str) -> None:
    try:
        a, b = order(one), order(other)
    except SpecError:
        return
    wanted = RpmVersion(one), RpmVersion(other)
    assert (a < b, a == b) == (wanted[0] < wanted[1], wanted[0] == wanted[1])


def rpm_says(pairs: list[tuple[str, str]], compare: str, folder: Path) -> list[int]:
    script = folder / "compare.lua"
    lines = [f'io.write(" ", tostring({compare % pair}))' for pair in pairs]
    script.write_text("\n".join(lines), encoding="utf-8")
    argv = [need("rpm"), "--eval", f'%{{lua: dofile("{script}")}}']
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def sign(one: object, other: object) -> int:
    return (one > other) - (one < other)  # type: ignore[operator]  # keys of one ecosystem


@pytest.mark.interop
def test_rpm_orders_any_versions_alike(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    pairs: list[tuple[str, str]] = []
    while len(pairs) < 3000:
        one, other = ("".join(chance.choices("0019ab._+~^", k=chance.randint(1, 7))) for _ in "12")
        if ".." not in one + " " + other:
            pairs.append((one, other))
    got = rpm_says(pairs, 'rpm.vercmp("%s", "%s")', tmp_path)
    assert got == [sign(order(one), order(other)) for one, other in pairs]


@pytest.mark.interop
def test_rpm_orders_real_versions_alike(tmp_path: Path) -> None:
    versions = [version for _, version in ascending("rpm")]
    pairs = list(itertools.pairwise(versions))
    less = '(rpm.ver("%s") < rpm.ver("%s")) and -1 or 0'
    assert rpm_says(pairs, less, tmp_path) == [sign(order(a), order(b)) for a, b in pairs]

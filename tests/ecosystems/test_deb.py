"""ecosystems.deb: deb-version(7), and dpkg itself."""

from __future__ import annotations

import itertools
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.ecosystems.deb import order
from staunch.errors import SpecError
from tests.support.tools import need
from tests.support.vectors import ascending

upstream = st.from_regex(r"[0-9][A-Za-z0-9.+~]{0,8}", fullmatch=True).filter(str.isascii)
revision = st.from_regex(r"[A-Za-z0-9.+~]{1,6}", fullmatch=True).filter(str.isascii)
versions = st.builds(
    lambda epoch, up, rev: f"{epoch}{up}{'-' + rev if rev else ''}",
    st.sampled_from(["", "", "0:", "1:", "10:"]),
    upstream,
    st.none() | revision,
)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("1.0~rc1", "1.0"),
        ("1.0~~", "1.0~~a"),
        ("1.0~~a", "1.0~"),
        ("1.0~", "1.0"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+"),
        ("1.0-1", "1.0-1+b1"),
        ("1.0-1", "1.0.1-1"),
        ("1.9", "1.10"),
        ("9", "1:1"),
        ("1:9", "10:1"),
        ("1.0-1~deb12u1", "1.0-1"),
        ("1.0-9", "1.0-10"),
        ("1.0Z", "1.0a"),
        ("1.0-a-1", "1.0-b-0"),
        ("12.4+deb12u9", "12.4+deb12u15"),
    ],
)
def test_order(less: str, more: str) -> None:
    assert order(less) < order(more)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "0:1.0"),
        ("1.0", "1.0-0"),
        ("1.0", "1.00"),
        ("1.0", "1.000-000"),
        ("01", "1"),
        ("1.a", "1.a0"),
        ("+1:2", "1:2"),
        (" 1.0\n", "1.0"),
        ("0001:1", "1:1"),
    ],
)
def test_equal(one: str, other: str) -> None:
    assert order(one) == order(other)
    assert hash(order(one)) == hash(order(other))


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("", "it is empty"),
        ("1:", "does not begin with a digit"),
        (":1", "its epoch '' is not a number"),
        ("a:1", "its epoch 'a' is not a number"),
        ("1-1:1", "its epoch '1-1' is not a number"),
        ("2147483648:1", "its epoch is over 2147483647"),
        ("9" * 40 + ":1", "its epoch is over 2147483647"),
        ("1.0-", "nothing follows its last hyphen"),
        ("a1", "does not begin with a digit"),
        ("~1", "does not begin with a digit"),
        ("1_2", "only letters, digits and `.+-~`"),
        ("1 2", "only letters"),
        ("1-1_", "only letters"),
        ("1\u0661", "only letters"),
    ],
)
def test_invalid(version: str, why: str) -> None:
    with pytest.raises(SpecError, match="not a version of dpkg") as caught:
        order(version)
    assert why in caught.value.why


def test_the_greatest_epoch() -> None:
    assert order("2147483647:1") > order("2147483646:2")
    assert order("0" * 30 + "1:1") == order("1:1")


@given(upstream)
@settings(max_examples=50)
def test_tilde_sorts_first(version: str) -> None:
    """deb-version(7): "a tilde sorts before anything, even the end of a part"."""
    assert order(f"{version}~rc1") < order(version)
    assert order(f"{version}~") < order(version)


@given(upstream, revision)
@settings(max_examples=50)
def test_a_higher_epoch_wins(version: str, other: str) -> None:
    """deb-version(7): epochs exist to leave mistakes in older version numbers behind."""
    assert order(f"1:{version}") > order(version)
    assert order(f"{version}-{other}") >= order(f"{version}-{other}~")


def dpkg(one: str, relation: str, other: str) -> bool:
    argv = [need("dpkg"), "--compare-versions", one, relation, other]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.mark.interop
def test_dpkg_orders_real_versions_alike() -> None:
    listing = ascending("deb")
    for (_, before), (equal, after) in itertools.pairwise(listing):
        assert dpkg(before, "eq" if equal else "lt", after)


@pytest.mark.interop
@given(versions, versions)
@settings(max_examples=50, deadline=None)
def test_dpkg_orders_any_versions_alike(one: str, other: str) -> None:
    a, b = order(one), order(other)
    assert dpkg(one, "lt" if a < b else "gt" if a > b else "eq", other)


@pytest.mark.interop
@given(  # dpkg's strtol takes a sign and blanks before an epoch; we do not
    st.text("01a.:-_+~ ", min_size=1, max_size=6).filter(
        lambda text: text[0] != "-" and text.partition(":")[0].strip()[:1] not in ("-", "+")
    )
)
@settings(max_examples=80, deadline=None)
def test_dpkg_refuses_what_we_refuse(version: str) -> None:
    argv = [need("dpkg"), "--validate-version", version]
    valid = subprocess.run(argv, capture_output=True, check=False).returncode == 0
    try:
        order(version)
    except SpecError:
        assert not valid
    else:
        assert valid

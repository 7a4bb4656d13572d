"""What every ecosystem must hold, run over all of them by listing the package."""

from __future__ import annotations

import importlib
import itertools
import pickle
import pkgutil
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import staunch.ecosystems
from staunch.ecosystems.contract import Ecosystem, invalid_version, number
from staunch.errors import SpecError
from tests.support.vectors import FOLDER, ascending


@dataclass(frozen=True)
class Named:
    name: str
    ecosystem: Ecosystem


def listed() -> list[Named]:
    found = []
    for module in pkgutil.iter_modules(staunch.ecosystems.__path__):
        loaded = importlib.import_module(f"staunch.ecosystems.{module.name}")
        ecosystem = getattr(loaded, "ECOSYSTEM", None)
        if ecosystem is not None:
            found.append(Named(module.name, ecosystem))
    return found


ALL = listed()
each = pytest.mark.parametrize("named", ALL, ids=lambda named: named.name)
JUNK = [
    "",
    " ",
    "not a version",
    "1 2",
    "1/2",
    "é",
    "1\n2",
    "\0",
    "1:",
    "-1",
    "1-",
    "!",
    "9" * 5 + ":",
]


def test_the_families_are_there() -> None:
    assert {named.name for named in ALL} >= {
        "apk",
        "deb",
        "pypi",
        "rpm",
        "npm",
        "golang",
        "cargo",
        "maven",
    }


@each
def test_shape(named: Named) -> None:
    assert isinstance(named.ecosystem, Ecosystem)
    assert named.ecosystem.purl_type == named.name
    assert (FOLDER / f"{named.name}.txt").exists()


@each
def test_real_versions_in_their_order(named: Named) -> None:
    order = named.ecosystem.order
    listing = ascending(named.name)
    assert len(listing) > 50
    for (_, before), (equal, after) in itertools.pairwise(listing):
        if equal:
            assert order(before) == order(after), (before, after)
            assert hash(order(before)) == hash(order(after))
        else:
            assert order(before) < order(after), (before, after)
            assert order(after) > order(before)
            assert order(before) != order(after)


@each
def test_sorting_does_not_depend_on_the_start(named: Named) -> None:
    keys = [named.ecosystem.order(version) for _, version in ascending(named.name)]
    shuffled = keys.copy()
    random.Random(1).shuffle(shuffled)
    assert sorted(shuffled) == keys


@each
@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_refused_with_a_remedy(named: Named, junk: str) -> None:
    with pytest.raises(SpecError) as caught:
        named.ecosystem.order(junk)
    assert repr(junk) in caught.value.what
    assert caught.value.why
    assert caught.value.mend


@each
def test_giant_versions_are_compared_or_refused_quickly(named: Named) -> None:
    giant = "1." * 20_000 + "9" * 20_000
    try:
        assert named.ecosystem.order(giant) > named.ecosystem.order("1.1")
    except SpecError as fault:
        assert len(fault.what) < 300


@each
@given(data=st.data())
@settings(max_examples=100)
def test_a_total_order_over_anything(named: Named, data: st.DataObject) -> None:
    text = st.text("0019ab.:-_+~^!rcpostdev ", max_size=10)
    real = st.sampled_from([version for _, version in ascending(named.name)])
    versions = data.draw(st.lists(text | real, min_size=3, max_size=3))
    keys = []
    for version in versions:
        try:
            keys.append(named.ecosystem.order(version))
        except SpecError as fault:
            assert fault.mend
    for a, b in itertools.product(keys, repeat=2):
        assert (a < b) + (a == b) + (a > b) == 1
        assert (hash(a) == hash(b)) or a != b
        for c in keys:
            assert not (a <= b <= c) or a <= c


@each
def test_keys_survive_being_stored(named: Named) -> None:
    keys = [named.ecosystem.order(version) for _, version in ascending(named.name)]
    assert pickle.loads(pickle.dumps(keys)) == keys


def test_numbers_of_any_length() -> None:
    assert number("007") == number("7")
    assert number("9") < number("10") < number("11")
    assert number("9" * 10_000) < number("1" + "0" * 10_000)


def test_long_junk_is_cut_in_messages() -> None:
    assert len(invalid_version("x" * 5000, "dpkg", "w").what) < 150

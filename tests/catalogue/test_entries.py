"""Every catalogue entry, by listing: it loads on each release, in each profile, and is well made."""

from __future__ import annotations

import ast

import pytest

from staunch.ecosystems import foundations
from staunch.model.spec import Profile
from staunch.spec import load
from staunch.spec.entries import names

pytestmark = pytest.mark.parametrize("name", names())


@pytest.mark.parametrize("foundation", foundations.known())
@pytest.mark.parametrize("profile", Profile)
def test_it_loads_everywhere(name: str, foundation: str, profile: Profile) -> None:
    spec = load(name, foundation=foundation, profile=profile)
    assert spec.name == name
    assert str(spec.foundation) == foundation
    assert spec.source is None


def test_it_says_what_it_is_for(name: str) -> None:
    summary = load(name).summary
    assert 10 < len(summary) <= 80
    assert not summary.endswith(".")


def test_it_names_no_package_of_one_release_only(name: str) -> None:
    """``libssl3`` is ``libssl3t64`` on debian:13: such libraries come as dependencies."""
    assert not [each for each in load(name).packages if "t64" in each.text or "ssl" in each.text]


def test_its_tests_say_what_they_expect(name: str) -> None:
    spec = load(name)
    assert bool(spec.tests) == (name not in ("static", "base"))
    for test in spec.tests:
        assert test.expect
        if spec.python is not None:
            assert test.run[:2] == ("python3", "-c")
            ast.parse(test.run[2])

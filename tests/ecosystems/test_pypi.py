"""ecosystems.pypi: PEP 440."""

from __future__ import annotations

import pytest

from staunch.ecosystems.pypi import VERSION_CHARACTERS, order
from staunch.errors import SpecError


def test_the_order_of_the_pep() -> None:
    """PEP 440, "Summary of permitted suffixes and relative ordering"."""
    versions = ["1.dev0", "1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12"]
    versions += ["1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345", "1.0rc1.dev456"]
    versions += ["1.0rc1", "1.0", "1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34"]
    versions += ["1.0.post456", "1.0.15", "1.1.dev1", "1!0.1"]
    keys = [order(version) for version in versions]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1"),
        ("1.0", "v1.0.0"),
        ("1.0rc1", "1.0-RC.1"),
        ("1.0.post1", "1.0-1"),
        ("1.0a", "1a0"),
    ],
)
def test_equal(one: str, other: str) -> None:
    assert order(one) == order(other)
    assert hash(order(one)) == hash(order(other))


@pytest.mark.parametrize(
    "version", ["", "abc", "1.0-", "1.0+", "1..0", "1.0.x", "2.0.1rc2-git", "1:1.0"]
)
def test_invalid(version: str) -> None:
    with pytest.raises(SpecError, match="not a version of PEP 440") as caught:
        order(version)
    assert "[N!]N(.N)*" in caught.value.why


def test_too_long() -> None:
    with pytest.raises(SpecError) as caught:
        order("1" * (VERSION_CHARACTERS + 1))
    assert caught.value.why == "it has 1001 characters, the limit is 1000"
    assert order("1" * VERSION_CHARACTERS) > order("1")

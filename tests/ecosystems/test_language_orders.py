"""ecosystems.npm, golang, cargo and maven, against their specifications and univers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from univers.versions import GolangVersion, MavenVersion, SemverVersion

from staunch.ecosystems import cargo, golang, maven, npm
from staunch.errors import SpecError

SPEC = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"
numbers = st.integers(0, 12).map(str)
words = st.sampled_from(["alpha", "beta", "rc", "x-y", "a1", "0a"])
semvers = st.builds(
    lambda core, pre, build: ".".join(core) + (f"-{'.'.join(pre)}" if pre else "") + build,
    st.lists(numbers, min_size=3, max_size=3),
    st.lists(numbers | words, max_size=3),
    st.sampled_from(["", "+build.1"]),
)
mavens = st.builds(
    lambda core, tail: ".".join(core) + tail,
    st.lists(numbers, min_size=1, max_size=3),
    st.sampled_from(
        ["", "-alpha-1", "-beta2", "-SNAPSHOT", "-rc1", "-M1", ".Final", "-jre", "-sp", "-1"]
    ),
)


def sign(a: object, b: object) -> int:
    return (a > b) - (a < b)  # type: ignore[operator]  # keys of one ecosystem


def test_the_example_of_the_specification() -> None:
    """semver.org, clause 11."""
    keys = [npm.order(each) for each in SPEC.split()]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@given(semvers, semvers)
def test_npm_and_cargo_order_as_univers_does(one: str, other: str) -> None:
    plain = one.partition("+")[0], other.partition("+")[0]
    wanted = sign(SemverVersion(plain[0]), SemverVersion(plain[1]))
    assert sign(npm.order(one), npm.order(other)) == wanted
    assert sign(cargo.ECOSYSTEM.order(one), cargo.ECOSYSTEM.order(other)) == wanted


@given(semvers, semvers)
def test_go_orders_as_univers_does(one: str, other: str) -> None:
    plain = one.partition("+")[0], other.partition("+")[0]
    wanted = sign(GolangVersion(f"v{plain[0]}"), GolangVersion(f"v{plain[1]}"))
    assert sign(golang.order(f"v{one}"), golang.order(other)) == wanted


@settings(max_examples=200)
@given(mavens, mavens)
def test_maven_orders_as_univers_does(one: str, other: str) -> None:
    wanted = sign(MavenVersion(one), MavenVersion(other))
    assert sign(maven.order(one), maven.order(other)) == wanted


@pytest.mark.parametrize(
    ("order", "tool", "versions"),
    [
        (npm.order, "semver", ["1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+"]),
        (golang.order, "Go", ["(devel)", "master", "v1", "go1", "v1.2.3-"]),
        (maven.order, "Maven", ["", "-1", "1-", "a b", "RELEASE", "1" * 1001, "1$"]),
    ],
)
def test_what_is_no_version(order: object, tool: str, versions: list[str]) -> None:
    for version in versions:
        with pytest.raises(SpecError, match=f"not a version of {tool}") as caught:
            order(version)  # type: ignore[operator]  # a function
        assert caught.value.why


def test_go_toolchains() -> None:
    ordered = ["go1.20", "go1.21rc2", "go1.21rc3", "1.21.0", "go1.21.3", "go1.22"]
    keys = [golang.order(each) for each in ordered]
    assert keys == sorted(keys)
    assert golang.order("go1.21") == golang.order("v1.21.0")


def test_pseudo_versions() -> None:
    """go.dev/ref/mod, "Pseudo-versions": before the release that they lead to."""
    assert (
        golang.order("v0.0.0-20191109021931-daa7c04131f5")
        < golang.order("v0.1.0")
        < golang.order("v1.2.3-0.20191109021931-daa7c04131f5")
        < golang.order("v1.2.3")
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1"),
        ("1-ga", "1.0.0"),
        ("1.0-FINAL", "1"),
        ("1.0a1", "1-alpha-1"),
        ("1-cr1", "1-rc1"),
    ],
)
def test_maven_equals(one: str, other: str) -> None:
    assert maven.order(one) == maven.order(other)

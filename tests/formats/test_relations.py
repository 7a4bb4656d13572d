"""Relations, as Policy chapter 7 writes them."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.relations import Group, Relation, parse_relations


def parse(text: str, architecture: str = "amd64") -> tuple[Group, ...]:
    return parse_relations(text, architecture=architecture)


def test_everything_at_once() -> None:
    assert parse("libc6 (>= 2.36), default-mta | mail-transport-agent,\n python3:any (<< 4~),") == (
        (Relation("libc6", ">=", "2.36"),),
        (Relation("default-mta"), Relation("mail-transport-agent")),
        (Relation("python3", "<<", "4~", "any"),),
    )


def test_blanks_do_not_matter() -> None:
    assert parse("a(>=1)|b ( = 2 )") == ((Relation("a", ">=", "1"), Relation("b", "=", "2")),)
    assert parse(" ") == parse(",, ,") == ()


def test_obsolete_operators() -> None:
    """Policy 7.1: `<` and `>` meant "earlier or equal", "later or equal"."""
    assert parse("a (< 1), b (> 2)") == ((Relation("a", "<=", "1"),), (Relation("b", ">=", "2"),))


@pytest.mark.parametrize(
    ("restriction", "there"),
    [
        ("amd64", True),
        ("arm64", False),
        ("arm64 amd64", True),
        ("!amd64", False),
        ("!arm64", True),
        ("linux-any", True),
        ("any-amd64", True),
        ("linux-amd64", True),
        ("kfreebsd-any", False),
        ("!linux-any", False),
    ],
)
def test_architectures(restriction: str, *, there: bool) -> None:
    assert bool(parse(f"a [{restriction}]")) is there
    assert len(parse(f"a [{restriction}] | b")[0]) == 1 + there


@pytest.mark.parametrize("text", ["a b", "a (1)", "a (>= 1", "(>= 1)", "a | ", "|", "a (>> )", "é"])
def test_refused(text: str) -> None:
    with pytest.raises(UntrustedError, match="is no relation such as"):
        parse(text)


def test_too_many() -> None:
    with pytest.raises(UntrustedError, match="at most 100000 relations"):
        parse("a," * 100_002)


NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.\-]{0,9}", fullmatch=True)
RELATIONS = st.builds(
    Relation, NAMES, st.sampled_from(["<<", "<=", "=", ">=", ">>"]), st.just("1:2~3-4"), st.just("")
) | st.builds(Relation, NAMES, st.just(""), st.just(""), st.sampled_from(["", "any", "native"]))


@given(st.lists(st.lists(RELATIONS, min_size=1, max_size=3).map(tuple), max_size=4).map(tuple))
@settings(max_examples=50)
def test_round_trip(groups: tuple[Group, ...]) -> None:
    text = ", ".join(" | ".join(str(each) for each in group) for group in groups)
    assert parse(text) == groups


@given(st.text(max_size=40))
@example("a" * 50_000)
@settings(max_examples=100)
def test_junk_is_read_or_refused(text: str) -> None:
    try:
        groups = parse(text)
    except UntrustedError:
        return
    assert all(each.name for group in groups for each in group)

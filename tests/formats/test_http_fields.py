"""Header fields of registries: what servers write, and what they should not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.formats.http_fields import Challenge, next_link, parse_challenges, uploaded


def test_what_registries_ask_for() -> None:
    (found,) = parse_challenges(
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
        'scope="repository:library/python:pull,push"'
    )
    assert found.scheme == "bearer"
    assert found.get("realm") == "https://auth.docker.io/token"
    assert found.get("scope") == "repository:library/python:pull,push"
    assert found.get("none") == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ()),
        ('Basic realm="a, b"', (Challenge("basic", (("realm", "a, b"),)),)),
        ("Negotiate", (Challenge("negotiate"),)),
        ("Negotiate YII=, Basic realm=x", (Challenge("negotiate"), Challenge("basic", (("realm", "x"),)))),
        ('Basic Realm = "q\\"uote" , charset=UTF-8',
         (Challenge("basic", (("charset", "UTF-8"), ("realm", 'q"uote'))),)),
        ('Basic, Bearer realm="r"', (Challenge("basic"), Challenge("bearer", (("realm", "r"),)))),
        ('Bearer realm="first",realm="second"', (Challenge("bearer", (("realm", "first"),)),)),
        ('Bearer realm="open', (Challenge("bearer"), Challenge("realm"))),
        ('"', ()),
    ],
)  # fmt: skip
def test_challenges(text: str, wanted: tuple[Challenge, ...]) -> None:
    assert parse_challenges(text) == wanted


_token = st.from_regex(r"\A[a-z][a-z0-9-]{0,8}\Z")
_value = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@given(
    st.lists(st.tuples(_token, st.dictionaries(_token, _value, min_size=1, max_size=3)), max_size=3)
)
def test_what_is_written_is_read(challenges: list[tuple[str, dict[str, str]]]) -> None:
    """RFC 9110, 11.6.1: challenges and their parameters are both lists with commas."""

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in pairs.items())
        for scheme, pairs in challenges
    )
    wanted = tuple(Challenge(scheme, tuple(sorted(pairs.items()))) for scheme, pairs in challenges)
    assert parse_challenges(text) == wanted


@given(st.text(max_size=200))
def test_no_text_breaks_them(text: str) -> None:
    assert isinstance(parse_challenges(text), tuple)
    assert next_link(text) is None or "<" in text
    number = uploaded(text)
    assert number is None or number >= 0


@pytest.mark.parametrize(
    "text", ['"' * 20_000, "a=" * 20_000, "Basic a=" + '"\\' * 20_000, "<" * 20_000]
)
def test_long_ones_take_no_time(text: str) -> None:
    parse_challenges(text)
    next_link(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('</v2/a/tags/list?last=b&n=2>; rel="next"', "/v2/a/tags/list?last=b&n=2"),
        ("<a>; rel=next", "a"),
        ('<a>; rel="prev", <b>; title="x"; rel="last next"', "b"),
        ('<a>; REL = "Next"', "a"),
        ('<a>; rel="prev"', None),
        ("<>; rel=next", None),
        ("a; rel=next", None),
        ("", None),
    ],
)
def test_links(text: str, wanted: str | None) -> None:
    assert next_link(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("0-99", 100), ("bytes=0-99", 100), ("0-0", 0), ("1-99", None), ("0-", None), ("", None),
     ("0--1", None), ("0-9999999999999999999", None)],
)  # fmt: skip
def test_uploaded(text: str, wanted: int | None) -> None:
    assert uploaded(text) == wanted

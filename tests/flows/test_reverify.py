"""Lists that are verified again: what is read, what is remembered, what is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.reverify import Known, format_state, parse_list, parse_state, reverify
from staunch.model.digest import Digest
from staunch.model.verdict import Passed, Refused, Unknown

ONE, TWO = Digest("1" * 64), Digest("2" * 64)
LISTED = (Known("registry.example.org/app:1"),)
NAME = "registry.example.org/app:1"


def test_a_list():
    text = f"# ours\n\n{NAME}   {ONE}  # pinned\nregistry.example.org/b\n"
    assert parse_list(text.encode(), file="l") == (
        Known(NAME, ONE),
        Known("registry.example.org/b:latest"),
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "l:1: cannot read the list\n  why:  it names no image"),
        (b"\xff", "it is not UTF-8 text"),
        (b"\nx\n", "l:2: cannot read the list\n  why:  not an image reference"),
        (b"r.example.org/a sha256:1", "not a digest"),
        (b"r.example.org/a b c", "wanted a reference and a digest, got 3 words"),
        (b"r.example.org/a\nr.example.org/a:latest", "r.example.org/a:latest stands twice"),
    ],
)
def test_lists_that_are_none(data, words):
    with pytest.raises(SpecError) as caught:
        parse_list(data, file="l")
    assert words in str(caught.value)


known = st.builds(
    Known,
    st.text(max_size=8),
    st.none() | st.sampled_from([ONE, TWO]),
    st.sampled_from(["", "passed", "refused", "unknown"]),
)


@given(st.lists(known, unique_by=lambda each: each.reference, max_size=5))
def test_a_state_comes_back(all_known):
    assert parse_state(format_state(all_known)) == {each.reference: each for each in all_known}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "schema: wanted a string"),
        ({"schema": "x", "images": {}}, "schema: wanted 'staunch.dev/verify-state/v1'"),
        ({"images": {"a": {"digest": 1, "verdict": ""}}}, "images.a.digest: wanted a string"),
        ({"images": {"a": {"digest": None, "verdict": "x"}}}, "images.a.verdict: wanted '' or"),
        ({"images": {"a": {"more": 1}}}, "images.a.more: no such field"),
        ({"images": []}, "images: wanted an object"),
        ({"images": {str(n): {"verdict": ""} for n in range(100_001)}}, "more than 100,000 images"),
    ],
)
def test_states_that_are_none(document, words):
    data = json.dumps({"schema": "staunch.dev/verify-state/v1", **document} if document else {})
    with pytest.raises(UntrustedError) as caught:
        parse_state(data.encode())
    assert words in str(caught.value)


def run(state, *answers, listed=LISTED, accept=False):
    """One run with a look that gives (or raises) the answers in turn, and notes what it was asked."""
    asked, left = [], list(answers)

    def look(reference, digest):
        asked.append(digest)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    results, after = reverify(listed, state, look, accept=accept)
    return results, {each.reference: each for each in after}, asked


def passed(digest=ONE):
    return digest, (), Passed(), False


def test_the_first_digest_is_kept_and_asked_for():
    _, state, asked = run({}, passed())
    assert (asked, state[NAME]) == ([None], Known(NAME, ONE, "passed"))
    moved = (TWO, (), Refused(("moved",)), False)
    (result,), state, asked = run(state, moved)
    assert (asked, state[NAME]) == ([ONE], Known(NAME, ONE, "refused"))
    assert result.changed == "was passed, is refused"
    (result,), state, asked = run(state, moved)
    assert (asked, result.changed) == ([ONE], "")
    _, state, asked = run(state, passed(TWO), accept=True)
    assert (asked, state[NAME]) == ([None], Known(NAME, TWO, "passed"))


def test_a_digest_in_the_list_wins():
    _, state, asked = run({NAME: Known(NAME, TWO, "passed")}, passed(), listed=(Known(NAME, ONE),))
    assert (asked, state[NAME].digest) == ([ONE], ONE)


@pytest.mark.parametrize(
    ("error", "verdict", "damaged"),
    [
        (UndecidedError("a", why="b", mend=""), Unknown(("a: b",)), False),
        (UntrustedError("a", why="b", mend=""), Refused(("a: b",)), True),
        (SpecError("a", why="b", mend=""), Refused(("a: b",)), False),
    ],
)
def test_one_that_fails_does_not_end_the_run(error, verdict, damaged):
    other = Known("registry.example.org/b:1")
    results, state, _ = run(
        {NAME: Known(NAME, ONE)}, error, passed(TWO), listed=(Known(NAME), other)
    )
    assert (results[0].verdict, results[0].damaged, results[0].digest) == (verdict, damaged, None)
    assert results[1].verdict == Passed()
    assert state[NAME].digest == ONE


def test_what_could_not_be_found_out_is_not_remembered():
    unknown = (TWO, (), Unknown(("?",)), False)
    _, state, _ = run({}, unknown)
    assert state[NAME] == Known(NAME, None, "unknown")

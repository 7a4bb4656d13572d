"""``.dockerignore``: what Docker's documentation says, and what hostile files try."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.formats.dockerignore import DockerIgnore


@pytest.mark.parametrize(
    ("lines", "out", "stays"),
    [
        (["# comment", "*/temp*"], ["a/temporary.txt", "a/temp/x"], ["temp", "a/b/temp"]),
        (["*/*/temp*"], ["a/b/temporary.txt"], ["a/temp", "a/b/c/temp"]),
        (["temp?"], ["tempa", "tempb/x"], ["temp", "tempab", "a/tempa"]),
        (["**/*.go"], ["a.go", "a/b/c.go"], ["a.gox"]),
        (["*.md", "!README.md"], ["CHANGES.md"], ["README.md", "docs/CHANGES.md"]),
        (["*.md", "!README*.md", "README-secret.md"], ["README-secret.md"], ["README.md"]),
        (["*.md", "README-secret.md", "!README*.md"], ["x.md"], ["README-secret.md"]),
        (["/build/", "  dist  "], ["build/x", "dist"], ["src/build/x"]),
        (["node_modules", "!node_modules/keep"], ["node_modules/x"], ["node_modules/keep/y"]),
        (["*", "!src"], ["README", "tests/x"], ["src/a.py"]),
        (["[a-c]x", "[^a]y", "\\*z"], ["ax", "by", "*z"], ["dx", "ay", "bz", "/y"]),
        (["..", "../up", "."], [], ["a", "up"]),
        ([" # no comment, a name"], ["# no comment, a name"], ["a"]),
        (["a/**/b"], ["a/b", "a/x/y/b"], ["ab", "a/xb"]),
        (["**"], ["a", "a/b"], []),
    ],
)
def test_patterns(lines: list[str], out: list[str], stays: list[str]) -> None:
    ignore = DockerIgnore(lines)
    assert [path for path in out if not ignore.leaves_out(path)] == []
    assert [path for path in stays if ignore.leaves_out(path)] == []


def test_nothing_in_it() -> None:
    assert not DockerIgnore(["", "# x", "   "])
    assert not DockerIgnore([]).leaves_out("a")


@pytest.mark.parametrize(
    ("line", "why"),
    [("[a", "does not close it"), ("!", "takes in nothing"), ("x" * 2000, "1024 characters")],
)
def test_faults_name_the_line(line: str, why: str) -> None:
    with pytest.raises(SpecError, match=why) as caught:
        DockerIgnore(["fine", line])
    assert ".dockerignore:2" in caught.value.what


def test_too_many_lines() -> None:
    with pytest.raises(SpecError, match="10000 lines"):
        DockerIgnore(["x"] * 10_001)


@given(st.lists(st.text("ab*?[]!^-\\/. ", max_size=12), max_size=5), st.text("ab/", min_size=1))
def test_any_text_gives_an_answer(lines: list[str], path: str) -> None:
    """A pattern either is refused, or decides; and deciding twice gives the same."""
    try:
        ignore = DockerIgnore(lines)
    except SpecError:
        return
    assert ignore.leaves_out(path) == ignore.leaves_out(path)


def test_stars_do_not_backtrack() -> None:
    assert not DockerIgnore(["*" * 500 + "b", "**/" * 300 + "b"]).leaves_out("a" * 3000)

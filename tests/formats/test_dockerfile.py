"""Dockerfiles, good and bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.formats.dockerfile import expand, parse


def test_continuations_comments_flags_and_heredocs() -> None:
    """Each form of the reference."""
    steps = parse(
        b'FROM a AS b\nRUN --mount=type=cache,target=/x one \\\n # told\n\n  two\nCMD ["a", "b"]\n'
        b"COPY <<-E /f\n\tx\n\tE\n"
    )
    assert [(each.line, each.name) for each in steps] == [
        (1, "FROM"),
        (2, "RUN"),
        (6, "CMD"),
        (7, "COPY"),
    ]
    assert steps[1].flags == (("mount", "type=cache,target=/x"),)
    assert steps[1].text.split() == ["one", "two"]
    assert steps[2].words == ("a", "b")
    assert steps[3].heredocs[0].text == "x\n"


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"", 1, "no FROM"),
        (b"RUN x\nFROM a", 1, "before the first FROM"),
        (b"FROM a\nNONSENSE x", 2, "no instruction"),
        (b"FROM a\nRUN", 2, "says nothing"),
        (b"FROM a\nRUN <<E\nx", 2, "has no end"),
        (b"FROM a\nRUN \xff", 2, "not UTF-8"),
        (b"FROM a\n\0", 2, "control character U+0000"),
        ("FROM a\nRUN x\u2028user: 0".encode(), 2, "control character U+2028"),
        (b"FROM a\r\nRUN \x1b[2J", 2, "control character U+001B"),
        (b"# escape=x\nFROM a", 1, "backslash or a backtick"),
        (b"FROM a\nRUN " + b"x" * 70_000, 2, "65536 characters"),
        (b"\n" * 20_001, 20_000, "over 20000 lines"),
        (b"#" * ((1 << 20) + 1), 1, "over 1048576 bytes"),
    ],
)
def test_refused(data: bytes, line: int, why: str) -> None:
    """Each with its line."""
    with pytest.raises(SpecError) as caught:
        parse(data, "D")
    assert caught.value.what == f"D:{line}: no Dockerfile"
    assert why in caught.value.why


def test_variables() -> None:
    """Plain, with defaults, and escaped."""
    known = {"A": "1", "E": ""}
    assert expand(r"$A ${A} ${B:-x} ${A:+y} ${E:-z} ${E-q} \$A", known) == ("1 1 x y z  $A", ())
    assert expand("${B}", known) == ("", ("B",))


@given(st.binary(max_size=300) | st.text("FROMRUN <\\\n#[]\"$='{}E-", max_size=200).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    """A Dockerfile or a clear refusal."""
    for prefix in (b"", b"FROM a\nRUN "):
        try:
            parse(prefix + data)
        except SpecError as e:
            assert "no Dockerfile" in e.what

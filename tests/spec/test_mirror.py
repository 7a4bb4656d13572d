"""The mirror file: what it means, and every fault at its place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.model.mirror import Mirror
from staunch.spec.faults import FaultsError
from staunch.spec.mirror import parse_mirror, read_mirror

WHOLE = """\
target: mirror.example.org/kept
policy: trust.yaml
max-age: 90d
prune: 5
mirrors:
  - source: registry.example.org:5000/team/app
    tags: ['1.*', latest]
    exclude: '*-rc*'
    platform: linux/arm64
  - source: other.example.org/tool
    to: tools/tool
    unsigned: true
    max-age: 12h
    no-finding-above: high
"""


def parsed(text: str) -> Mirror:
    return parse_mirror(text.encode(), file="mirror.yaml", folder=Path("/etc/staunch"))


def faults(text: str) -> list[str]:
    with pytest.raises(FaultsError) as caught:
        parsed(text)
    return [each.what for each in caught.value.faults]


def test_a_whole_file() -> None:
    mirror = parsed(WHOLE)
    assert mirror.prune == 5
    one, other = mirror.sources
    assert one.source.name == "registry.example.org:5000/team/app"
    assert one.target.name == "mirror.example.org/kept/registry.example.org-5000/team/app"
    assert (one.tags, one.exclude) == (("1.*", "latest"), ("*-rc*",))
    assert one.policy == Path("/etc/staunch/trust.yaml")
    assert (str(one.platform), one.max_age) == ("linux/arm64", timedelta(days=90))
    assert other.target.name == "mirror.example.org/kept/tools/tool"
    assert (other.tags, other.policy, other.max_age) == (("*",), None, timedelta(hours=12))
    assert other.no_finding_above == "high"
    assert str(other.place) == "mirror.yaml:10:5"


def test_a_target_without_a_folder() -> None:
    text = "target: localhost:5000\nunsigned: true\nmirrors: [{source: a.example.org/b}]\n"
    (one,) = parsed(text).sources
    assert one.target.name == "localhost:5000/a.example.org/b"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("target: mirror", "target: Nothing/mirror", "mirror.yaml:1:9: not an image reference"),
        ("target: mirror.example.org/kept\n", "", "`target` is missing"),
        ("tags: ['1.*', latest]", "tags: ['1.*', 'a b']", "mirror.yaml:7:19: 'a b' matches no tag"),
        ("tags:", "tag:", "mirror.yaml:7:5: 'tag' is not known"),
        ("prune: 5", "prune: many", "mirror.yaml:4:8: wanted a number"),
        ("max-age: 90d", "max-age: old", "mirror.yaml:3:10: wanted an age"),
        ("linux/arm64", "plan9/arm64", "mirror.yaml:9:15: unknown platform"),
        ("above: high", "above: critical", "mirror.yaml:14:23: 'critical' is no severity"),
        ("app\n", "app:latest\n", "mirror.yaml:6:13: 'registry.example.org:5000/team/app:latest' is no"),
        ("to: tools/tool", "to: ../tool", "mirror.yaml:11:9: not an image reference"),
        ("policy: trust.yaml\n", "", "mirror.yaml:5:5: nobody is asked whether these images are signed"),
        ("policy: trust.yaml", "policy: [a]", "mirror.yaml:2:9: wanted text"),
        ("unsigned: true", "unsigned: false", "nobody is asked"),
        ("    unsigned: true", "    unsigned: true\n    policy: x", "exclude each other"),
        ("  - source: other.example.org/tool\n", "  - x: y\n", "`source` is missing"),
        ("to: tools/tool", "to: registry.example.org-5000/team/app", "two sources for mirror.example"),
        ("source: other.example.org/tool", "source: mirror.example.org/kept/tools/tool",
         "a source would be overwritten"),
        ("mirrors:\n", "mirrors:\n  - word\n", "wanted a mapping with `source`"),
    ],
)  # fmt: skip
def test_faults(old: str, new: str, fault: str) -> None:
    assert old in WHOLE
    found = faults(WHOLE.replace(old, new, 1))
    assert any(fault in each for each in found), found


def test_all_faults_at_once() -> None:
    text = WHOLE.replace("prune: 5", "prune: x").replace("tags:", "tag:").replace("90d", "old")
    assert len(faults(text)) >= 3


@pytest.mark.parametrize(
    "text", ["mirrors: []", "", "[]", "target: [", "mirrors: {a: b}\ntarget: x.io"]
)
def test_nothing_to_mirror(text: str) -> None:
    assert faults(text)


def test_files(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no mirror file"):
        read_mirror(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="there is no mirror file"):
        read_mirror(tmp_path)
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(SpecError, match="too large"):
        read_mirror(tmp_path / "large.yaml")


_words = st.sampled_from(
    [
        "target",
        "mirrors",
        "source",
        "tags",
        "a.io/b",
        "1d",
        "true",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "  ",
    ]
)


@given(st.lists(_words, max_size=25).map("".join))
def test_no_text_breaks_it(text: str) -> None:
    try:
        parsed(text)
    except SpecError as e:
        assert e.what

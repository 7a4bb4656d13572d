"""formats/labels.py: what an image says of itself."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.labels import TESTS, image_labels, read_profile, read_tests, write_tests
from staunch.model.platform import Platform
from staunch.model.spec import Foundation, ImageSpec, Place, Profile, TestSpec


def _spec(**more: object) -> ImageSpec:
    return ImageSpec(
        name="demo",
        foundation=Foundation("debian", "13"),
        profile=Profile.INFERENCE,
        platforms=(Platform("linux", "amd64"),),
        source=None,
        base_dir=Path("/"),
        **more,  # type: ignore[arg-type]
    )


def test_labels_of_a_spec() -> None:
    spec = _spec(
        summary="A demo",
        labels=(("org.opencontainers.image.title", "mine"), ("a", "b")),
        tests=(TestSpec(("python3", "-V"), "Python", 5.0, Place("x.yaml", 3, 4)),),
    )
    assert image_labels(spec) == (
        ("a", "b"),
        ("dev.staunch.profile", "inference"),
        ("dev.staunch.tests", '[{"expect":"Python","run":["python3","-V"],"timeout_s":5.0}]'),
        ("org.opencontainers.image.description", "A demo"),
        ("org.opencontainers.image.title", "mine"),
    )
    assert TESTS not in dict(image_labels(_spec()))


def test_profile() -> None:
    assert read_profile({"dev.staunch.profile": "training"}) is Profile.TRAINING
    assert read_profile({"dev.staunch.profile": "other"}) is None
    assert read_profile({}) is None


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(
    st.lists(
        st.builds(
            TestSpec,
            st.lists(WORDS, min_size=1).map(tuple),
            st.none() | WORDS,
            st.floats(0.1, 86400),
        )
    )
)
def test_round_trip(tests: list[TestSpec]) -> None:
    got = read_tests({TESTS: write_tests(tests)})
    assert [(each.run, each.expect, each.timeout_s) for each in got] == [
        (each.run, each.expect, each.timeout_s) for each in tests
    ]


def test_no_label_no_tests() -> None:
    assert read_tests({}) == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("{}", "not a list"),
        ("[1]", "[0] is not an object"),
        ('[{"run":["x"]},{}]', "[1].run is not a list of words"),
        ('[{"run":[]}]', "[0].run"),
        ('[{"run":["a\\u0000"]}]', "[0].run"),
        ('[{"run":["a\\ud800"]}]', "it is not JSON: 'utf-8' codec can't encode"),
        ('[{"run":["a"],"expect":1}]', "[0].expect"),
        ('[{"run":["a"],"expect":"\\udc80"}]', "it is not JSON: 'utf-8' codec can't encode"),
        ('[{"run":["a"],"timeout_s":0}]', "[0].timeout_s"),
        ('[{"run":["a"],"timeout_s":true}]', "[0].timeout_s"),
        ('[{"run":["a"],"timeout_s":NaN}]', "[0].timeout_s"),
        ('[{"run":["a"],"timeout_s":1e9}]', "[0].timeout_s"),
        (json.dumps([{"run": ["a"]}] * 1001), "at most 1000"),
        (" " * (5 << 20), "more than"),
    ],
)  # fmt: skip
def test_broken_labels(text: str, why: str) -> None:
    with pytest.raises(UntrustedError, match=r"label dev\.staunch\.tests cannot be read") as caught:
        read_tests({TESTS: text})
    assert why in caught.value.why


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["run", "expect", "timeout_s"]), x),
    )
)
def test_junk(value: object) -> None:
    with contextlib.suppress(UntrustedError):
        read_tests({TESTS: json.dumps(value)})

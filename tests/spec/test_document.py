"""YAML with places: what it gives, what it refuses, and where it says the fault is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import SpecError
from staunch.spec.document import MAX_DEPTH, MAX_NODES, parse_document, plain
from staunch.spec.faults import FaultsError

FOLDER = Path("/nowhere")


def read(text: str | bytes) -> object:
    data = text.encode() if isinstance(text, str) else text
    return plain(parse_document(data, file="a.yaml", folder=FOLDER))


def faults(text: str | bytes) -> list[str]:
    with pytest.raises(FaultsError) as caught:
        read(text)
    for fault in caught.value.faults:
        assert fault.what
        assert fault.why
        assert fault.mend
    return [fault.what for fault in caught.value.faults]


def test_only_true_and_false_are_booleans() -> None:
    """YAML 1.2.2, 10.3.2: `no`, `on` and `y` are text; sexagesimals do not exist."""
    text = "a: no\nb: 1:30\nc: true\nd: False\ne: 3.10\nf: on\ng: 'true'\nh: 0o17\n"
    assert read(text) == {
        "a": "no",
        "b": "1:30",
        "c": True,
        "d": False,
        "e": "3.10",
        "f": "on",
        "g": "true",
        "h": "0o17",
    }


def test_null_in_a_mapping_counts_as_absent() -> None:
    assert read("a:\nb: ~\nc: null\nd: ''\ne: [~]") == {"d": "", "e": [None]}


def test_aliases_are_written_out() -> None:
    assert read("a: &x [1, 2]\nb: *x") == {"a": ["1", "2"], "b": ["1", "2"]}


def test_a_byte_order_mark_is_no_fault() -> None:
    assert read(b"\xef\xbb\xbfa: 1") == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: 1\nb: 2\na: 3", "a.yaml:3:1: duplicate key `a`"),
        ("x:\n  b: 2\n  b: 3", "a.yaml:3:3: duplicate key `b`"),
        ("- a", "a.yaml:1:1: a spec is a mapping of keys to values"),
        ("just text", "a.yaml:1:1: a spec is a mapping of keys to values"),
        ("", "a.yaml:1:1: a spec is a mapping of keys to values"),
        ("# a comment\n", "a.yaml:1:1: a spec is a mapping of keys to values"),
        ("a: 1\n---\nb: 2", "a.yaml:2:1: a second document"),
        ("a: 'x\nb: 2", "a.yaml:2:5: not YAML"),
        ("a: 1\n\tb: 2", "a.yaml:2:1: not YAML"),
        ("a: [1, 2\n", "a.yaml:2:1: not YAML"),
        ("a: x\x00b", "a.yaml:1:5: not YAML"),
        ("é: é\x01", "a.yaml:1:5: not YAML"),
        (b"\xc2\xa0\x00", "a.yaml:1:2: not YAML"),
        (b"a: 1\nb: x\xff", "a.yaml:2:5: not UTF-8 text"),
        ("a: !!python/object:os.system x", "a.yaml:1:4: the tag 'tag:yaml.org,2002:python/"),
        ("a: *x", "a.yaml:1:4: unknown alias *x"),
        ("a: &a [*a]", "a.yaml:1:8: unknown alias *a"),
        ("[1, 2]: x", "a.yaml:1:1: a key must be a word"),
        ("a: " + "[" * (MAX_DEPTH + 2), f"a.yaml:1:{4 + MAX_DEPTH}: nested too deeply"),
        ("a: " + "[" * 1_000_000, f"a.yaml:1:{4 + MAX_DEPTH}: nested too deeply"),
    ],
)
def test_faults_say_where(text: str | bytes, what: str) -> None:
    (found,) = faults(text)
    assert found.startswith(what)


def test_duplicate_keys_are_all_reported_and_say_where_the_first_is() -> None:
    with pytest.raises(FaultsError) as caught:
        read("a: 1\na: 2\nb: 3\nb: 4")
    assert [str(fault.place) for fault in caught.value.faults] == ["a.yaml:2:1", "a.yaml:4:1"]
    assert "a.yaml:1:1" in caught.value.faults[0].why


def test_a_billion_laughs_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (found,) = faults("\n".join(lines))
    assert "too many values" in found


def test_many_values_are_refused() -> None:
    (found,) = faults("a: [" + "x," * (MAX_NODES + 1) + "]")
    assert "too many values" in found


def test_nothing_is_named_by_its_kind() -> None:
    with pytest.raises(FaultsError) as caught:
        read("")
    assert caught.value.faults[0].why == "the file holds nothing"
    with pytest.raises(FaultsError) as caught:
        read("- a")
    assert caught.value.faults[0].why == "the file holds a list"


words = st.text(st.characters(max_codepoint=0xD7FF), max_size=12)


@settings(max_examples=100)
@given(
    st.recursive(
        st.none() | st.booleans() | words,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
        max_leaves=20,
    )
)
def test_json_is_read_as_written(value: object) -> None:
    """YAML 1.2 is a superset of JSON; `null` keys of mappings are left out."""
    import json

    def without_null(value: object) -> object:
        match value:
            case dict():
                return {k: without_null(v) for k, v in value.items() if v is not None}
            case list():
                return [without_null(each) for each in value]
            case _:
                return value

    assert read(json.dumps({"top": value})) == without_null({"top": value})


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text(alphabet="a:-[]{}&*!|>'\"\n\t #%@,?<~0", max_size=60))
def test_junk_gives_a_value_or_a_spec_error(junk: str | bytes) -> None:
    try:
        assert isinstance(read(junk), dict)
    except SpecError as e:
        assert str(e)

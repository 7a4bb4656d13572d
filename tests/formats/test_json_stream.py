"""JSON in pieces: the same as json.loads, and never more in memory than one element."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats import json_stream
from staunch.formats.json_stream import items

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def pieces(data: bytes, step: int) -> Iterator[bytes]:
    return (data[at : at + step] for at in range(0, len(data), step))


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), st.integers(1, 40), st.booleans())
def test_the_same_as_reading_it_whole(document: dict[str, object], step: int, ascii_: bool) -> None:
    data = json.dumps(document, ensure_ascii=ascii_, indent=1).encode("utf-8", "surrogatepass")
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    wanted = [
        (name, element)
        for name, value in document.items()
        for element in (value if isinstance(value, list) else [value])
    ]
    assert list(items(pieces(data, step), what="x", max_bytes=1 << 20)) == wanted


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "'its end'"),
        (b"[1]", "'{' was wanted"),
        (b'{"a":1', "',' was wanted, it has 'its end'"),
        (b'{"a":[1,2', "it has 'its end'"),
        (b'{"a":[1 2]}', "',' was wanted"),
        (b'{"a":1}x', "something follows"),
        (b'{1:2}', "a name is no text"),
        (b'{"a":nonsense}', "not JSON"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":' + b"[" * 3, "Expecting value"),
        (b'{"a":{"b":' + b'[' * 100_000 + b"}}", "nested too deep"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(UntrustedError) as caught:
        list(items(pieces(data, 1000), what="x", max_bytes=1 << 20))
    assert why in caught.value.why


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UntrustedError, match="larger than is read"):
        list(items([b'{"a":[', b"1," * 100], what="x", max_bytes=50))
    monkeypatch.setattr(json_stream, "VALUE_CHARACTERS", 100)
    with pytest.raises(UntrustedError, match="more than 100 characters"):
        list(items(pieces(b'{"a":"' + b"x" * 1000, 50), what="x", max_bytes=5000))


def test_memory_does_not_grow_with_the_document() -> None:
    def many() -> Iterator[bytes]:
        yield b'{"a":['
        for _ in range(2000):
            yield b'{"name":"' + b"x" * 90 + b'"},' * 1
        yield b"1]}"

    tracemalloc.start()
    count = sum(1 for _ in items(many(), what="x", max_bytes=1 << 30))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2001
    assert peak < 1 << 20

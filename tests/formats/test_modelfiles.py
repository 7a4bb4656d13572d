"""Heads of model files."""

from __future__ import annotations

import contextlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.modelfiles import ModelHead, read_gguf, read_onnx, read_safetensors
from staunch.scan.forward import Pieces


def forward(data: bytes) -> Pieces:
    return Pieces((data[at : at + 100] for at in range(0, len(data), 100)), len(data))


def safetensors(head: object) -> bytes:
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + bytes(64)


def gguf(*pairs: tuple[str, int, bytes], version: int = 3, count: int | None = None) -> bytes:
    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    head = b"GGUF" + struct.pack("<IQQ", version, 7, len(pairs) if count is None else count)
    return head + b"".join(
        text(key.encode()) + struct.pack("<I", kind) + (text(value) if kind == 8 else value)
        for key, kind, value in pairs
    )


def onnx(*fields: tuple[int, int | bytes]) -> bytes:
    def varint(value: int) -> bytes:
        out = b""
        while value >= 0x80:
            out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
        return out + bytes([value])

    return b"".join(
        varint(field << 3) + varint(value)
        if isinstance(value, int)
        else varint(field << 3 | 2) + varint(len(value)) + value
        for field, value in fields
    )


def test_safetensors() -> None:
    head = {"__metadata__": {"format": "pt"}, "a": {"dtype": "F32"}, "b": {}}
    assert read_safetensors(forward(safetensors(head))) == ModelHead(
        "safetensors", (("metadata.format", "pt"), ("tensors", "2"))
    )


def test_gguf() -> None:
    data = gguf(
        ("general.architecture", 8, b"llama"),
        ("llama.block_count", 4, bytes(4)),
        ("general.name", 8, b"Tiny"),
        ("tokenizer.ggml.tokens", 9, b"unread"),
    )
    assert dict(read_gguf(forward(data)).facts) == {
        "format-version": "3",
        "general.architecture": "llama",
        "general.name": "Tiny",
        "tensors": "7",
    }


def test_onnx() -> None:
    data = onnx(
        (1, 8), (2, b"pytorch"), (3, b"2.5"), (7, bytes(5000)), (8, b"\x0a\x03foo"), (8, b"")
    )
    assert dict(read_onnx(forward(data)).facts) == {
        "ir-version": "8",
        "operators": "ai.onnx foo",
        "producer": "pytorch",
        "producer-version": "2.5",
    }


@pytest.mark.parametrize(
    ("read", "data", "why"),
    [
        (read_safetensors, b"\xff" * 20, "its head would have"),
        (read_safetensors, b"\2" + bytes(7) + b"[]", "no object"),
        (read_safetensors, b"\2" + bytes(7) + b"{]", "not JSON"),
        (read_gguf, b"GGML" + bytes(30), "does not begin"),
        (read_gguf, gguf(version=9), "version 9"),
        (read_gguf, gguf(("a", 8, b"x"), count=3), "cut off"),
        (read_onnx, b"", "neither version nor operators"),
        (read_onnx, onnx((1, 8)), "neither version nor operators"),
        (read_onnx, b"\x0d", "wire type 5"),
        (read_onnx, b"\x3a\xff\x01x", "more than follow"),
        (read_onnx, b"\x08\xff", "cut off"),
        (read_onnx, b"\x08" + b"\xff" * 12, "a number without end"),
    ],
)
def test_what_is_none_is_told(read: object, data: bytes, why: str) -> None:
    with pytest.raises(UntrustedError) as caught:
        read(forward(data))  # type: ignore[operator]
    assert why in caught.value.why


@given(st.sampled_from([read_safetensors, read_gguf, read_onnx]), st.binary(max_size=300))
def test_any_bytes_are_a_head_or_refused(read: object, data: bytes) -> None:
    for head in (b"", b"GGUF\3\0\0\0"):
        with contextlib.suppress(UntrustedError):
            read(forward(head + data))  # type: ignore[operator]

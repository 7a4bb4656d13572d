"""Imports of pickles, by walking alone: against the real pickletools, and hostile ones."""

from __future__ import annotations

import collections
import decimal
import io
import os
import pickle
import pickletools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.formats.pickles import TORCH_MAGIC, Imports, walk_pickles
from staunch.scan.forward import Pieces


def walked(data: bytes, *, step: int = 7) -> Imports:
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    return walk_pickles(Pieces(pieces, len(data)))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


VALUES = [
    Evil(), collections.OrderedDict(a=1), {1, 2}, frozenset([1]), b"x" * 300, "é" * 70_000,
    1 << 80, -1, 1.5, None, True, (1, 2, 3), (), [], {}, bytearray(b"q"), decimal.Decimal("1.5"),
]  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol: int) -> None:
    found = walked(pickle.dumps([*VALUES, VALUES], protocol), step=1000)
    assert found.fault == ""
    assert found.streams == 1
    assert {"posix.system", "collections.OrderedDict", "decimal.Decimal"} <= set(found.names)


def globals_of(data: bytes) -> set[str]:
    """What the real disassembler shows as imported, for pickles that name it in one opcode."""
    return {
        str(arg).replace(" ", ".")
        for op, arg, _ in pickletools.genops(io.BytesIO(data))
        if op.name in ("GLOBAL", "INST")
    }


@pytest.mark.parametrize("protocol", range(4))
def test_as_pickletools_disassembles(protocol: int) -> None:
    data = pickle.dumps(VALUES, protocol)
    assert set(walked(data, step=4096).names) == globals_of(data)


def test_a_name_from_the_memo() -> None:
    """STACK_GLOBAL takes what stands on the stack, also when it came from the memo."""
    data = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940 0".replace(b" ", b"") + b"h\x00h\x01\x93."
    assert walked(data).names == ("os.system",)


def test_a_name_put_together_at_run_time_is_told_as_unknown() -> None:
    data = b"\x80\x04\x8c\x02os\x8c\x01a\x85R\x8c\x06system\x93."
    assert walked(data).names == ("?.system",)


def test_extensions_and_inst() -> None:
    assert walked(b"(S'x'\nios\nsystem\n.").names == ("os.system",)
    assert walked(b"\x80\x02\x82\x05.").names == ("copyreg.extension_5",)


def test_torchs_old_format_is_five_pickles_and_raw_storages() -> None:
    parts = [TORCH_MAGIC, 1001, {"little_endian": True}, collections.OrderedDict(), ["0"]]
    data = b"".join(pickle.dumps(each, 2) for each in parts) + bytes(range(256))
    found = walked(data, step=64)
    assert (found.streams, found.rest, found.fault) == (5, 256, "")
    assert found.names == ("collections.OrderedDict",)


def test_what_follows_a_pickle_is_walked_too() -> None:
    data = pickle.dumps(1, 2) + pickle.dumps(Evil(), 2)
    assert walked(data).names == ("posix.system",)
    found = walked(pickle.dumps(1, 2) + b"\xff\xff")
    assert (found.streams, found.rest, found.fault) == (1, 2, "")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x80\x04\xff.", "no opcode"),
        (b"\x80\x04N", "without STOP"),
        (b"\x80\x04X\xff\xff\xff\x7fa.", "cut off"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "cut off"),
        (b"\x80\x04\x8a\x05a", "cut off"),
        (b"\x80\x04\x8b\xff\xff\xff\x7fa", "a number of"),
        (b"cos", "a line without end"),
        (b"\x80\x04\x93.", "empty stack"),
        (b"\x80\x04h\x00\x81.", "empty stack"),
        (b"\x80\x04q\x00", "empty stack"),
        (b"\x80\x04t.", "empty stack"),
        (b"gx\n.", "no place of its memo"),
    ],
)
def test_what_cannot_be_followed_is_told_with_what_was_found(data: bytes, why: str) -> None:
    assert why in walked(b"cos\nsystem\n0" + data).fault or why in walked(data).fault


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    from staunch.formats import pickles

    monkeypatch.setattr(pickles, "STACK", 5)
    monkeypatch.setattr(pickles, "NAMES", 2)
    monkeypatch.setattr(pickles, "OPERATIONS", 50)
    assert "objects on its stack" in walked(b"NNNNNNNN.").fault
    assert "more than 2 imports" in walked(b"ca\nb\n0ca\nc\n0ca\nd\n.").fault
    assert "more than 50 operations" in walked(b"N0" * 60 + b".").fault
    assert "objects in its memo" in walked(b"Nq\x00q\x01q\x02q\x03q\x04q\x05q\x06.").fault


@given(st.binary(max_size=200), st.integers(1, 9))
def test_any_bytes_end(data: bytes, step: int) -> None:
    walked(data, step=step)
    walked(b"\x80\x04" + data, step=step)

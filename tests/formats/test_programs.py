"""What Go and cargo-auditable leave in programs: real ones, old ones made by hand, damaged ones."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.binary import Layout, read_layout
from staunch.formats.gobuild import GoBuild, GoModule, find_go
from staunch.formats.rustaudit import Crate, find_crates
from tests.support.tools import need


def layout_of(data: bytes) -> Layout:
    found = read_layout(lambda size, at: data[at : at + size])
    assert found is not None
    return found


def go_of(data: bytes) -> GoBuild | None:
    return find_go(lambda size, at: data[at : at + size], layout_of(data))


def crates_of(data: bytes) -> tuple[Crate, ...] | None:
    return find_crates(lambda size, at: data[at : at + size], layout_of(data))


MODULES = (
    "path\texample.org/app/cmd\n"
    "mod\texample.org/app\t(devel)\t\n"
    "dep\tgolang.org/x/Net\tv0.1.0\th1:a=\n"
    "dep\tgithub.com/old/x\tv1.0.0\n=>\tgithub.com/new/x\tv1.2.0\th1:b=\n"
    'build\tvcs.revision=abc\nbuild\t-ldflags="-s -w"\n'
)
WANTED = GoBuild(
    "1.17.3",
    "example.org/app/cmd",
    GoModule("example.org/app", "(devel)"),
    (
        GoModule("golang.org/x/Net", "v0.1.0", "h1:a="),
        GoModule("github.com/new/x", "v1.2.0", "h1:b="),
    ),
    (("vcs.revision", "abc"), ("-ldflags", "-s -w")),
)


def elf(data: bytes, *, bits: int = 64, order: str = "<", address: int = 0x400000) -> bytes:
    """A program of one writable segment that holds ``data`` at 4096."""
    head = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    if bits == 64:
        head += struct.pack(order + "HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
        head += struct.pack(order + "IIQQQQQQ", 1, 6, 4096, address, 0, len(data), len(data), 1)
    else:
        head += struct.pack(order + "HHIIIIIHHHHHH", 2, 3, 1, 0, 52, 0, 0, 52, 32, 1, 40, 0, 0)
        head += struct.pack(order + "IIIIIIII", 1, 4096, address, 0, len(data), len(data), 6, 1)
    return head.ljust(4096, b"\0") + data


def marked(text: str) -> bytes:
    return b"\x30" * 16 + text.encode() + b"\xf9" * 16


def inline(go: str, modules: bytes) -> bytes:
    """The format since Go 1.18."""

    def text(value: bytes) -> bytes:
        size, head = len(value), b""
        while size >= 0x80:
            head += bytes([size & 0x7F | 0x80])
            size >>= 7
        return head + bytes([size]) + value

    head = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16)
    return head + text(go.encode()) + text(modules)


def pointers(go: str, modules: bytes, *, bits: int, order: str, address: int) -> bytes:
    """The format before: pointers to Go's strings."""
    width, pointer = bits // 8, order + ("Q" if bits == 64 else "I")
    big = order == ">"
    at = address + 64
    strings = at + 4 * width
    head = b"\xff Go buildinf:" + bytes([width, 1 if big else 0])
    head += struct.pack(pointer, at) + struct.pack(pointer, at + 2 * width)
    body = struct.pack(pointer, strings) + struct.pack(pointer, len(go))
    body += struct.pack(pointer, strings + len(go)) + struct.pack(pointer, len(modules))
    return head.ljust(64, b"\0") + body + go.encode() + modules


def test_go_since_1_18() -> None:
    assert go_of(elf(bytes(32) + inline("go1.17.3", marked(MODULES)))) == WANTED


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_go_before_1_18(bits: int, order: str) -> None:
    data = pointers("go1.17.3", marked(MODULES), bits=bits, order=order, address=0x400000)
    assert go_of(elf(data, bits=bits, order=order)) == WANTED


def test_a_program_without_modules_tells_its_go() -> None:
    found = go_of(elf(inline("go1.19.8", b"")))
    assert found == GoBuild("1.19.8", "", None, (), ())


def test_no_go_is_no_go() -> None:
    assert go_of(elf(b"nothing here")) is None
    assert go_of(elf(b"x" + inline("go1.19", b""))) is None  # the mark stands at multiples of 16


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (inline("gone", b"")[:-1] + b"\xff\xff\xff\x7f", "a text of"),
        (inline("rust", b""), "the version of Go would be"),
        (b"\xff Go buildinf:" + bytes([3, 0]) + bytes(16), "pointers of 3 bytes"),
        (b"\xff Go buildinf:" + bytes([8, 0]) + b"\x01" * 16, "leads nowhere"),
        (b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16) + b"\xff" * 12, "has no end"),
    ],
)  # fmt: skip
def test_damaged_go_is_told(data: bytes, why: str) -> None:
    with pytest.raises(UntrustedError) as caught:
        go_of(elf(data))
    assert why in caught.value.why


def test_a_text_that_stands_nowhere_is_told() -> None:
    data = pointers("go1.17.3", b"", bits=64, order="<", address=0x400000)
    broken = data[:64] + struct.pack("<Q", 1) + data[72:]
    with pytest.raises(UntrustedError) as caught:
        go_of(elf(broken))
    assert "stands nowhere" in caught.value.why


def test_a_real_go_program() -> None:
    """The real tool tells the same of itself (``podman version``)."""
    found = go_of(Path(need("podman")).read_bytes())
    assert found is not None
    assert found.go.startswith("1.")


def test_a_real_program_of_cargo_auditable() -> None:
    from uv import find_uv_bin

    crates = crates_of(Path(find_uv_bin()).read_bytes())
    assert crates is not None
    (root,) = [each for each in crates if each.root]
    assert (root.name, root.build) == ("uv", False)
    assert any(each.name == "serde" and each.source == "crates.io" for each in crates)
    assert any(each.build for each in crates)


def with_section(name: str, body: bytes) -> bytes:
    """An object file with one section of that name."""
    names = b"\0" + name.encode() + b"\0.shstrtab\0"
    at = 64
    table = at + len(body) + len(names)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    row = "<IIQQQQIIQQ"
    rows = struct.pack(row, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    rows += struct.pack(row, 1, 1, 0, 0, at, len(body), 0, 0, 1, 0)
    rows += struct.pack(row, len(name) + 2, 3, 0, 0, at + len(body), len(names), 0, 0, 1, 0)
    return head + body + names + rows


def packed(document: object) -> bytes:
    return with_section(".dep-v0", zlib.compress(json.dumps(document).encode()))


def test_crates() -> None:
    document = {"packages": [{"name": "a", "version": "1", "source": "local", "root": True}]}
    assert crates_of(packed(document)) == (Crate("a", "1", "local", build=False, root=True),)
    assert crates_of(with_section(".other", b"x")) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (with_section(".dep-v0", b"nonsense"), "incorrect header check"),
        (with_section(".dep-v0", zlib.compress(b"{}")[:-4]), "or is cut off"),
        (with_section(".dep-v0", zlib.compress(b"{")), ".dep-v0: Expecting"),
        (packed([]), "no list of packages"),
        (packed({"packages": [1]}), "no object"),
        (packed({"packages": [{"name": "a"}]}), "without name, version or source"),
        (with_section(".dep-v0", zlib.compress(bytes(17 << 20))), "unpacks to more than"),
        (with_section(".dep-v0", bytes((4 << 20) + 1)), "has 4194305 bytes"),
    ],
)
def test_damaged_crates_are_told(data: bytes, why: str) -> None:
    with pytest.raises(UntrustedError) as caught:
        crates_of(data)
    assert why in caught.value.why


@given(st.binary(max_size=300), st.sampled_from([0, 32, 40, 48, 58, 60, 62]), st.binary(max_size=8))
def test_any_bytes_are_an_outline_or_none(rest: bytes, at: int, change: bytes) -> None:
    data = bytearray(with_section(".dep-v0", rest))
    data[at : at + len(change)] = change
    found = read_layout(lambda size, offset: bytes(data[offset : offset + size]))
    if found is not None:
        try:
            find_crates(lambda size, offset: bytes(data[offset : offset + size]), found)
            find_go(lambda size, offset: bytes(data[offset : offset + size]), found)
        except UntrustedError:
            pass

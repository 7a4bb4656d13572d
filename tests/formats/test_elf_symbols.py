"""Symbols that ELF files define, compared with pyelftools on this machine's own libraries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.elf_symbols import defined_symbols

FOLDERS = (
    Path("/usr/lib/x86_64-linux-gnu"),
    Path("/usr/lib/aarch64-linux-gnu"),
    Path("/usr/lib64"),
)
LIBRARIES = sorted(
    {
        each.resolve()
        for folder in FOLDERS
        for name in ("libc.so.6", "libz.so.1", "libcrypto.so.3", "libm.so.6", "libstdc++.so.6")
        if (each := folder / name).exists()
    }
)


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda size, offset: data[offset : offset + size]


@pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: path.name)
def test_agrees_with_pyelftools(path: Path) -> None:
    data = path.read_bytes()
    defined, used = set(), set()
    with path.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    target = used if symbol["st_shndx"] == "SHN_UNDEF" else defined
                    target.add(symbol.name)
    used -= defined | {""}
    wanted = sorted(defined - {""})[::7] + sorted(used) + ["no_such_symbol", "printfx"]
    found = defined_symbols(reader(data), len(data), wanted)
    assert found == {each for each in wanted if each in defined}


def small() -> bytes:
    if not LIBRARIES:
        pytest.skip("no library of this machine is at hand")
    return min((each.read_bytes() for each in LIBRARIES), key=len)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: b"", "the file ends at 0"),
        (lambda data: b"\x7fELF" + bytes(60), "no ELF file of a known class"),
        (lambda data: b"MZ" + data[2:], "no ELF file of a known class"),
        (lambda data: data[:40] + bytes(8) + data[48:], "no section headers"),
        (lambda data: data[:60] + bytes(2) + data[62:], "no section headers"),
        (lambda data: data[:58] + b"\x08\0" + data[60:], "take 8 bytes each"),
        (lambda data: data[: len(data) // 2], "are wanted, the file ends"),
    ],
)
def test_what_cannot_be_read_is_told(change: Callable[[bytes], bytes], why: str) -> None:
    data = change(small())
    with pytest.raises(UntrustedError, match="cannot read the symbols") as caught:
        defined_symbols(reader(data), len(data), ["printf"])
    assert why in caught.value.why


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_header_breaks_nothing(changes: list[tuple[int, int]]) -> None:
    data = bytearray(small())
    for at, value in changes:
        data[at] = value
    with suppress(UntrustedError):
        defined_symbols(reader(bytes(data)), len(data), ["printf", "deflate"])

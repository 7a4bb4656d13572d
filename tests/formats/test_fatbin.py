"""NVIDIA fat binaries: what nvcc wrote, and what nobody should."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.fatbin import GpuCode, read_fatbins

DATA = Path(__file__).parent.parent / "data/fatbin"


def codes(data: bytes) -> list[str]:
    found = read_fatbins(lambda size, at: data[at : at + size], 0, len(data))
    return [str(each) for each in found]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("arch_compute_80_code_sm_80", "sm_80"),
        ("arch_compute_90a_code_sm_90a", "sm_90a"),
        ("arch_compute_90a_code_compute_90a", "compute_90a"),
        ("arch_compute_100a_code_sm_100a", "sm_100a"),
        ("arch_compute_100f_code_sm_100f", "sm_100f"),
        ("arch_compute_100_code_compute_100", "compute_100"),
    ],
)
def test_what_nvcc_wrote(name: str, wanted: str) -> None:
    assert codes((DATA / f"{name}.fatbin").read_bytes()) == [wanted]


def whole() -> bytes:
    """All of them in a row, parted by zeros, as linkers leave them."""
    return b"".join(
        each.read_bytes().ljust(-(-each.stat().st_size // 8) * 8 + 16, b"\0")
        for each in sorted(DATA.glob("*.fatbin"))
    )


def test_several_in_a_section() -> None:
    assert sorted(codes(whole())) == [
        "compute_100", "compute_90a", "sm_100a", "sm_100f", "sm_80", "sm_90a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "runs", "not_on"),
    [
        (GpuCode(80), (80, 86, 89), (75, 90, 100)),
        (GpuCode(80, ptx=True), (80, 90, 120), (75,)),
        (GpuCode(90, "a"), (90,), (80, 100)),
        (GpuCode(100, "f"), (100, 103), (90, 110, 120)),
        (GpuCode(90, "a", ptx=True), (90,), (100,)),
    ],
)
def test_which_gpus_run_it(code: GpuCode, runs: tuple[int, ...], not_on: tuple[int, ...]) -> None:
    """CUDA C++ programming guide: "binary compatibility", "PTX compatibility", "family"."""
    assert all(code.runs_on(each) for each in runs)
    assert not any(code.runs_on(each) for each in not_on)


@pytest.mark.parametrize("cut", [1, 15, 17, 40, 63])
def test_cut_off(cut: int) -> None:
    data = (DATA / "arch_compute_80_code_sm_80.fatbin").read_bytes()
    if cut < 16:
        assert codes(data[:cut]) == []  # too small for any
        return
    with pytest.raises(UntrustedError, match="GPU code"):
        codes(data[:cut])


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [(0, 0x11, "no fat binary"), (16, 9, "unknown kind 9"), (44, 1, "capability 1,")],
)
def test_damaged(at: int, value: int, why: str) -> None:
    data = bytearray((DATA / "arch_compute_80_code_sm_80.fatbin").read_bytes())
    data[at] = value
    with pytest.raises(UntrustedError) as caught:
        codes(bytes(data))
    assert why in caught.value.why


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(UntrustedError):
        codes(data)


def test_flipped_bits_never_crash() -> None:
    data, chance = whole(), random.Random(7)
    for _ in range(2000):
        broken = bytearray(data)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        try:
            codes(bytes(broken))
        except UntrustedError:
            continue

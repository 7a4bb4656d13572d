"""formats.stream: all formats, concatenation, truncation, garbage, bombs."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from collections.abc import Iterator

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats import stream
from staunch.formats.stream import FEED, PIECE, blob_chunks, inflate
from staunch.model import limits
from tests.support.debs import PACKERS
from tests.support.memory_store import MemoryBlob
from tests.support.tools import need

PACK = {name.lstrip(".") or "none": pack for name, pack in PACKERS.items()}
PACKED = [name for name in PACK if name != "none"]
CHAINED = ["gz", "xz", "zst", "bz2"]
BIG = 1 << 40


def cut(data: bytes, step: int) -> Iterator[bytes]:
    return (data[at : at + step] for at in range(0, len(data), step))


def out(data: bytes, format_: str, *, step: int = 1000, max_bytes: int = BIG) -> bytes:
    return b"".join(inflate(cut(data, step), format=format_, max_bytes=max_bytes))


def refused(data: bytes, format_: str, **options: int) -> str:
    with pytest.raises(UntrustedError) as caught:
        out(data, format_, **options)
    assert caught.value.mend
    return str(caught.value)


def text(size: int) -> bytes:
    """Compresses some three times."""
    return b"".join(b"%d line of text\n" % (n * n) for n in range(size // 20))[:size]


@pytest.mark.parametrize("format_", PACK)
@pytest.mark.parametrize("step", [1, 1000, 1 << 22])
def test_every_format_at_every_feed(format_: str, step: int) -> None:
    data = text(20_000)
    assert out(PACK[format_](data), format_, step=step) == data


@pytest.mark.parametrize("format_", PACK)
def test_pieces_are_small_and_never_empty(format_: str) -> None:
    data = text(1 << 20) + bytes(5 * PIECE + 1)
    pieces = list(inflate([PACK[format_](data)], format=format_, max_bytes=BIG))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= PIECE for piece in pieces)


@pytest.mark.parametrize("format_", PACKED)
def test_an_empty_file_packed(format_: str) -> None:
    assert out(PACK[format_](b""), format_) == b""


@pytest.mark.parametrize("format_", CHAINED)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_streams_behind_one_another_are_one(format_: str, step: int) -> None:
    data = PACK[format_](b"one ") + PACK[format_](b"") + PACK[format_](b"two")
    assert out(data, format_, step=step) == b"one two"


def test_padding_behind_the_end() -> None:
    assert out(gzip.compress(b"x") + bytes(511), "gz") == b"x"
    assert out(lzma.compress(b"x") + bytes(8), "xz") == b"x"
    assert out(lzma.compress(b"x") + bytes(4) + lzma.compress(b"y"), "xz", step=3) == b"xy"
    assert "7 zero bytes follow its xz data" in refused(lzma.compress(b"x") + bytes(7), "xz")
    both = gzip.compress(b"x") + bytes(4) + gzip.compress(b"y")
    assert "other than zeros follow the padding" in refused(both, "gz")


@pytest.mark.parametrize("format_", PACKED)
def test_garbage_behind_the_end(format_: str) -> None:
    assert "cannot unpack" in refused(PACK[format_](b"payload") + b"garbage!", format_)


@pytest.mark.parametrize("format_", PACKED)
def test_truncation_is_noticed_everywhere(format_: str) -> None:
    packed = PACK[format_](text(3000))
    for size in {0, 1, 2, 5, len(packed) // 2, len(packed) - 1}:
        assert "cut off after" in refused(packed[:size], format_)
    if format_ in CHAINED:
        assert "cut off after" in refused(packed + packed[:-1], format_)


@pytest.mark.parametrize("format_", ["gz", "xz", "bz2"])
def test_a_wrong_byte_is_noticed(format_: str) -> None:
    packed = bytearray(PACK[format_](text(3000)))
    packed[len(packed) // 2] ^= 1
    assert f"its {format_} data is damaged" in refused(bytes(packed), format_)


def test_a_zstd_checksum_is_checked() -> None:
    checked = {zstd.CompressionParameter.checksum_flag: True}
    packed = bytearray(zstd.compress(text(3000), options=checked))
    packed[-1] ^= 1
    assert "its zst data is damaged" in refused(bytes(packed), "zst")


def test_skippable_zstd_frames_are_skipped() -> None:
    frame = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"
    assert out(frame + zstd.compress(b"x") + frame, "zst", step=2) == b"x"


def test_other_formats_are_refused() -> None:
    assert "'br' is none of none, gz, xz, zst, bz2, lzma" in refused(b"", "br")


@pytest.mark.parametrize("format_", PACK)
def test_more_than_allowed(format_: str) -> None:
    packed = PACK[format_](bytes(1000))
    assert out(packed, format_, max_bytes=1000) == bytes(1000)
    assert "more than the allowed 999 bytes" in refused(packed, format_, max_bytes=999)


@pytest.mark.parametrize("format_", ["gz", "xz", "zst", "bz2"])
def test_a_bomb_by_ratio_goes_off_early(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPANSION_FLOOR", 4 * limits.MIB)
    packed = PACK[format_](bytes(32 * limits.MIB))
    taken = 0
    with pytest.raises(UntrustedError, match=r"more than 400 times"):
        for piece in inflate([packed], format=format_, max_bytes=BIG, packed_size=100):
            taken += len(piece)
    assert taken <= 5 * limits.MIB


def test_the_ratio_counts_what_was_read_when_the_size_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "EXPANSION_FLOOR", limits.MIB)
    packed = zstd.compress(bytes(32 * limits.MIB))
    assert "unpack to more than 400 times" in refused(packed, "zst")


def test_too_many_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STREAMS", 3)
    assert out(gzip.compress(b"x") * 3, "gz") == b"xxx"
    assert "made of more than 3 gz streams" in refused(gzip.compress(b"x") * 4, "gz")


def test_empty_chunks_are_nothing() -> None:
    for format_ in PACK:
        packed = PACK[format_](b"text")
        chunks = [b"", packed[:3], b"", packed[3:], b""]
        assert b"".join(inflate(chunks, format=format_, max_bytes=BIG)) == b"text"


def test_output_of_exactly_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PIECE", 100)
    for format_ in PACK:
        for size in (99, 100, 101, 200, 1000):
            data = text(size).ljust(size, b".")
            assert out(PACK[format_](data), format_) == data


def test_memory_of_a_decoder_is_bounded() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20, "preset": 0}]
    packed = bytearray(lzma.compress(b"x", format=lzma.FORMAT_ALONE))
    packed[1:5] = (0xFFFFFFFF).to_bytes(4, "little")  # asks for a dictionary of 4 GiB
    assert "its lzma data is damaged: Memory usage limit" in refused(bytes(packed), "lzma")
    assert out(lzma.compress(b"x", filters=filters), "xz") == b"x"
    wide = zstd.ZstdCompressor(
        options={
            zstd.CompressionParameter.window_log: 28,
            zstd.CompressionParameter.enable_long_distance_matching: True,
        }
    )
    data = wide.compress(b"x") + wide.flush()
    assert "its zst data is damaged" in refused(data, "zst")


def test_input_is_fed_in_small_pieces() -> None:
    assert FEED <= 1 << 16
    assert stream.PIECE <= limits.MIB


def test_blob_chunks() -> None:
    blob = MemoryBlob(bytes(range(100)))
    assert list(blob_chunks(blob, 10, 25, step=10)) == [
        bytes(range(10, 20)),
        bytes(range(20, 30)),
        bytes(range(30, 35)),
    ]
    assert b"".join(blob_chunks(blob)) == bytes(range(100))
    assert list(blob_chunks(blob, 100)) == []
    with pytest.raises(UntrustedError, match=r"bytes 90 to 110 were wanted, it ends at 100"):
        list(blob_chunks(blob, 90, 20))


@given(st.sampled_from(PACKED), st.binary(max_size=400), st.integers(1, 50))
@settings(max_examples=80)
def test_what_is_packed_comes_out(format_: str, data: bytes, step: int) -> None:
    assert out(PACK[format_](data), format_, step=step) == data


@given(
    st.sampled_from(PACKED), st.binary(max_size=200), st.binary(max_size=40), st.integers(0, 300)
)
@settings(max_examples=120)
def test_damage_gives_bytes_or_a_refusal(
    format_: str, data: bytes, damage: bytes, place: int
) -> None:
    packed = bytearray(PACK[format_](data))
    packed[place : place + len(damage)] = damage
    try:
        out(bytes(packed), format_, max_bytes=1 << 20)
    except UntrustedError as fault:
        assert fault.why


@pytest.mark.interop
@pytest.mark.parametrize(
    ("tool", "format_"), [("gzip", "gz"), ("xz", "xz"), ("bzip2", "bz2"), ("zstd", "zst")]
)
def test_real_tools(tool: str, format_: str) -> None:
    data = text(300_000)
    packed = subprocess.run([need(tool), "-c"], input=data, capture_output=True, check=True).stdout
    assert out(packed, format_) == data

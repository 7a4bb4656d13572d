"""formats.ar: both dialects, and what is no archive."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.ar import read_members
from tests.support.debs import make_ar
from tests.support.memory_store import MemoryBlob
from tests.support.tools import need


def listed(data: bytes, **options: int) -> list[tuple[str, bytes]]:
    blob = MemoryBlob(data)
    return [(m.name, blob.pread(m.size, m.offset)) for m in read_members(blob, **options)]


def refused(data: bytes, **options: int) -> str:
    with pytest.raises(UntrustedError) as caught:
        listed(data, **options)
    assert caught.value.mend
    return str(caught.value)


FILES = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", b"even")]


def test_members_in_order_with_padding() -> None:
    assert listed(make_ar(FILES)) == FILES


def test_system_v_names_end_with_a_slash() -> None:
    assert listed(make_ar([("debian-binary/", b"2.0\n")])) == [("debian-binary", b"2.0\n")]


def test_the_last_padding_byte_may_be_missing() -> None:
    assert listed(make_ar([("a", b"odd")])[:-1]) == [("a", b"odd")]


def test_bsd_long_names() -> None:
    data = make_ar([("#1/20", b"a name with blanks!!" + b"body")])
    assert listed(data) == [("a name with blanks!!", b"body")]


def test_system_v_table_of_names() -> None:
    table = b"a-name-of-over-sixteen-bytes/\nanother-one-of-such-length/\n"
    data = make_ar([("/", b"symbols!"), ("//", table), ("/0", b"one1"), ("/30", b"two2")])
    assert listed(data) == [
        ("a-name-of-over-sixteen-bytes", b"one1"),
        ("another-one-of-such-length", b"two2"),
    ]


def test_no_archive() -> None:
    assert "does not begin with `!<arch>`" in refused(b"PK\x03\x04")
    assert "does not begin with `!<arch>`" in refused(b"")


def test_cut_off() -> None:
    assert "cut off in the header at byte 8" in refused(make_ar(FILES)[:30])
    assert "claims 4 bytes, 2 are left" in refused(make_ar([("a", b"1234")])[:-2])


def test_no_member_header() -> None:
    data = bytearray(make_ar(FILES))
    data[8 + 58] = 0
    assert "no member header at byte 8" in refused(bytes(data))


@pytest.mark.parametrize("size", [b"-1", b"+4", b"0x4", b"4_0", b"", b"4 4"])
def test_a_size_that_is_no_number(size: bytes) -> None:
    data = bytearray(make_ar([("a", b"1234")]))
    data[8 + 48 : 8 + 58] = size.ljust(10)
    assert "no member header at byte 8" in refused(bytes(data))


def test_a_name_twice() -> None:
    assert "'a' stands in it twice" in refused(make_ar([("a", b""), ("a", b"")]))


def test_too_many_members() -> None:
    data = make_ar([(str(n), b"") for n in range(5)])
    assert "more than 4 members" in refused(data, max_members=4)
    assert len(listed(data, max_members=5)) == 5


def test_bad_names() -> None:
    assert "no proper name" in refused(make_ar([("", b"")]))
    assert "not UTF-8" in refused(make_ar([("x", b"")]).replace(b"x ", b"\xff ", 1))
    assert "outside the table" in refused(make_ar([("/7", b"")]))
    assert "claims a name of 9 bytes" in refused(make_ar([("#1/9", b"short")]))
    assert "no proper name" in refused(make_ar([("#1/3", b"a\0b")]))


def test_a_giant_table_of_names() -> None:
    data = make_ar([("//", b"")]).replace(b"0         `\n", b"9999999   `\n") + bytes(9999999)
    assert "table of names takes 9999999 bytes" in refused(data)


@given(st.binary(max_size=300))
@settings(max_examples=60)
def test_any_bytes_give_members_or_a_refusal(data: bytes) -> None:
    for blob in (data, b"!<arch>\n" + data):
        try:
            listed(blob)
        except UntrustedError as fault:
            assert fault.why


@pytest.mark.interop
def test_binutils_writes_what_we_read(tmp_path: Path) -> None:
    tool = need("ar")
    files = {"short": b"1", "a-name-that-is-longer-than-sixteen": b"22", "third.o": b"333"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    subprocess.run([tool, "rcD", "x.a", *files], cwd=tmp_path, check=True)
    assert dict(listed((tmp_path / "x.a").read_bytes())) == files

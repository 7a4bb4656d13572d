"""Zip reading: agrees with zipfile on honest archives, refuses the others by name."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.zip import pieces, read_directory, read_member
from tests.support.wheels import BytesBlob, make_zip


def contents(data: bytes) -> dict[str, bytes]:
    blob = BytesBlob(data)
    return {m.name: b"".join(pieces(blob, m)) for m in read_directory(blob)}


def refused(data: bytes, *, name: str = "", match: str) -> None:
    with pytest.raises(UntrustedError, match=match) as caught:
        contents(data)
    assert caught.value.exit_code == 4
    assert name in caught.value.what.replace("\\\\", "\\")


def central(data: bytes, index: int = 0) -> int:
    """Where the index-th central entry stands."""
    at = -1
    for _ in range(index + 1):
        at = data.index(b"PK\1\2", at + 1)
    return at


def patched(data: bytes, at: int, layout: str, *values: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(layout, out, at, *values)
    return bytes(out)


part = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=("Cs",)),
    min_size=1,
    max_size=8,
).filter(lambda t: t not in (".", ".."))
names = st.lists(part, min_size=1, max_size=3).map(lambda p: "/".join(p))


def no_clash(files: dict[str, bytes]) -> bool:
    return not any(b.startswith(f"{a}/") for a in files for b in files)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(names, st.binary(max_size=2000), max_size=6).filter(no_clash),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_what_zipfile_writes_is_read_back(files: dict[str, bytes], method: int) -> None:
    assert contents(make_zip(files, method=method)) == files


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_refused_or_reads_the_same(data: st.DataObject) -> None:
    """No exception but UntrustedError, and no other contents, whatever bytes change."""
    files = {"a/b.txt": b"hello " * 40, "c": bytes(range(200, 230)), "d/": b""}
    archive = bytearray(make_zip(files))
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    blob = BytesBlob(bytes(archive))
    try:
        members = read_directory(blob)
        found = [b"".join(pieces(blob, m)) for m in members]
    except UntrustedError:
        return
    assert sorted(found) == sorted(files.values())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(UntrustedError):
        read_directory(BytesBlob(junk))


def test_every_cut_is_refused() -> None:
    archive = make_zip({"a": b"x" * 100, "b": b"y"})
    for size in range(len(archive)):
        with pytest.raises(UntrustedError):
            contents(archive[:size])


def test_modes_and_folders_are_told() -> None:
    files = {"bin/": b"", "bin/tool": b"#!", "plain": b""}
    modes = {"bin/": stat.S_IFDIR | 0o755, "bin/tool": stat.S_IFREG | 0o755, "plain": 0}
    found = {m.name: m for m in read_directory(BytesBlob(make_zip(files, modes=modes)))}
    assert found["bin/"].is_dir
    assert found["bin/tool"].mode == stat.S_IFREG | 0o755
    assert stat.S_IFMT(found["plain"].mode) == 0


def test_members_come_in_the_order_of_their_bytes() -> None:
    archive = make_zip({"one": b"1", "two": b"2"}, method=zipfile.ZIP_STORED)
    first, second, end = central(archive), central(archive, 1), archive.index(b"PK\5\6")
    swapped = archive[:first] + archive[second:end] + archive[first:second] + archive[end:]
    assert [m.name for m in read_directory(BytesBlob(swapped))] == ["one", "two"]


def test_zip64_is_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("big", "w", force_zip64=True) as member:
            member.write(b"payload")
        archive.writestr("small", b"s")
    assert contents(out.getvalue()) == {"big": b"payload", "small": b"s"}


def zip64_end(archive: bytes) -> bytes:
    """The same archive with a zip64 end record and locator, and sizes only there."""
    at = archive.rindex(b"PK\5\6")
    count, size, start = struct.unpack_from("<H2L", archive, at + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    return archive[:at] + record + locator + end


def test_zip64_end_record_is_read() -> None:
    assert contents(zip64_end(make_zip({"a": b"1"}))) == {"a": b"1"}


def test_zip64_end_record_that_differs_is_refused() -> None:
    archive = zip64_end(make_zip({"a": b"1"}))
    lying = patched(archive, archive.rindex(b"PK\5\6") + 10, "<H", 7)
    refused(lying, match="two end records differ")


def test_zip64_locator_that_points_elsewhere_is_refused() -> None:
    archive = zip64_end(make_zip({"a": b"1"}))
    refused(patched(archive, archive.index(b"PK\6\7") + 8, "<Q", 3), match="where its locator says")


def test_streamed_members_with_data_descriptors_are_read() -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        archive.writestr("a", b"alpha" * 10)
        archive.writestr("b", b"beta")
    assert contents(out.data) == {"a": b"alpha" * 10, "b": b"beta"}


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../outside", "leads out"),
        ("a/../../outside", "leads out"),
        ("a/..", "leads out"),
        ("/etc/passwd", "absolute"),
        ("a\\b", "backslash"),
        ("a//b", "empty"),
        ("./a", "empty"),
        ("", "empty"),
        ("/".join(["x" * 200] * 21), "too long"),
        ("x" * 256, "too long"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str, match: str) -> None:
    refused(make_zip({name: b"x"}), name=name[:200], match=match)


def test_a_nul_in_a_name_is_refused() -> None:
    refused(make_zip({"aXb": b"x"}).replace(b"aXb", b"a\0b"), match="NUL")


def test_a_name_that_is_not_utf8_is_refused() -> None:
    refused(make_zip({"aéb": b"x"}).replace("é".encode(), b"\xff\xfe"), match="not valid UTF-8")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["same", "same/"])
def test_a_name_twice_is_refused(other: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("same", b"1")
        archive.writestr(other, b"" if other.endswith("/") else b"2")
    refused(out.getvalue(), name="same", match="stands twice")


def test_a_file_that_is_also_a_folder_is_refused() -> None:
    refused(make_zip({"a": b"1", "a/b": b"2"}), name="'a'", match="a folder that holds 'a/b'")


@pytest.mark.parametrize(
    ("mode", "match"),
    [
        (stat.S_IFLNK | 0o777, "symbolic link"),
        (stat.S_IFCHR | 0o666, "not that of a file"),
        (stat.S_IFIFO | 0o666, "not that of a file"),
        (stat.S_IFDIR | 0o755, "not that of a file"),
    ],
)
def test_what_is_no_file_is_refused(mode: int, match: str) -> None:
    refused(make_zip({"odd": b"/etc/passwd"}, modes={"odd": mode}), name="odd", match=match)


def test_a_folder_with_content_is_refused() -> None:
    refused(make_zip({"d/": b"x"}), name="d/", match="a folder with 1 bytes")


def test_encryption_is_refused() -> None:
    archive = make_zip({"a": b"secret"})
    refused(patched(archive, central(archive) + 8, "<H", 1), name="a", match="encrypted")


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 95])
def test_other_methods_are_refused(method: int) -> None:
    archive = make_zip({"a": b"x"})
    refused(
        patched(archive, central(archive) + 10, "<H", method), name="a", match=f"method {method}"
    )


def test_members_that_share_bytes_are_refused() -> None:
    """The bomb of overlapping members: many directory entries over one run of bytes."""
    archive = make_zip({"a": b"x" * 1000, "b": b"y" * 1000})
    refused(patched(archive, central(archive, 1) + 42, "<L", 0), match="overlap")


@pytest.mark.parametrize(
    ("at", "layout", "value", "match"),
    [
        (14, "<L", 1, "CRC-32"),
        (18, "<L", 1, "packed size"),
        (22, "<L", 1, "size: 1"),
        (8, "<H", 0, "method 0"),
        (6, "<H", 1, "flags 0x0001"),
        (30, "<B", ord("b"), "names it b'b'"),
        (0, "<B", 0, "no local header"),
        (28, "<H", 60000, "overlap what follows"),
    ],
)
def test_a_local_header_that_says_other_is_refused(
    at: int, layout: str, value: int, match: str
) -> None:
    refused(patched(make_zip({"a": b"x" * 50}), at, layout, value), name="a", match=match)


def test_a_second_name_in_an_extra_field_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("good")
        body = b"\1" + struct.pack("<L", zlib.crc32(b"good")) + b"evil"
        info.extra = struct.pack("<2H", 0x7075, len(body)) + body
        archive.writestr(info, b"x")
    refused(out.getvalue(), name="good", match="extra field names it b'evil'")


def both(archive: bytes, local: int, central_at: int, value: int) -> bytes:
    """Change a 32-bit field in the local header and the directory alike."""
    return patched(patched(archive, local, "<L", value), central(archive) + central_at, "<L", value)


def test_a_wrong_checksum_is_refused() -> None:
    refused(both(make_zip({"a": b"x" * 50}), 14, 16, 7), name="a", match="CRC-32 00000007")


@pytest.mark.parametrize(("size", "match"), [(10, "more than 10"), (5000, "it unpacks to 50")])
def test_a_wrong_size_is_refused(size: int, match: str) -> None:
    refused(both(make_zip({"a": b"x" * 50}), 22, 24, size), name="a", match=match)


def test_a_damaged_stream_is_refused() -> None:
    archive = bytearray(make_zip({"a": os.urandom(100)}))
    archive[31] ^= 0x06  # the block type of deflate's first block
    refused(bytes(archive), name="a", match=r"damaged|does not end|CRC-32|unpacks")


def test_bytes_behind_the_stream_are_refused() -> None:
    payload = zlib.compress(b"x" * 50, 9, -15) + b"hidden"
    archive = make_zip({"a": payload}, method=zipfile.ZIP_STORED)
    archive = patched(archive, 8, "<H", 8)
    archive = patched(archive, central(archive) + 10, "<H", 8)
    archive = both(archive, 14, 16, zlib.crc32(b"x" * 50))
    refused(both(archive, 22, 24, 50), name="a", match="does not end where")


def test_bytes_behind_the_end_are_refused() -> None:
    refused(make_zip({"a": b"x"}) + b"more", match="follow its end of central directory")


def test_bytes_before_the_archive_are_refused() -> None:
    refused(b"#!/bin/sh\n" + make_zip({"a": b"x"}), match="does not end where its end record")


def test_a_split_archive_is_refused() -> None:
    archive = make_zip({"a": b"x"})
    refused(patched(archive, archive.rindex(b"PK\5\6") + 4, "<H", 1), match="one part of")


def test_a_count_that_does_not_fit_is_refused() -> None:
    archive = make_zip({"a": b"x"})
    end = archive.rindex(b"PK\5\6")
    refused(patched(archive, end + 8, "<2H", 900, 900), match="do not fit")
    refused(patched(archive, end + 8, "<2H", 0, 0), match="follow the last entry")


def test_too_many_members_are_refused() -> None:
    with pytest.raises(UntrustedError, match="3 members, over the limit of 2"):
        read_directory(BytesBlob(make_zip({"a": b"", "b": b"", "c": b""})), max_members=2)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    archive = make_zip({"bomb": b"\0" * 5_000_000})
    assert len(archive) < 10_000
    with pytest.raises(UntrustedError, match=r"5,000,000 bytes from .* 400 times"):
        read_directory(BytesBlob(archive), ratio_floor=1_000_000)
    with pytest.raises(UntrustedError, match="over the limit of 4,000,000") as caught:
        read_directory(BytesBlob(archive), max_member_bytes=4_000_000)
    assert "bomb" in caught.value.what


def test_a_bomb_with_a_small_word_in_the_directory_stops_early() -> None:
    archive = both(make_zip({"bomb": b"\0" * 50_000_000}), 22, 24, 100)
    blob = BytesBlob(archive)
    (member,) = read_directory(blob)
    given_out = 0
    with pytest.raises(UntrustedError, match="more than 100"):
        for piece in pieces(blob, member):
            given_out += len(piece)
    assert given_out == 0


def test_pieces_are_bounded() -> None:
    blob = BytesBlob(make_zip({"zeros": b"\0" * 50_000_000}))
    (member,) = read_directory(blob)
    sizes = [len(piece) for piece in pieces(blob, member)]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 8 << 20


def test_large_incompressible_members_are_read() -> None:
    data = os.urandom(3_500_000)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert contents(make_zip({"big": data}, method=method)) == {"big": data}


def test_metadata_is_read_up_to_its_limit() -> None:
    blob = BytesBlob(make_zip({"RECORD": b"x" * 100}))
    (member,) = read_directory(blob)
    assert read_member(blob, member) == b"x" * 100
    with pytest.raises(UntrustedError, match="100 bytes long, and metadata may have 99"):
        read_member(blob, member, max_bytes=99)


def test_a_blob_that_shrinks_is_refused() -> None:
    archive = make_zip({"a": os.urandom(3_000_000)}, method=zipfile.ZIP_STORED)

    class Shrinking(BytesBlob):
        def pread(self, size: int, offset: int) -> bytes:
            return super().pread(size, offset) if offset < 1_000_000 or offset > 2_900_000 else b""

    blob = Shrinking(archive)
    (member,) = read_directory(blob)
    with pytest.raises(UntrustedError, match=r"ends .* bytes early"):
        list(pieces(blob, member))

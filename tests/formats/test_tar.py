"""formats.tar against stdlib's tarfile, GNU tar, and hostile archives."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats.tar import TarMember, read_tar
from staunch.model.entry import Kind
from tests.support.debs import folder, hardlink, make_tar, member, symlink
from tests.support.tools import need

FORMS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
END = bytes(1024)


def cut(data: bytes, step: int) -> Iterator[bytes]:
    return (data[at : at + step] for at in range(0, len(data), step))


def read(data: bytes, *, step: int = 1000, **options: int) -> list[tuple[TarMember, bytes]]:
    return [
        (each, b"".join(each.pieces())) for each in read_tar(cut(data, step), what="x", **options)
    ]


def refused(data: bytes, **options: int) -> str:
    with pytest.raises(UntrustedError) as caught:
        read(data, **options)
    assert caught.value.mend
    return str(caught.value)


def header(
    *,
    name: bytes = b"a",
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    size: bytes = b"00000000000\0",
    mtime: bytes = b"00000000000\0",
    typeflag: bytes = b"0",
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
) -> bytes:
    """One block, field by field."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = mode
    block[108:116] = uid
    block[116:124] = b"0000000\0"
    block[124:136] = size
    block[136:148] = mtime
    block[156:157] = typeflag
    block[157 : 157 + len(link)] = link
    block[257:265] = magic
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(**records: bytes) -> bytes:
    """An extended header of the given records."""
    body = b""
    for key, value in records.items():
        rest = b" " + key.replace("__", ".").encode() + b"=" + value + b"\n"
        size = len(rest)
        while len(b"%d" % size) + len(rest) != size:
            size = len(b"%d" % size) + len(rest)
        body += b"%d" % size + rest
    return pax_raw(body)


def pax_raw(body: bytes, typeflag: bytes = b"x") -> bytes:
    block = header(typeflag=typeflag, size=b"%011o\0" % len(body))
    return block + body + bytes(-len(body) % 512)


SAMPLE = [
    folder("./usr"),
    member("./usr/one", b"x" * 700, mode=0o4755, uid=3, gid=7),
    member("./usr/empty"),
    member("./usr/block", b"y" * 512),
    symlink("./usr/link", "../other"),
    hardlink("./usr/hard", "./usr/one"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 511, 512, 513, 1 << 20])
def test_plain_members_in_any_format_and_feed(form: int, step: int) -> None:
    got = read(make_tar(SAMPLE, form=form), step=step)
    assert [(m.name, m.kind, m.mode, m.uid, m.gid, m.size, m.link, data) for m, data in got] == [
        ("./usr", Kind.DIR, 0o755, 0, 0, 0, "", b""),
        ("./usr/one", Kind.FILE, 0o4755, 3, 7, 700, "", b"x" * 700),
        ("./usr/empty", Kind.FILE, 0o644, 0, 0, 0, "", b""),
        ("./usr/block", Kind.FILE, 0o644, 0, 0, 512, "", b"y" * 512),
        ("./usr/link", Kind.SYMLINK, 0o777, 0, 0, 0, "../other", b""),
        ("./usr/hard", Kind.HARDLINK, 0o644, 0, 0, 0, "./usr/one", b""),
    ]
    assert {(m.uname, m.gname, m.mtime) for m, _ in got} == {("root", "root", 0)}


def test_offset_is_where_the_payload_stands() -> None:
    data = make_tar(SAMPLE)
    for each, payload in read(data):
        assert data[each.offset : each.offset + each.size] == payload


def test_payloads_that_nobody_asks_for_are_skipped() -> None:
    data = make_tar([member("a", b"1" * 5000), member("b", b"2"), member("c", b"3" * 513)])
    for step in (1, 512, 1 << 20):
        assert [m.name for m in read_tar(cut(data, step))] == ["a", "b", "c"]
        half = [next(each.pieces()) for each in read_tar(cut(data, step))]
        assert [piece[:1] for piece in half] == [b"1", b"2", b"3"]


def test_pieces_are_for_once_and_in_time() -> None:
    members = read_tar([make_tar([member("a", b"1"), member("b", b"2")])])
    first = next(members)
    assert b"".join(first.pieces()) == b"1"
    with pytest.raises(ValueError, match="twice or too late"):
        first.pieces()
    next(members)
    with pytest.raises(ValueError, match="twice or too late"):
        first.pieces()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_links(form: int) -> None:
    name, target = "d/" * 120 + "näme", "t" * 300
    got = read(make_tar([member(name, b"z"), symlink("l" * 130, target)], form=form))
    assert [(m.name, m.link, data) for m, data in got] == [
        (name, "", b"z"),
        ("l" * 130, target, b""),
    ]


def test_ustar_prefix() -> None:
    name = "p" * 120 + "/" + "n" * 90
    assert read(make_tar([member(name)], form=tarfile.USTAR_FORMAT))[0][0].name == name


def test_gnu_puts_other_things_where_ustar_has_the_prefix() -> None:
    block = header(magic=b"ustar  \0", prefix=b"00000000001")
    assert read(block + END)[0][0].name == "a"


def test_v7_has_no_owner_names() -> None:
    ((each, _),) = read(header(magic=bytes(8), typeflag=b"\0", prefix=b"old") + END)
    assert (each.name, each.kind, each.uname) == ("a", Kind.FILE, "")


def test_a_directory_of_old_writers_is_a_file_with_a_slash() -> None:
    ((each, _),) = read(header(name=b"usr/", magic=bytes(8), typeflag=b"\0") + END)
    assert (each.name, each.kind) == ("usr", Kind.DIR)


def test_pax_records() -> None:
    extra = pax(
        path=b"p\xc3\xa4th",
        size=b"3",
        uid=b"3000000",
        gid=b"3000001",
        uname=b"me",
        gname=b"us",
        mtime=b"-1.5",
        SCHILY__xattr__user__b=b"\0\xff\n",
        SCHILY__xattr__user__a=b"",
        comment=b"not for us",
    )
    ((each, data),) = read(extra + header() + b"abc".ljust(512, b"\0") + END)
    assert data == b"abc"
    assert (each.name, each.size, each.uid, each.gid) == ("päth", 3, 3000000, 3000001)
    assert (each.uname, each.gname, each.mtime) == ("me", "us", -1)
    assert each.xattrs == (("user.a", b""), ("user.b", b"\0\xff\n"))


def test_global_records_hold_until_taken_back() -> None:
    shared = pax_raw(b"10 uid=42\n", b"g")
    data = shared + header(name=b"a") + pax(uid=b"7") + header(name=b"b") + pax(uid=b"")
    got = read(data + header(name=b"c", uid=b"0000003\0") + header(name=b"d") + END)
    assert [(m.name, m.uid) for m, _ in got] == [("a", 42), ("b", 7), ("c", 3), ("d", 42)]


def test_base_256_numbers() -> None:
    size = b"\x80" + (5).to_bytes(11, "big")
    uid = b"\x80" + (1 << 40).to_bytes(7, "big")
    mtime = (-5).to_bytes(12, "big", signed=True)
    ((each, data),) = read(
        header(size=size, uid=uid, mtime=mtime) + b"12345".ljust(512, b"\0") + END
    )
    assert (data, each.uid, each.mtime) == (b"12345", 1 << 40, -5)


def test_numbers_as_old_writers_pad_them() -> None:
    block = header(mode=b"   644 \0", uid=b"     3 \0", size=b"          0 ")
    ((each, _),) = read(block + END)
    assert (each.mode, each.uid) == (0o644, 3)


def test_signed_checksums_of_old_writers() -> None:
    block = bytearray(header(name="é".encode()))
    unsigned = int(block[148:154], 8)
    block[148:156] = b"%06o\0 " % (unsigned - 512)  # two bytes over 127
    assert read(bytes(block) + END)[0][0].name == "é"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", b"0000000000x\0"),
        ("size", b"-0000000001\0"),
        ("size", b"0o000000001\0"),
        ("size", b"0_000000001\0"),
        ("mode", b"00\x0000644"),
        ("mtime", b"+0000000001\0"),
    ],
)
def test_fields_that_are_no_numbers(field: str, value: bytes) -> None:
    assert f"the {field} of the header at byte 0 is no number" in refused(
        header(**{field: value}) + END
    )


def test_numbers_out_of_range() -> None:
    assert "size of the header at byte 0 is out of range: -1" in refused(
        header(size=b"\xff" * 12) + END
    )
    assert "out of range" in refused(header(size=b"\x80" + b"\xff" * 11) + END)


@pytest.mark.parametrize(
    ("typeflag", "told"),
    [
        (b"3", "is a character device"),
        (b"4", "is a block device"),
        (b"6", "is a FIFO"),
        (b"S", "is a sparse file"),
        (b"M", "another volume"),
        (b"D", "dump directory"),
        (b"V", "volume label"),
        (b"Q", "of the unknown type b'Q'"),
    ],
)
def test_kinds_that_no_image_holds(typeflag: bytes, told: str) -> None:
    message = refused(header(name=b"dev/x", typeflag=typeflag) + END)
    assert told in message
    assert "'dev/x'" in message


def test_sparse_files_of_pax() -> None:
    data = pax(GNU__sparse__major=b"1") + header() + END
    assert "'a' is a sparse file" in refused(data)


def test_links_and_folders_have_no_payload() -> None:
    for flag, told in ((b"1", "hardlink"), (b"2", "symlink"), (b"5", "dir")):
        block = header(typeflag=flag, size=b"00000000001\0", link=b"t")
        assert f"is a {told}, yet has 1 bytes" in refused(block + bytes(512) + END)
    assert "yet has 1 bytes" in refused(
        header(name=b"a/", size=b"00000000001\0") + bytes(512) + END
    )


def test_links_to_nothing() -> None:
    assert "'a' is a symlink to nothing" in refused(header(typeflag=b"2") + END)
    assert "'a' is a hardlink to nothing" in refused(header(typeflag=b"1") + END)


def test_bad_names() -> None:
    assert "the member at byte 0 has no name" in refused(header(name=b"") + END)
    assert "holds a NUL byte" in refused(pax(path=b"a\0b") + header() + END)
    assert "target holds a NUL byte" in refused(pax(linkpath=b"a\0b") + header(typeflag=b"2") + END)
    assert "at byte 0 is not UTF-8" in refused(header(name=b"\xff") + END)
    assert "has as its link what is not UTF-8" in refused(header(typeflag=b"2", link=b"\xff") + END)
    assert "has as its owner what is not UTF-8" in refused(pax(uname=b"\xff") + header() + END)


def test_a_wrong_checksum() -> None:
    data = bytearray(make_tar(SAMPLE))
    data[512] ^= 1
    assert "the header at byte 512 has checksum" in refused(bytes(data))


@pytest.mark.parametrize(
    "body",
    [b"x", b"5 a=b", b"99 a=b\n", b"6 ab\n\n", b"6 =ab\n\n", b"0 a=b\n", b"05 a=b\n", b"5 a=bc\n"],
)
def test_bad_pax_records(body: bytes) -> None:
    assert "has a bad record at 0" in refused(pax_raw(body) + header() + END)


def test_bad_pax_values() -> None:
    assert "uid='-1', which is no number" in refused(pax(uid=b"-1") + header() + END)
    assert "size='1.5', which is no number" in refused(pax(size=b"1.5") + header() + END)
    assert "mtime='soon'" in refused(pax(mtime=b"soon") + header() + END)
    assert "in charset b'KOI8'" in refused(pax(hdrcharset=b"KOI8") + header() + END)
    assert "key that is not UTF-8" in refused(pax_raw(b"6 \xff=a\n") + END)


def test_extended_headers_in_odd_places() -> None:
    assert "two extended headers of a kind" in refused(pax(uid=b"1") + pax(uid=b"2") + header())
    assert "for no member" in refused(pax(uid=b"1") + END)
    many = pax_raw(b"10 uid=42\n", b"g") * 65
    assert "more than 64 global headers" in refused(many + header() + END)
    giant = header(typeflag=b"L", size=b"00004000001\0")
    assert "extended header of 1048577 bytes" in refused(giant + bytes(1 << 21))


@pytest.mark.parametrize("step", [512, 1 << 20])
def test_truncation_anywhere(step: int) -> None:
    data = make_tar([member("a", b"1" * 700), member("n" * 120, b"2")])
    whole = len(data.rstrip(b"\0"))
    for size in (0, 100, 511, 512, 600, 1212, 1300, 1536, 2100, 2600, whole - 1):
        assert "it is cut off in" in refused(data[:size], step=step)


def test_payload_cut_off_while_skipping() -> None:
    with pytest.raises(UntrustedError, match="cut off in a payload"):
        list(read_tar([make_tar([member("a", b"1" * 700)])[:1000]]))


def test_only_zeros_may_follow_the_end() -> None:
    data = make_tar(SAMPLE).rstrip(b"\0")
    data += bytes(-len(data) % 512)
    assert len(read(data + bytes(512))) == len(SAMPLE)
    assert len(read(data + bytes(5000))) == len(SAMPLE)
    for tail in (header(name=b"hidden"), b"\1", bytes(512) + header(name=b"hidden")):
        assert "other than zeros follows its end" in refused(data + bytes(512) + tail)


def test_too_many_members() -> None:
    data = make_tar([member(str(n)) for n in range(5)])
    assert len(read(data, max_members=5)) == 5
    assert "more than 4 members" in refused(data, max_members=4)


def test_an_empty_archive() -> None:
    assert read(END) == []
    assert "cut off in a member header at byte 0" in refused(b"")


def test_the_whole_stream_is_read() -> None:
    chunks = iter([make_tar(SAMPLE), bytes(512), bytes(512)])
    list(read_tar(chunks))
    assert list(chunks) == []


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=150)


@given(
    st.lists(st.tuples(names, st.binary(max_size=1500), st.integers(0, 1 << 30)), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 2000),
)
@settings(max_examples=60, deadline=None)
def test_reads_what_tarfile_writes(
    files: list[tuple[str, bytes, int]], form: int, step: int
) -> None:
    members = [member(f"x{name}x", data, uid=uid) for name, data, uid in files]
    got = read(make_tar(members, form=form), step=step)
    assert [(m.name, data, m.uid) for m, data in got] == [
        (f"x{name}x", data, uid) for name, data, uid in files
    ]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_gives_members_or_a_refusal(data: st.DataObject) -> None:
    archive = bytearray(
        pax(uid=b"5", SCHILY__xattr__user__a=b"1") + make_tar([*SAMPLE, member("n" * 130, b"long")])
    )
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(archive.rstrip(b"\0"))))
        archive[place] = data.draw(st.integers(0, 255))
        block = place - place % 512
        if data.draw(st.booleans()):  # with the checksum mended
            archive[block + 148 : block + 156] = b" " * 8
            archive[block + 148 : block + 156] = b"%06o\0 " % sum(archive[block : block + 512])
    try:
        read(bytes(archive))
    except UntrustedError as fault:
        assert fault.why


@pytest.mark.interop
@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "oldgnu", "posix"])
def test_gnu_tar_in_all_its_formats(form: str, tmp_path: Path) -> None:
    tool = need("tar")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(b"content" * 1000)
    (tree / "link").symlink_to("sub/file")
    (tree / "hard").hardlink_to(tree / "sub" / "file")
    if form in ("gnu", "oldgnu", "posix"):
        (tree / ("long" * 40)).write_bytes(b"long")
    data = subprocess.run(
        [tool, f"--format={form}", "--sort=name", "-C", tree, "-c", "."],
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        wanted = [
            (info.name, info.mode, info.uid, info.gid, info.uname, info.linkname, int(info.mtime))
            for info in archive
        ]
    got = read(data)
    assert [(m.name, m.mode, m.uid, m.gid, m.uname, m.link, m.mtime) for m, _ in got] == wanted
    assert [data for m, data in got if m.kind is Kind.FILE and m.size > 9] == [b"content" * 1000]


@pytest.mark.interop
def test_gnu_tar_sparse_files_are_refused(tmp_path: Path) -> None:
    tool = need("tar")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 20)
    for form in ("gnu", "posix"):
        data = subprocess.run(
            [tool, f"--format={form}", "-S", "-C", tmp_path, "-c", "holes"],
            capture_output=True,
            check=True,
        ).stdout
        assert "sparse file" in refused(data)

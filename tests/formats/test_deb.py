"""formats.deb: what a package holds, and what no package may hold."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from staunch.errors import UntrustedError
from staunch.formats import deb, stream
from staunch.formats.deb import DebContents, DebReader, control_fields, read_deb
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind, Member
from tests.support.debs import (
    CONTROL,
    PACKERS,
    folder,
    hardlink,
    make_ar,
    make_deb,
    make_tar,
    member,
    symlink,
)
from tests.support.elves import small_library
from tests.support.memory_store import MemoryBlob, MemoryPending
from tests.support.tools import need

OWNER = "deb:example"
FILES = [
    folder("./usr/"),
    folder("./usr/bin/"),
    member("./usr/bin/one", b"first", mode=0o4755, gid=42),
    symlink("./usr/bin/two", "one"),
    hardlink("./usr/bin/three", "./usr/bin/one"),
    member("./usr/empty"),
]


def contents(data: bytes) -> DebContents:
    return read_deb(MemoryBlob(data), owner=OWNER)


def refused(data: bytes) -> str:
    with pytest.raises(UntrustedError) as caught:
        contents(data)
    assert caught.value.mend
    return str(caught.value)


def with_members(*members: tuple[tarfile.TarInfo, bytes]) -> str:
    return refused(make_deb(members))


def host_elf() -> bytes:
    return Path(sys.executable).resolve().read_bytes()


@pytest.mark.parametrize("ext", PACKERS)
def test_entries_in_archive_order(ext: str) -> None:
    control_ext = ext if ext in ("", ".gz", ".xz", ".zst") else ".gz"
    got = contents(make_deb(FILES, data_ext=ext, control_ext=control_ext))
    file = {"size": 5, "digest": Digest.of(b"first"), "body": Member("usr/bin/one")}
    assert got.entries == (
        Entry("usr", Kind.DIR, 0o755, owner=OWNER),
        Entry("usr/bin", Kind.DIR, 0o755, owner=OWNER),
        Entry("usr/bin/one", Kind.FILE, 0o4755, 0, 42, owner=OWNER, **file),
        Entry("usr/bin/two", Kind.SYMLINK, 0o777, link="one", owner=OWNER),
        Entry("usr/bin/three", Kind.HARDLINK, 0o4755, 0, 42, link="usr/bin/one", owner=OWNER),
        Entry(
            "usr/empty",
            Kind.FILE,
            0o644,
            digest=Digest.of(b""),
            body=Member("usr/empty"),
            owner=OWNER,
        ),
    )
    assert got.control == (("control", CONTROL),)
    assert got.elf == got.damaged_elf == ()


def test_all_control_members_sorted_by_name() -> None:
    files = {"postinst": b"#!/bin/sh\n", "control": CONTROL, "md5sums": b"\xff"}
    got = contents(make_deb(control=files))
    assert got.control == (
        ("control", CONTROL),
        ("md5sums", b"\xff"),
        ("postinst", b"#!/bin/sh\n"),
    )


def test_control_fields() -> None:
    fields = control_fields(contents(make_deb()))
    assert (fields["Package"], fields["version"], fields["ARCHITECTURE"]) == (
        "example",
        "1.0-1",
        "amd64",
    )


def test_no_control_file() -> None:
    with pytest.raises(UntrustedError, match=r"has no control file\n  why:  .* holds postinst"):
        control_fields(contents(make_deb(control={"postinst": b""})))


@pytest.mark.parametrize("spooled", [False, True])
def test_payloads_again(spooled: bool) -> None:
    blob, spool = MemoryBlob(make_deb(FILES)), MemoryPending(bytearray())
    read_deb(blob, owner=OWNER, spool=spool)
    reader = DebReader(spool if spooled else blob, unpacked=spooled)
    got = [
        (name, b"".join(pieces)) for name, pieces in reader.payloads(["usr/empty", "usr/bin/one"])
    ]
    assert got == [("usr/bin/one", b"first"), ("usr/empty", b"")]
    assert [name for name, _ in reader.payloads(["usr/empty"])] == ["usr/empty"]
    assert list(reader.payloads([])) == []
    with pytest.raises(UntrustedError, match=r"was to hold the file 'usr/bin/two', and does not"):
        list(reader.payloads(["usr/bin/two", "usr/empty"]))


def test_the_spool_holds_the_unpacked_archive() -> None:
    spool = MemoryPending(bytearray())
    plain = read_deb(MemoryBlob(make_deb(FILES)), owner=OWNER)
    assert read_deb(MemoryBlob(make_deb(FILES)), owner=OWNER, spool=spool) == plain
    assert spool.pread(1 << 20, 0) == make_tar([folder("./"), *FILES])


@pytest.mark.parametrize("way", ["held", "spilled", "spooled"])
def test_elf_facts(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = host_elf()
    if way == "spilled":
        monkeypatch.setattr(deb, "HELD_BYTES", 1000)
    spool = MemoryPending(bytearray()) if way == "spooled" else None
    data = make_deb(
        [
            member("./pad", b"12345"),
            member("./program", program),
            member("./short", b"\x7fEL"),
            member("./broken", b"\x7fELF" + bytes(2000)),
            member("./text", b"not ELF"),
        ]
    )
    got = read_deb(MemoryBlob(data), owner=OWNER, spool=spool)
    ((path, facts),) = got.elf
    assert path == "program"
    assert facts.interpreter.startswith("/lib")
    assert "libc.so.6" in facts.needed
    ((path, why),) = got.damaged_elf
    assert path == "broken"
    assert "class 0" in why
    assert {e.path: e.digest for e in got.entries}["program"] == Digest.of(program)


@pytest.mark.parametrize("way", ["held", "spilled", "spooled"])
def test_elf_files_in_many_pieces(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PIECE", 3)
    if way == "spilled":
        monkeypatch.setattr(deb, "HELD_BYTES", 1000)
    spool = MemoryPending(bytearray()) if way == "spooled" else None
    program = small_library()
    blob = MemoryBlob(make_deb([member("./p", program)], data_ext="", control_ext=""))
    got = read_deb(blob, owner=OWNER, spool=spool)
    assert [path for path, _ in got.elf] == ["p"]
    assert got.entries[0].digest == Digest.of(program)


def test_a_spilled_file_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deb, "HELD_BYTES", 1000)
    files = []

    def spill() -> io.BufferedRandom:
        files.append(tempfile.TemporaryFile())  # noqa: SIM115  the reader closes it
        return files[-1]

    read_deb(MemoryBlob(make_deb([member("./p", host_elf())])), owner=OWNER, spill=spill)
    assert [file.closed for file in files] == [True]


def test_names_are_cleaned() -> None:
    names = ["usr", "./a//b", "././c", "d/./e", "f"]
    got = contents(make_deb([folder("usr"), *(member(name) for name in names[1:])]))
    assert [e.path for e in got.entries] == ["usr", "a/b", "c", "d/e", "f"]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "./../x", "a/../../x", "a/..", "..", "//x"]
)
def test_names_that_point_out(name: str) -> None:
    assert "points out of it" in with_members(member(name, b""))
    assert repr(name) in with_members(member(name, b""))


def test_hard_links_that_point_out() -> None:
    for target in ("/etc/passwd", "../../etc/passwd"):
        message = with_members(hardlink("./x", target))
        assert f"{target!r} points out of it" in message


def test_hard_links_to_what_is_not_before_them() -> None:
    assert "'x' is a hard link to 'y', no file before it" in with_members(hardlink("./x", "./y"))
    after = with_members(hardlink("./x", "./y"), member("./y", b""))
    assert "'x' is a hard link to 'y', no file before it" in after
    assert "no file before it" in with_members(folder("./d"), hardlink("./x", "./d"))
    assert "no file before it" in with_members(hardlink("./x", "./x"))


def test_hard_links_to_links() -> None:
    got = contents(
        make_deb(
            [
                member("./a", b"1", mode=0o600),
                hardlink("./b", "./a"),
                hardlink("./c", "b"),
                symlink("./s", "a"),
                hardlink("./t", "./s"),
            ]
        )
    )
    assert [(e.path, e.kind, e.link, e.mode) for e in got.entries] == [
        ("a", Kind.FILE, "", 0o600),
        ("b", Kind.HARDLINK, "a", 0o600),
        ("c", Kind.HARDLINK, "a", 0o600),
        ("s", Kind.SYMLINK, "a", 0o777),
        ("t", Kind.SYMLINK, "a", 0o777),
    ]


def test_the_same_path_twice() -> None:
    one = member("./a", b"1")
    for other in (one, member("a", b"2"), folder("./a"), symlink("./a", "b"), hardlink("a", "a")):
        assert "'a' stands in it twice" in with_members(one, other)
    assert "'d' stands in it twice" in with_members(folder("./d"), folder("./d", mode=0o700))
    assert "'s' stands in it twice" in with_members(symlink("s", "a"), symlink("./s", "a"))


def test_the_same_directory_twice_is_one() -> None:
    got = contents(make_deb([folder("./d/"), folder("d")]))
    assert [e.path for e in got.entries] == ["d"]


def test_nothing_stands_below_what_is_no_directory() -> None:
    below = member("./a/b/c", b"")
    assert "'a/b/c' lies below the symlink 'a'" in with_members(symlink("./a", "/etc"), below)
    assert "'a/b/c' lies below the symlink 'a'" in with_members(below, symlink("./a", "usr"))
    assert "'a/b/c' lies below the file 'a/b'" in with_members(member("./a/b", b""), below)


def test_the_root_is_a_directory() -> None:
    assert "would stand in for the root" in with_members(symlink("./", "/etc"))
    assert "would stand in for the root" in with_members(member(".", b""))


def test_names_too_long() -> None:
    assert "too long for a file system" in with_members(member("./" + "n" * 256, b""))
    assert "too long for a file system" in with_members(member("./" + "ü" * 128, b""))
    assert "too long for a file system" in with_members(
        member("d/" * 1000 + "ü" * 120 + "/é" * 700)
    )
    assert "a name of 4400 characters" in with_members(member("d/" * 2199 + "xx", b""))
    assert contents(make_deb([member("./" + "n" * 255, b"")])).entries


@pytest.mark.parametrize("type_", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes(type_: bytes) -> None:
    message = with_members(member("./dev/null", type_=type_))
    assert "'./dev/null' is a" in message
    assert f"data archive of {OWNER}" in message


def test_control_archives_hold_plain_files() -> None:
    def control(*members: tuple[tarfile.TarInfo, bytes]) -> str:
        parts = [
            ("debian-binary", b"2.0\n"),
            ("control.tar", make_tar(members)),
            ("data.tar", make_tar([])),
        ]
        return refused(make_ar(parts))

    assert "holds './sub/x', a file" in control(member("./sub/x"))
    assert "holds 'x', a symlink" in control(symlink("x", "y"))
    assert "holds 'control' twice" in control(member("control"), member("./control"))
    assert "'../x' points out" in control(member("../x"))


def test_control_archives_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONTROL_BYTES", 20_000)
    assert "more than the allowed 20000 bytes" in refused(make_deb(control={"x": bytes(20_000)}))


def test_members_of_the_package() -> None:
    good = {
        "debian-binary": b"2.0\n",
        "control.tar": make_tar([member("control", CONTROL)]),
        "data.tar": make_tar([]),
    }

    def package(*names: str, **changed: bytes) -> bytes:
        return make_ar([(n, changed.get(n.replace("-", "_"), good.get(n, b""))) for n in names])

    assert contents(package("debian-binary", "_extra", "control.tar", "_x", "data.tar", "more"))
    assert "its first member is 'control.tar'" in refused(package("control.tar", "debian-binary"))
    assert "its first member is None" in refused(package())
    assert "'data.tar' stands where control.tar belongs" in refused(
        package("debian-binary", "data.tar", "control.tar")
    )
    assert "None stands where data.tar belongs" in refused(package("debian-binary", "control.tar"))
    assert "'data.tar.br' stands where data.tar" in refused(
        package("debian-binary", "control.tar", "data.tar.br")
    )
    assert "'data.tar.gz' is its second" in refused(
        package("debian-binary", "control.tar", "data.tar", "data.tar.gz")
    )
    newer = package("debian-binary", "control.tar", "data.tar", debian_binary=b"2.7\nmore\n")
    assert contents(newer)
    for version in (b"3.0\n", b"2.0", b"", b"20\n"):
        wrong = package("debian-binary", "control.tar", "data.tar", debian_binary=version)
        assert f"its format is {version!r}, not 2.x" in refused(wrong)


def test_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    data = MemoryBlob(make_deb([member("./big", bytes(100_000))]))
    with pytest.raises(UntrustedError, match=r"data\.tar\.xz of deb:example unpacks to too much"):
        read_deb(data, owner=OWNER, max_bytes=50_000)
    with pytest.raises(UntrustedError, match="more than 1 members"):
        read_deb(data, owner=OWNER, max_members=1)
    monkeypatch.setattr(limits, "MEMBER_BYTES", 99_999)
    assert "'big' has 100000 bytes" in with_members(member("./big", bytes(100_000)))


@pytest.mark.parametrize("size", [10, 80, 200, 400, -1])
def test_truncation(size: int) -> None:
    assert refused(make_deb(FILES)[:size])


def test_memory_is_bounded() -> None:
    blob = MemoryBlob(make_deb([member("./big", bytes(48 * limits.MIB))], data_ext=".zst"))
    tracemalloc.start()
    try:
        got = read_deb(blob, owner=OWNER)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert got.entries[0].digest == Digest.of(bytes(48 * limits.MIB))
    assert peak < 12 * limits.MIB


@pytest.mark.interop
@pytest.mark.parametrize("kind", ["none", "gzip", "xz", "zstd"])
def test_dpkg_deb_writes_what_we_read(kind: str, tmp_path: Path) -> None:
    tool = need("dpkg-deb")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = CONTROL + b"Maintainer: me <me@example.org>\n"
    (tree / "DEBIAN" / "control").write_bytes(control)
    (tree / "DEBIAN" / "postinst").write_bytes(b"#!/bin/sh\n")
    (tree / "DEBIAN" / "postinst").chmod(0o755)
    (tree / "usr" / "lib").mkdir(parents=True)
    (tree / "usr" / "lib" / ("n" * 120)).write_bytes(b"long name")
    (tree / "usr" / "lib" / "interpreter").write_bytes(host_elf())
    (tree / "usr" / "lib" / "hard").hardlink_to(tree / "usr" / "lib" / "interpreter")
    (tree / "usr" / "lib" / "soft").symlink_to("hard")
    file = tmp_path / "x.deb"
    subprocess.run(
        [tool, "--root-owner-group", f"-Z{kind}", "-b", tree, file], check=True, capture_output=True
    )
    blob, spool = MemoryBlob(file.read_bytes()), MemoryPending(bytearray())
    got = read_deb(blob, owner=OWNER, spool=spool)
    unpacked = subprocess.run(
        [tool, "--fsys-tarfile", file], check=True, capture_output=True
    ).stdout
    assert spool.pread(len(unpacked) + 1, 0) == unpacked
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        wanted = {
            info.name.removeprefix("./"): (
                info.mode,
                info.uid,
                hashlib.sha256(archive.extractfile(info).read()).hexdigest()  # type: ignore[union-attr]  # a file
                if info.isreg()
                else info.linkname.removeprefix("./"),
            )
            for info in archive
            if info.name != "."
        }
    assert {
        e.path: (e.mode, e.uid, e.digest.hex if e.digest else e.link) for e in got.entries
    } == wanted
    assert dict(got.control)["control"] == control
    file_of_two = next(e.path for e in got.entries if e.kind is Kind.FILE and e.size > 1000)
    assert [path for path, _ in got.elf] == [file_of_two]

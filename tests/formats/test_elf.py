"""formats.elf against pyelftools on the libraries of this machine, and on damaged files."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats import elf
from staunch.formats.elf import parse_elf
from staunch.model.elf import ElfFacts
from tests.support.elves import Maker, small_library
from tests.support.tools import need


def libraries() -> list[Path]:
    """Real libraries and programs: the system's, and those inside installed wheels."""
    folders = [*Path("/usr/lib").glob("*-linux-gnu"), Path("/usr/bin"), Path("/usr/lib/ssl")]
    found = [
        path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()
    ] + sorted(Path(sys.prefix).glob("lib/python3*/site-packages/**/*.so*"))
    real = {path.resolve() for path in found}
    return [path for path in sorted(real) if begins_like_elf(path)]


def begins_like_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == elf.MAGIC


def facts(data: bytes) -> ElfFacts | None:
    return parse_elf(lambda size, offset: data[offset : offset + size], len(data), what="lib.so")


def refused(data: bytes) -> str:
    with pytest.raises(UntrustedError) as caught:
        facts(data)
    assert caught.value.mend
    return str(caught.value)


def asked(path: Path) -> dict[str, object]:
    """What pyelftools says, which reads sections where we read segments."""
    needed: list[str] = []
    soname = ""
    paths: dict[str, str] = {}
    needs: list[tuple[str, tuple[str, ...]]] = []
    defines: list[str] = []
    with path.open("rb") as file:
        read = ELFFile(file)
        for section in read.iter_sections():
            if isinstance(section, DynamicSection):
                for tag in section.iter_tags():
                    match tag.entry.d_tag:
                        case "DT_NEEDED":
                            needed.append(tag.needed)
                        case "DT_SONAME":
                            soname = tag.soname
                        case "DT_RPATH":
                            paths["rpath"] = tag.rpath
                        case "DT_RUNPATH":
                            paths["runpath"] = tag.runpath
            elif isinstance(section, GNUVerNeedSection):
                needs += [
                    (need_.name, tuple(a.name for a in aux if not a.entry.vna_flags & 2))
                    for need_, aux in section.iter_versions()
                ]
            elif isinstance(section, GNUVerDefSection):
                defines += [
                    next(iter(aux)).name
                    for define, aux in section.iter_versions()
                    if not define.entry.vd_flags & 1
                ]
        abi = 0
        interpreter = ""
        for segment in read.iter_segments():
            if segment.header.p_type == "PT_INTERP":
                interpreter = segment.get_interp_name()
            elif segment.header.p_type == "PT_NOTE":
                for note in segment.iter_notes():
                    if note["n_type"] == "NT_GNU_ABI_TAG":
                        desc = note["n_desc"]
                        abi = desc["abi_major"] << 16 | desc["abi_minor"] << 8 | desc["abi_tiny"]
        chosen = paths.get("runpath", paths.get("rpath", ""))
        return {
            "bits": read.elfclass,
            "type": {"ET_REL": 1, "ET_EXEC": 2, "ET_DYN": 3}[read.header.e_type],
            "soname": soname,
            "interpreter": interpreter,
            "needed": tuple(needed),
            "runpath": tuple(part for part in chosen.split(":") if part),
            "rpath_only": "rpath" in paths and "runpath" not in paths,
            "needs_versions": tuple(needs),
            "defines_versions": tuple(defines),
            "abi": abi,
        }


def test_agrees_with_pyelftools_on_every_library_here() -> None:
    paths = libraries()
    assert len(paths) > 20
    for path in paths[:: max(1, len(paths) // 250)]:
        size, ranges = path.stat().st_size, []
        descriptor = os.open(path, os.O_RDONLY)
        try:

            def read(wanted: int, offset: int, *, fd: int = descriptor) -> bytes:
                ranges.append(wanted)  # noqa: B023  used at once
                return os.pread(fd, wanted, offset)

            got = parse_elf(read, size, what=str(path))
        finally:
            os.close(descriptor)
        assert got is not None
        wanted = asked(path)
        assert {name: getattr(got, name) for name in wanted} == wanted, path
        assert max(ranges) <= 4096
        assert sum(ranges) < 600_000


@pytest.mark.interop
def test_agrees_with_readelf(tmp_path: Path) -> None:
    gcc = need("gcc")
    need("readelf")
    (tmp_path / "a.c").write_text("int a(void) { return 1; }\n")
    script = "LIB_1 { global: a; local: *; }; LIB_2 { global: b; } LIB_1;\n"
    (tmp_path / "map").write_text(script)
    flags = "-shared -fPIC -Wl,-soname,liba.so.7 -Wl,--version-script=map -Wl,-z,x86-64-v3"
    flags += " -Wl,-rpath,/opt/x:$ORIGIN -Wl,--disable-new-dtags -Wl,--strip-all"
    (tmp_path / "a.c").write_text("int a(void) { return 1; }\nint b(void) { return 2; }\n")
    subprocess.run([gcc, *flags.split(), "a.c", "-o", "liba.so"], cwd=tmp_path, check=True)
    got = facts((tmp_path / "liba.so").read_bytes())
    assert got is not None
    assert got.soname == "liba.so.7"
    assert (got.runpath, got.rpath_only) == (("/opt/x", "$ORIGIN"), True)
    assert got.defines_versions == ("LIB_1", "LIB_2")
    shown = subprocess.run(
        ["readelf", "-n", "liba.so"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert ("x86-64-v3" in shown) == (got.x86_isa == 4)


@pytest.mark.interop
def test_section_headers_are_not_needed(tmp_path: Path) -> None:
    tool = need("strip")
    program = tmp_path / "program"
    program.write_bytes(Path(sys.executable).resolve().read_bytes())
    whole = facts(program.read_bytes())
    subprocess.run([tool, "--strip-section-headers", program], check=False, capture_output=True)
    data = bytearray(program.read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff
    data[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    assert facts(bytes(data)) == whole


def test_what_is_no_elf_file() -> None:
    assert facts(b"") is None
    assert facts(b"\x7fEL") is None
    assert facts(b"#!/bin/sh\n") is None


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_classes_and_byte_orders(bits: int, order: str) -> None:
    make = Maker(bits=bits, order=order)
    make.string(1, "libc.so.6")
    make.string(14, "libown.so.1")
    make.string(29, "$ORIGIN/../lib::/x")
    make.string(15, "/ignored")
    need_ = make.text("libc.so.6")
    strong, weak = make.text("GLIBC_2.34"), make.text("GLIBC_WEAK")
    make.table(
        0x6FFFFFFE,
        struct.pack(order + "HHIII", 1, 2, need_, 16, 0)
        + struct.pack(order + "IHHII", 0, 0, 2, strong, 16)
        + struct.pack(order + "IHHII", 0, 2, 3, weak, 0),
    )
    make.tags.append((0x6FFFFFFF, 1))
    base, own = make.text("libown.so.1"), make.text("OWN_1")
    make.table(
        0x6FFFFFFC,
        struct.pack(order + "HHHHIII", 1, 1, 1, 1, 0, 20, 28)
        + struct.pack(order + "II", base, 0)
        + struct.pack(order + "HHHHIII", 1, 0, 2, 1, 0, 20, 0)
        + struct.pack(order + "II", own, 0),
    )
    make.tags.append((0x6FFFFFFD, 2))
    make.extra.append((3, b"/lib/ld.so\0", 1))
    note = struct.pack(order + "III", 4, 16, 1) + b"GNU\0"
    make.extra.append((4, note + struct.pack(order + "IIII", 0, 3, 2, 7), 4))
    pad = 8 if bits == 64 else 4
    isa = struct.pack(order + "III", 0xC0008002, 4, 5 if order == "<" else 5 << 24)
    other = struct.pack(order + "III", 0xC0000002, 4, 3)
    body = other.ljust(-(-12 // pad) * pad, b"\0") + isa.ljust(-(-12 // pad) * pad, b"\0")
    make.extra.append((4, struct.pack(order + "III", 4, len(body), 5) + b"GNU\0" + body, pad))
    assert facts(make.build()) == ElfFacts(
        machine=62,
        bits=bits,
        type=3,
        soname="libown.so.1",
        interpreter="/lib/ld.so",
        needed=("libc.so.6",),
        runpath=("$ORIGIN/../lib", "/x"),
        rpath_only=False,
        needs_versions=(("libc.so.6", ("GLIBC_2.34",)),),
        defines_versions=("OWN_1",),
        x86_isa=5,
        abi=0x030207,
    )


def test_objects_and_core_dumps_give_their_header() -> None:
    for type_ in (1, 4):
        got = facts(Maker(type_=type_).build())
        assert got is not None
        assert (got.type, got.needed) == (type_, ())


def test_separate_debug_files_have_empty_segments() -> None:
    make = Maker()
    make.string(1, "libc.so.6")
    data = bytearray(make.build())
    place = 64 + 56 + 0x20  # p_filesz of PT_DYNAMIC
    data[place : place + 8] = bytes(8)
    got = facts(bytes(data))
    assert got is not None
    assert got.needed == ()


def test_giant_notes_are_not_read() -> None:
    make = Maker()
    make.extra.append((4, struct.pack("<III", 4, 16, 1) + b"GNU\0" + bytes(70_000), 4))
    got = facts(make.build())
    assert got is not None
    assert got.abi == 0


def test_damaged_headers() -> None:
    data = bytearray(Maker().build())
    assert "its class 3 or byte order 1 is unknown" in refused(bytes(data[:4]) + b"\3" + data[5:])
    assert "its identification should stand at bytes 0 to 16, the file ends at 10" in refused(
        bytes(data[:10])
    )
    assert "its header should stand" in refused(bytes(data[:40]))
    assert "its program header should stand" in refused(bytes(data[:100]))
    assert "its dynamic section should stand" in refused(bytes(data[:0x2010]))
    data[56:58] = b"\xff\xff"
    assert "it has 65535 program headers" in refused(bytes(data))
    data[56:58], data[54:56] = b"\2\0", b"\x20\0"
    assert "its program headers take 32 bytes each" in refused(bytes(data))


def test_a_reader_that_ends_early() -> None:
    data = Maker().build()
    with pytest.raises(UntrustedError, match="cut off near byte 0"):
        parse_elf(lambda size, offset: data[offset : offset + size][:100], len(data))


def test_damaged_tables() -> None:
    make = Maker()
    make.tags.append((14, 5000))
    assert "its soname at byte" in refused(make.build())
    make = Maker()
    make.tags.append((0x6FFFFFFE, 0x99))
    assert "its table of needed versions at address 0x99 is in no segment" in refused(make.build())
    make = Maker()
    make.extra.append((2, struct.pack("<QQ", 1, 1) * 4090, 8))
    assert "it needs 4090 libraries" in refused(make.build())
    make = Maker()
    make.strings += b"\xff\xfe\0"
    make.tags.append((14, 1))
    assert "its soname is not UTF-8" in refused(make.build())
    make = Maker()
    make.extra.append((4, struct.pack("<III", 4, 999, 1) + b"GNU\0", 4))
    assert "has no end" in refused(make.build())
    make = Maker()
    make.extra.append((2, bytes(70_000), 8))
    assert "its dynamic section takes 70000 bytes" in refused(make.build())
    make = Maker()
    make.extra.append((3, b"x" * 5000, 1))
    assert "its interpreter at byte" in refused(make.build())


def test_endless_chains_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf, "VERSIONS", 100)
    loop = Maker()
    name = loop.text("x")
    aux = b"".join(struct.pack("<IHHII", 0, 0, 2, name, 16) for _ in range(200))
    loop.table(0x6FFFFFFE, struct.pack("<HHIII", 1, 0xFFFF, name, 16, 0) + aux)
    assert "needs more than 100 versions" in refused(loop.build())


def test_reading_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf, "READ_BYTES", 8192)
    make = Maker()
    make.string(14, "x")
    assert "its tables take more than 8192 bytes" in refused(make.build())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damage_gives_facts_or_a_refusal(data: st.DataObject) -> None:
    program = bytearray(small_library())
    places = st.integers(0, 400) | st.integers(0x1000, 0x1040) | st.integers(0x2000, 0x3080)
    for _ in range(data.draw(st.integers(1, 4))):
        program[data.draw(places)] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del program[data.draw(st.integers(0, len(program))) :]
    try:
        facts(bytes(program))
    except UntrustedError as fault:
        assert fault.why

"""formats.ldcache against the real ldconfig: the same bytes."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import SpecError, UntrustedError
from staunch.formats.elf import parse_elf
from staunch.formats.ldcache import (
    MAGIC,
    Cache,
    CacheLib,
    Candidate,
    build_cache,
    flags_of,
    is_candidate,
    isa_level_of,
    parse_cache,
    plan_folder,
)
from tests.support.tools import need

AMD64 = 0x0303
LIB = "/lib/x86_64-linux-gnu"


def lib(soname: str, folder: str = LIB, flags: int = AMD64, hwcaps: str = "") -> CacheLib:
    return CacheLib(soname, f"{folder}/{soname}", flags, hwcaps)


def refused(data: bytes) -> str:
    with pytest.raises(UntrustedError) as caught:
        parse_cache(data)
    assert caught.value.mend
    return str(caught.value)


def test_order_of_search() -> None:
    libs = [lib("libz.so.1"), lib("liba.so.9"), lib("liba.so.10"), lib("liba.so"), lib("ld-x.so.2")]
    got = parse_cache(build_cache(libs))
    assert [each.soname for each in got.libs] == [
        "libz.so.1",
        "liba.so.10",
        "liba.so.9",
        "liba.so",
        "ld-x.so.2",
    ]
    assert got.generator == "staunch"


def test_of_one_soname_cpu_levels_come_first_then_the_order_of_folders() -> None:
    libs = [
        lib("liba.so.1", "/usr/local/lib"),
        lib("liba.so.1", "/lib/v3", hwcaps="x86-64-v3"),
        lib("liba.so.1", "/lib/v2", hwcaps="x86-64-v2"),
        lib("liba.so.1", "/a"),
        lib("liba.so.1", "/lib32", flags=3),
    ]
    got = parse_cache(build_cache(libs))
    assert [each.path.rpartition("/")[0] for each in got.libs] == [
        "/lib/v2",
        "/lib/v3",
        "/usr/local/lib",
        "/a",
        "/lib32",
    ]
    assert [each.hwcaps for each in got.libs] == ["x86-64-v2", "x86-64-v3", "", "", ""]


def test_a_soname_is_the_tail_of_its_path() -> None:
    data = build_cache([lib("libc.so.6")])
    assert data.count(b"libc.so.6") == 1
    assert data.startswith(MAGIC)


def test_an_empty_cache() -> None:
    assert parse_cache(build_cache([])) == Cache((), "staunch")


def test_names_that_the_loader_could_not_use() -> None:
    for bad in (
        CacheLib("a", "lib/a"),
        CacheLib("", "/a"),
        CacheLib("a\0b", "/a"),
        CacheLib("a", "/\0"),
    ):
        with pytest.raises(SpecError, match="is not absolute, or a name is empty"):
            build_cache([bad])


def test_flags() -> None:
    assert flags_of(62, 64) == AMD64
    assert flags_of(62, 32) == 0x0803
    assert flags_of(183, 64) == 0x0A03
    assert flags_of(3, 32) == 3
    assert flags_of(243, 64) is None


def test_isa_levels() -> None:
    assert [isa_level_of(bits) for bits in (0, 1, 2, 4, 8, 3)] == [0, 0, 1, 2, 3, 1]


def test_candidates() -> None:
    assert all(map(is_candidate, ["libc.so.6", "ld-linux.so.2", "libx.so", "libx-1.so"]))
    for name in ("libc.a", "xlibc.so", "libc.so.6-gdb.py", "python.so", "libx.so.#prelink#"):
        assert not is_candidate(name)


def names(found: tuple[tuple[CacheLib, ...], object]) -> list[tuple[str, str]]:
    return [(each.soname, each.path) for each in found[0]]


def test_a_folder_with_its_links() -> None:
    found = plan_folder(
        "/lib",
        [
            Candidate("libz.so.1.3", False, "libz.so.1", AMD64),
            Candidate("libz.so.1", True, "libz.so.1", AMD64),
            Candidate("libz.so", True, "libz.so.1", AMD64),
            Candidate("libother.so", True, "libz.so.1", AMD64),
            Candidate("libplain.so", False, "", AMD64),
        ],
    )
    assert names(found) == [
        ("libplain.so", "/lib/libplain.so"),
        ("libz.so", "/lib/libz.so"),
        ("libz.so.1", "/lib/libz.so.1"),
    ]
    assert found[1] == (("libz.so.1", "libz.so.1.3"),)


def test_the_newest_of_two_files_is_chosen() -> None:
    found = plan_folder(
        "/lib",
        [
            Candidate("libz.so.1.10", False, "libz.so.1", AMD64),
            Candidate("libz.so.1.9", False, "libz.so.1", AMD64),
        ],
    )
    assert found[1] == (("libz.so.1", "libz.so.1.10"),)


def test_folders_of_cpu_levels_name_the_files_and_get_no_links() -> None:
    candidate = Candidate("libz.so.1.3", False, "libz.so.1", AMD64, 2)
    libs, links = plan_folder("/lib/glibc-hwcaps/x86-64-v3", [candidate], hwcaps="x86-64-v3")
    path = "/lib/glibc-hwcaps/x86-64-v3/libz.so.1.3"
    assert libs == (CacheLib("libz.so.1", path, AMD64, "x86-64-v3", 2),)
    assert links == ()


def test_what_is_no_cache() -> None:
    data = build_cache([lib("libc.so.6")])
    assert "does not begin as glibc writes it" in refused(b"")
    assert "does not begin as glibc writes it" in refused(b"ld.so-1.7.0\0" + bytes(100))
    assert "does not begin as glibc writes it" in refused(MAGIC + b"\0")
    assert "byte order flag is 3" in refused(data[:28] + b"\3" + data[29:])
    assert "claims 4294967295 libraries" in refused(data[:20] + b"\xff" * 4 + data[24:])
    assert "and 255 bytes of names" in refused(data[:24] + struct.pack("<I", 255) + data[28:])
    far = struct.pack("<I", 1 << 30)
    assert "extensions should stand at byte 1073741824" in refused(data[:32] + far + data[36:])
    assert "no proper extensions at byte 8" in refused(data[:32] + struct.pack("<I", 8) + data[36:])
    assert "the name at byte 1073741824 has no end" in refused(data[:52] + far + data[56:])
    level = struct.pack("<Q", 1 << 62 | 7)
    assert "library 0 names the CPU level 7, there is none" in refused(
        data[:64] + level + data[72:]
    )
    assert "behind the end" in refused(data[:-1])


def test_too_many_libraries() -> None:
    with pytest.raises(UntrustedError, match="claims 2 libraries"):
        parse_cache(build_cache([lib("liba.so"), lib("libb.so")]), max_entries=1)


def test_a_cache_without_extensions() -> None:
    data = build_cache([lib("libc.so.6")])
    (place,) = struct.unpack_from("<I", data, 32)
    bare = data[:32] + bytes(4) + data[36:place]
    assert parse_cache(bare) == Cache((lib("libc.so.6"),), "")


def test_the_old_format_before_it_is_skipped() -> None:
    data = build_cache([lib("libc.so.6")])
    assert parse_cache(b"ld.so-1.7.0\0" + bytes(20) + data) == parse_cache(data)


sonames = st.text("abc019.-+", min_size=1, max_size=12).map("lib".__add__)
libs = st.builds(
    lambda soname, folder, flags, hwcaps: lib(soname, folder, flags, hwcaps),
    sonames,
    st.sampled_from(["/lib", "/usr/lib", "/opt/über"]),
    st.sampled_from([3, AMD64]),
    st.sampled_from(["", "", "x86-64-v2", "x86-64-v3"]),
)


@given(st.lists(libs, max_size=12))
@settings(max_examples=60)
def test_what_is_written_is_read(given_: list[CacheLib]) -> None:
    data = build_cache(given_)
    got = parse_cache(data)
    assert sorted(got.libs, key=repr) == sorted(given_, key=repr)
    assert build_cache(got.libs) == data


@given(st.data())
@settings(max_examples=100)
def test_damage_gives_a_cache_or_a_refusal(data: st.DataObject) -> None:
    cache = bytearray(build_cache([lib("libc.so.6"), lib("liba.so.1", hwcaps="x86-64-v2")]))
    for _ in range(data.draw(st.integers(1, 3))):
        cache[data.draw(st.integers(20, len(cache) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_cache(bytes(cache))
    except UntrustedError as fault:
        assert fault.why


def resolved(root: Path, path: Path) -> Path:
    """Where links lead, inside ``root``."""
    for _ in range(40):
        if not path.is_symlink():
            break
        target = path.readlink()
        path = root / target.relative_to("/") if target.is_absolute() else path.parent / target
    return path


def planned(root: Path, folders: list[str]) -> list[CacheLib]:
    """What ldconfig would find, by our own plan."""
    found: list[CacheLib] = []
    for folder in folders:
        levels = root / folder[1:] / "glibc-hwcaps"
        subs = [(folder, "")]
        if levels.is_dir():
            subs += [(f"{folder}/glibc-hwcaps/{p.name}", p.name) for p in sorted(levels.iterdir())]
        for sub, hwcaps in subs:
            candidates = []
            for path in (root / sub[1:]).iterdir():
                real = resolved(root, path)
                if not is_candidate(path.name) or not real.is_file():
                    continue
                data = real.read_bytes()
                facts = parse_elf(lambda size, at, data=data: data[at : at + size], len(data))
                flags = flags_of(facts.machine, facts.bits) if facts else None
                if facts and flags is not None and facts.type == 3:
                    candidates.append(
                        Candidate(
                            path.name,
                            path.is_symlink(),
                            facts.soname,
                            flags,
                            isa_level_of(facts.x86_isa),
                        )
                    )
            found += plan_folder(sub, candidates, hwcaps=hwcaps)[0]
    return found


@pytest.mark.interop
@pytest.mark.parametrize("levels", [False, True])
def test_the_real_ldconfig_writes_the_same_bytes(levels: bool, tmp_path: Path) -> None:
    tool = need("ldconfig")
    system = Path(f"/usr/lib/{os.uname().machine}-linux-gnu/libc.so.6")
    if not system.exists():
        pytest.skip("the libraries of this host do not lie where Debian has them")
    folder = tmp_path / "usr/lib" / system.parent.name
    folder.mkdir(parents=True)
    for pattern in (
        "libc.so*",
        "libm.so*",
        "libz.so*",
        "libstdc++.so*",
        "libgcc_s.so*",
        "ld-*.so*",
    ):
        for path in sorted(system.parent.glob(pattern)):
            shutil.copy2(path, folder / path.name, follow_symlinks=False)
    if levels:
        gcc = need("gcc")
        for level in ("x86-64-v2", "x86-64-v3"):
            sub = folder / "glibc-hwcaps" / level
            sub.mkdir(parents=True)
            (sub / "x.c").write_text("int x;\n")
            argv = [
                gcc,
                "-shared",
                "-fPIC",
                "-Wl,-soname,libz.so.1",
                f"-Wl,-z,{level}",
                sub / "x.c",
            ]
            subprocess.run([*argv, "-o", sub / "libz.so.1.9"], check=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "lib").symlink_to("usr/lib")
    conf = f"/lib/{system.parent.name}"
    (tmp_path / "etc/ld.so.conf").write_text(conf + "\n")
    subprocess.run([tool, "-r", tmp_path, "-X"], check=True, capture_output=True)
    wanted = (tmp_path / "etc/ld.so.cache").read_bytes()
    read = parse_cache(wanted)
    assert len(read.libs) >= 5
    assert build_cache(planned(tmp_path, [conf]), generator=read.generator) == wanted
    own = tmp_path / "own.cache"
    own.write_bytes(build_cache(read.libs))

    def shown(cache: Path) -> list[str]:
        out = subprocess.run([tool, "-p", "-C", cache], check=True, capture_output=True, text=True)
        return out.stdout.splitlines()[1:-1]

    assert shown(own) == shown(tmp_path / "etc/ld.so.cache")
    text = subprocess.run(
        [tool, "-p", "-C", own], check=True, capture_output=True, text=True
    ).stdout
    assert text.endswith("Cache generated by: staunch\n")

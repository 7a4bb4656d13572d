"""Which packages the image's own entry point does not reach."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.flows.inventory import take_inventory
from staunch.formats.binary import read_layout, read_needed
from staunch.formats.elf import parse_elf
from staunch.match.priority import order
from tests.scan.images import OS_RELEASE
from tests.support.elves import Maker
from tests.support.findings import finding
from tests.support.layouts import tar_of, write_layout

LIB = "usr/lib/x86_64-linux-gnu"
LOADER = "/lib64/ld-linux-x86-64.so.2"


def library(name: str, *needed: str) -> bytes:
    made = Maker()
    made.string(14, name)
    for each in needed:
        made.string(1, each)
    return made.build()


def program(*needed: str) -> bytes:
    made = Maker()
    for each in needed:
        made.string(1, each)
    made.extra.append((3, LOADER.encode() + b"\0", 1))
    return made.build()


Files = dict[str, bytes | str | None]
Packages = dict[str, Files]

SERVER: Packages = {
    "server": {"usr/bin/server": program("libtls.so.3", "libc.so.6")},
    "libtls3": {
        f"{LIB}/libtls.so.3": "libtls.so.3.0.1",
        f"{LIB}/libtls.so.3.0.1": library("libtls.so.3", "libz.so.1", "libc.so.6"),
    },
    "zlib1g": {f"{LIB}/libz.so.1": library("libz.so.1", "libc.so.6")},
    "libc6": {
        f"{LIB}/libc.so.6": program(),
        f"{LIB}/ld-linux-x86-64.so.2": library("ld-linux-x86-64.so.2"),
        "usr/lib64/ld-linux-x86-64.so.2": f"/{LIB}/ld-linux-x86-64.so.2",
        f"{LIB}/libnss_dns.so.2": library("libnss_dns.so.2"),
    },
    "tool": {"usr/bin/tool": program("libtool.so.1", "libc.so.6")},
    "libtool1": {f"{LIB}/libtool.so.1": library("libtool.so.1", "libc.so.6")},
    "tzdata": {"usr/share/zoneinfo/UTC": b"TZif2"},
}
LINKS: Files = {"lib": "usr/lib", "lib64": "usr/lib64", "bin": "usr/bin"}


def apart(
    folder: Path,
    packages: Packages,
    config: Mapping[str, object] | None = None,
    more: Files | None = None,
) -> list[str]:
    """Names of the packages that are shown not to be reached."""
    files: Files = {**LINKS, "etc/os-release": OS_RELEASE}
    for name, owned in packages.items():
        place = f"var/lib/dpkg/status.d/{name}"
        files[place] = f"Package: {name}\nVersion: 1.0-1\nArchitecture: amd64\n".encode()
        files[f"{place}.md5sums"] = "".join(f"{'0' * 32}  {each}\n" for each in owned).encode()
        files |= owned
    layer = tar_of({**files, **(more or {})})
    config = {"Entrypoint": ["server"]} if config is None else config
    found = take_inventory(str(write_layout(folder / "image", [layer], config=config)))
    assert found.gaps == ()
    assert {each.fact("reachable") for each in found.packages} <= {"", "no"}
    return sorted(each.name for each in found.packages if each.fact("reachable") == "no")


def test_a_tool_and_what_only_it_links_to_are_not_reached(tmp_path: Path) -> None:
    assert apart(tmp_path, SERVER) == ["libtool1", "tool"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"Cmd": ["/bin/server", "-v"]}, ["libtool1", "tool"]),
        ({"Entrypoint": ["./server"], "WorkingDir": "/usr/bin"}, ["libtool1", "tool"]),
        ({"Entrypoint": ["server"], "Cmd": ["--helper=/usr/bin/tool"]}, []),
        ({"Entrypoint": ["tool"]}, ["libtls3", "server", "zlib1g"]),
        ({}, []),
        ({"Entrypoint": ["absent"]}, []),
        ({"Entrypoint": ["server"], "Env": ["PATH=/opt/bin"]}, []),
        ({"Entrypoint": ["server"], "Env": ["LD_PRELOAD=libtool.so.1"]}, []),
        ({"Entrypoint": ["server"], "Healthcheck": {"Test": ["CMD", "tool"]}}, []),
        ({"Entrypoint": ["/usr/share/zoneinfo/UTC"]}, []),
    ],
)
def test_what_the_configuration_starts(
    tmp_path: Path, config: dict[str, object], expected: list[str]
) -> None:
    assert apart(tmp_path, SERVER, config) == expected


@pytest.mark.parametrize(
    "path", ["usr/bin/dash", "opt/tools/busybox", "usr/sbin/apk", "usr/bin/dpkg", "srv/sh"]
)
def test_a_shell_or_package_manager_could_start_anything(tmp_path: Path, path: str) -> None:
    assert apart(tmp_path, SERVER, more={path: program()}) == []


def test_libraries_preloaded_by_file_leave_all_open(tmp_path: Path) -> None:
    assert apart(tmp_path, SERVER, more={"etc/ld.so.preload": b"/x.so\n"}) == []


def test_what_is_opened_by_name_counts_as_reached(tmp_path: Path) -> None:
    packages: Packages = {
        **SERVER,
        "engine": {f"{LIB}/ossl-modules/legacy.so": library("legacy.so", "libengine.so.1")},
        "libengine1": {f"{LIB}/libengine.so.1": library("libengine.so.1")},
        "libunlinked1": {f"{LIB}/libunlinked.so.1": library("libunlinked.so.1", "libfar.so.1")},
        "libfar1": {f"{LIB}/libfar.so.1": library("libfar.so.1")},
    }
    assert apart(tmp_path, packages) == ["libtool1", "tool"]


def test_an_interpreter_and_what_its_code_may_import(tmp_path: Path) -> None:
    """A script's interpreter runs; extensions count as loaded, and so do files that it would read."""
    site = "usr/lib/python3/dist-packages"
    packages: Packages = {
        **SERVER,
        "python3": {
            "usr/bin/python3": "python3.13",
            "usr/bin/python3.13": program("libc.so.6"),
            f"{site}/_ext.so": library("_ext.so", "libtls.so.3"),
        },
        "python3-tool": {f"{site}/tool.py": b"x = 1\n", "usr/bin/pytool": program("libtool.so.1")},
    }
    script: Files = {"srv/app": b"#!/usr/bin/env python3\nimport x\n"}
    env: Files = {"usr/bin/env": program("libc.so.6")}
    config = {"Entrypoint": ["/srv/app"]}
    found = apart(tmp_path, packages, config, {**script, **env})
    assert found == ["libtool1", "server", "tool"]


def test_a_launcher_alone_tells_nothing(tmp_path: Path) -> None:
    packages: Packages = {**SERVER, "tini": {"usr/bin/tini": program("libc.so.6")}}
    assert apart(tmp_path / "1", packages, {"Entrypoint": ["tini", "--"]}) == []
    started = {"Entrypoint": ["tini", "--"], "Cmd": ["server"]}
    assert apart(tmp_path / "2", packages, started) == ["libtool1", "tool"]


def test_an_object_that_cannot_be_read_leaves_all_open(tmp_path: Path) -> None:
    broken = bytearray(program("libc.so.6"))
    at = broken.index(struct.pack("<Q", 5) + struct.pack("<Q", 0x11000))
    broken[at + 8 : at + 16] = struct.pack("<Q", 1 << 40)
    packages: Packages = {**SERVER, "server": {"usr/bin/server": bytes(broken)}}
    assert apart(tmp_path / "1", packages) == []
    damaged: Files = {f"{LIB}/libz.so.1": b"\x7fELF and no more"}
    assert apart(tmp_path / "2", {**SERVER, "zlib1g": damaged}) == []


def test_scripts_that_run_each_other_end(tmp_path: Path) -> None:
    ring: Files = {
        "a": b"#!/b /a " + b"/b " * 80,
        "b": b"#!/a " + b"/b " * 80,
    }
    assert apart(tmp_path, SERVER, {"Entrypoint": ["/a"]}, ring) == []


@pytest.mark.parametrize(
    "config",
    [
        {"Entrypoint": ["server", *["-v"] * 256]},
        {"Entrypoint": ["server"], "Env": ["PATH=/usr/bin" + ":/x" * 64]},
        {"Entrypoint": ["server", "x" * (1 << 16)]},
    ],
)
def test_a_command_without_measure_is_not_followed(
    tmp_path: Path, config: dict[str, object]
) -> None:
    assert apart(tmp_path, SERVER, config) == []


def test_more_libraries_than_any_program_needs_are_not_followed(tmp_path: Path) -> None:
    made = Maker()
    made.tags += [(1, made.text("libc.so.6"))] * 1001
    packages: Packages = {**SERVER, "server": {"usr/bin/server": made.build()}}
    data = made.build()
    layout = read_layout(lambda size, offset: data[offset : offset + size])
    assert layout is not None
    assert read_needed(lambda size, offset: data[offset : offset + size], layout) is None
    assert apart(tmp_path, packages) == []


def test_scripts_of_data_packages_say_nothing(tmp_path: Path) -> None:
    packages: Packages = {**SERVER, "ca": {"usr/sbin/update-ca": b"#!/usr/bin/tool\n"}}
    assert apart(tmp_path, packages) == ["libtool1", "tool"]


def test_a_finding_that_is_not_reached_comes_after_its_equal(tmp_path: Path) -> None:
    assert apart(tmp_path, SERVER) == ["libtool1", "tool"]
    found = take_inventory(str(tmp_path / "image"))
    equal = [finding("CVE-2026-1", each) for each in found.packages if each.name != "tzdata"]
    names = [each.package.name for each in order(equal)]
    assert names == ["libc6", "libtls3", "server", "zlib1g", "libtool1", "tool"]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("sign", ["<", ">"])
def test_needed_names_agree_with_the_full_reader(bits: int, sign: str) -> None:
    made = Maker(bits=bits, order=sign)
    for name in ("libb.so.1", "liba.so.2"):
        made.string(1, name)
    data = made.build()
    read = lambda size, offset: data[offset : offset + size]  # noqa: E731
    layout, facts = read_layout(read), parse_elf(read, len(data))
    assert layout is not None
    assert facts is not None
    assert read_needed(read, layout) == facts.needed == ("libb.so.1", "liba.so.2")


@given(st.data())
def test_any_bytes_give_names_or_none(draw: st.DataObject) -> None:
    data = bytearray(program("liba.so.1"))
    for _ in range(draw.draw(st.integers(1, 8))):
        place = draw.draw(st.sampled_from([*range(0, 300), *range(0x1000, 0x1040)]))
        data[place] = draw.draw(st.integers(0, 255))
    cut = bytes(data[: draw.draw(st.integers(0, len(data)))])
    read = lambda size, offset: cut[offset : offset + size]  # noqa: E731
    layout = read_layout(read)
    names = read_needed(read, layout) if layout else None
    assert names is None or all(names)


def test_needed_names_agree_on_this_machines_own_objects() -> None:
    objects = [each for each in Path("/usr/lib").glob("*-linux-gnu/*.so.*") if each.is_file()]
    seen = 0
    for path in sorted(objects)[:150]:
        data = path.read_bytes()
        read = lambda size, offset: data[offset : offset + size]  # noqa: B023, E731
        layout, facts = read_layout(read), parse_elf(read, len(data))
        if layout is None or facts is None:
            continue
        loader = [facts.interpreter.rpartition("/")[2]] if facts.interpreter else []
        names = read_needed(read, layout)
        assert names is not None
        assert {*facts.needed, *loader} <= set(names), path  # DT_FILTER may add some
        seen += 1
    assert seen or not objects

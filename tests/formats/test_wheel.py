"""Wheel names, tags and the text files of dist-info."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.tags import parse_tag, sys_tags

from staunch.errors import SpecError, UntrustedError
from staunch.formats.wheel import (
    EntryPoint,
    RecordRow,
    fits,
    parse_entry_points,
    parse_libc,
    parse_metadata_identity,
    parse_record,
    parse_wheel_file,
    parse_wheel_name,
    rank,
    target_tags,
    write_record,
)
from tests.support.wheels import hash_field


def test_a_file_name_is_taken_apart() -> None:
    name = parse_wheel_name("Foo_Bar-1.0+cpu-2abc-cp311-cp311-manylinux_2_28_x86_64.whl")
    assert (name.name, str(name.version), name.build) == ("foo-bar", "1.0+cpu", (2, "abc"))
    assert {str(tag) for tag in name.tags} == {"cp311-cp311-manylinux_2_28_x86_64"}


@pytest.mark.parametrize("name", ["foo-1.0.tar.gz", "foo.whl", "foo-x-py3-none-any.whl", ""])
def test_other_file_names_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match="not the file name of a wheel"):
        parse_wheel_name(name)


def test_target_tags_are_those_of_packaging() -> None:
    """The running interpreter's own tags, when its libc and Python are given."""
    major, minor = os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")  # type: ignore[union-attr]
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    machine = os.uname().machine
    assert list(target_tags(python, machine, (int(major), int(minor)))) == list(sys_tags())


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ("cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64", None),
        ("cp313-cp313-manylinux_2_41_x86_64", None),
        ("cp39-abi3-manylinux1_x86_64", None),
        ("py3-none-any", None),
        ("py2.py3-none-any", None),
        ("cp313-cp313-linux_x86_64", None),
        ("cp313-cp313-manylinux_2_42_x86_64", "needs glibc 2.42, the image has 2.41"),
        ("cp312-cp312-manylinux_2_17_x86_64", "built for Python cp312-cp312, the image has 3.13"),
        ("cp313-cp313t-manylinux_2_17_x86_64", "built for Python cp313-cp313t"),
        ("cp314-abi3-manylinux_2_17_x86_64", "built for Python cp314-abi3"),
        ("cp313-cp313-manylinux2014_aarch64", "built for aarch64, the image is for x86_64"),
        ("cp313-cp313-linux_armv7l", "built for armv7l"),
        ("cp313-cp313-musllinux_1_2_x86_64", "built for musl libc"),
        ("cp313-cp313-win_amd64", "built for win_amd64, the image is for Linux"),
        ("cp313-cp313-macosx_11_0_arm64", "built for macosx_11_0_arm64"),
        ("py2-none-any", "built for Python py2-none"),
    ],
)
def test_tags_are_held_against_the_target(tags: str, why: str | None) -> None:
    got = fits(parse_tag(tags), python="3.13", machine="x86_64", libc=(2, 41))
    assert got is None if why is None else got is not None and why in got


def test_the_closest_misfit_is_told() -> None:
    tags = parse_tag("cp313-cp313-win_amd64") | parse_tag("cp313-cp313-manylinux_2_99_x86_64")
    assert fits(tags, python="3.13", machine="x86_64", libc=(2, 41)) == (
        "it needs glibc 2.99, the image has 2.41"
    )


def test_newer_platform_tags_rank_before_older_and_pure() -> None:
    order = [
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp311-abi3-manylinux_2_28_x86_64",
        "cp37-abi3-manylinux_2_28_x86_64",
        "py3-none-manylinux_2_17_x86_64",
        "py3-none-any",
    ]
    places = [
        rank(parse_tag(each), python="3.11", machine="x86_64", libc=(2, 36)) for each in order
    ]
    assert places == sorted(places, key=lambda place: -1 if place is None else place)
    assert None not in places
    assert rank(parse_tag("cp312-cp312-any"), python="3.11", machine="x86_64", libc=(2, 36)) is None


@pytest.mark.parametrize("python", ["3", "2.7", "3.x", "3.13.1"])
def test_a_python_that_is_no_minor_version_is_refused(python: str) -> None:
    with pytest.raises(SpecError, match="not a Python version"):
        target_tags(python, "x86_64", (2, 41))


def test_libc_versions() -> None:
    assert parse_libc("2.41") == (2, 41)
    with pytest.raises(SpecError, match="not a glibc version"):
        parse_libc("two")


def test_wheel_file() -> None:
    found = parse_wheel_file(
        b"Wheel-Version: 1.0\r\nroot-is-purelib: True\nTag: py2-none-any\nTag: py3-none-any\n"
    )
    assert (found.version, found.purelib) == ((1, 0), True)
    assert found.tags == ("py2-none-any", "py3-none-any")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"Tag: py3-none-any\n", "Wheel-Version is ''"),
        (b"Wheel-Version: 2.0\n", "its format is 2.0"),
        (b"\xff", "byte 0 is not UTF-8"),
    ],
)
def test_other_wheel_files_are_refused(data: bytes, match: str) -> None:
    with pytest.raises(UntrustedError, match=match):
        parse_wheel_file(data)


def test_metadata_identity_is_the_header_only() -> None:
    data = b"Metadata-Version: 2.1\nName: Foo\nVersion: 1.0\n\nName: other\n"
    assert parse_metadata_identity(data) == ("Foo", "1.0")
    with pytest.raises(UntrustedError, match="names no Name and Version"):
        parse_metadata_identity(b"Name: Foo\n\nVersion: 1.0\n")


def test_record_is_read() -> None:
    data = (
        f'"a,b.py",{hash_field(b"x")},1\r\nlib/é.so,{hash_field(b"y", "sha512")},\n\nRECORD,,\n'
    ).encode()
    rows = parse_record(data)
    assert [(r.path, r.algorithm, r.size) for r in rows] == [
        ("a,b.py", "sha256", 1),
        ("lib/é.so", "sha512", None),
        ("RECORD", "", None),
    ]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"a,md5=abc,1\n", "PEP 427 asks for sha256"),
        (b"a,sha256,1\n", "PEP 427 asks for sha256"),
        (b"a,sha256=abc,1\n", "is no sha256"),
        (b"a,sha256=%%%%,1\n", "is no sha256"),
        (b"a,,x\n", "has the size 'x'"),
        (b"a,,-1\n", "has the size '-1'"),
        (b"a,,\na,,\n", "'a' twice"),
        (b",,\n", "without a path"),
        (b'"a"b,,\n', "line 1 is not CSV"),
        (b'"open\n', "is not CSV"),
        (b"\xff,,\n", "not UTF-8"),
    ],
)
def test_damaged_records_are_refused(data: bytes, match: str) -> None:
    with pytest.raises(UntrustedError, match=match):
        parse_record(data)


def test_hashes_in_hexadecimal_are_read() -> None:
    """gmsh 4.15.2 writes them so; pip never looks."""
    (row,) = parse_record(f"a,sha256={'ab' * 32},1\n".encode())
    assert row.digest == "ab" * 32


def test_a_record_of_too_many_lines_is_refused() -> None:
    with pytest.raises(UntrustedError, match="more than 2 lines"):
        parse_record(b"a,,\nb,,\nc,,\n", max_rows=2)


rows = st.builds(
    RecordRow,
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1).filter(
        lambda text: not text.startswith("\ufeff")
    ),
    st.just("sha256"),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.integers(0, 2**60),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=5, unique_by=lambda row: row.path))
def test_record_round_trip(wanted: list[RecordRow]) -> None:
    """PEP 376: RECORD is read by the csv module's default dialect, so any path survives it."""
    assert parse_record(write_record(wanted)) == tuple(sorted(wanted, key=lambda row: row.path))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_junk_gives_untrusted_or_a_value(data: bytes) -> None:
    for parse in (parse_record, parse_wheel_file, parse_entry_points, parse_metadata_identity):
        try:
            parse(data)
        except UntrustedError as error:
            assert error.why
            assert error.mend


def test_entry_points_are_read() -> None:
    data = (
        b"# comment\n[console_scripts]\nfoo = pkg.mod:main\nbar=pkg:Class.run [extra1, extra2]\n"
        b"  foo = pkg.other:main\n\n[gui_scripts]\nwin = pkg:gui\n"
        b"[pytest11]\nplug = pkg.plugin\nnot ! valid = %%\n"
    )
    assert parse_entry_points(data) == (
        EntryPoint("console_scripts", "bar", "pkg", "Class.run"),
        EntryPoint("console_scripts", "foo", "pkg.other", "main"),
        EntryPoint("gui_scripts", "win", "pkg", "gui"),
        EntryPoint("pytest11", "plug", "pkg.plugin", ""),
    )


@pytest.mark.parametrize(
    "line", [b"foo = import os; os.system('x')", b"foo", b"= pkg:main", b"foo = pkg:main\xc3\xa9()"]
)
def test_script_lines_that_are_no_reference_are_refused(line: bytes) -> None:
    """Their text becomes Python source of the wrapper: nothing but dotted names may stand there."""
    with pytest.raises(UntrustedError, match=r"\[console_scripts\] has the line"):
        parse_entry_points(b"[console_scripts]\n" + line)

"""Assembling whole images from packages, wheels and files made in memory."""

import random
from dataclasses import replace

import pytest

from staunch.assemble.assemble import assemble
from staunch.assemble.files import FilesReader, files_parts
from staunch.assemble.payloads import Payloads
from staunch.assemble.wheel import WheelReader, wheel_part
from staunch.errors import SpecError
from staunch.formats.wheel import parse_record
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Inline, Kind, Slice
from staunch.model.part import Part, PartKind
from staunch.model.spec import FilesSpec, Place, Profile
from tests.support.memory_store import MemoryStore
from tests.support.trees import AMD64, NoReader, hard_link, image_spec, part, with_entries
from tests.support.wheels import locked_wheel, make_wheel, verified

SITE = "usr/local/lib/python3.13/dist-packages"
BASE = part(
    "deb:base-files",
    {
        "etc": 0o755,
        "tmp": 0o1777,
        "etc/os-release": b"ID=debian\n",
        "usr/share/doc/base-files/README": b"x",
        "usr/share/doc/base-files/copyright": b"c",
    },
)
PYTHON = part(
    "deb:python3.13-minimal",
    {
        "usr/bin/python3.13 0755": b"\x7fELF",
        "usr/lib/python3.13/os.py": b"",
        "lib/x86_64-linux-gnu/libz.so.1 0755": b"z",
    },
)
TOOL = part("deb:tool", {"bin/tool 4755": b"#!/bin/sh\n"})


@pytest.fixture
def build(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/serve.py").write_bytes(b"print(1)\n")
    (tmp_path / "app/os-release").write_bytes(b"ID=mine\n")
    wheel = make_wheel(
        "x",
        "1.0",
        {"x/__init__.py": b"", "x/tests/test_x.py": b"", "x/h.h": b""},
        entry_points="[console_scripts]\nx = x:main\n",
    )
    data = verified(wheel)
    made = wheel_part(locked_wheel("x", "1.0", wheel), data, python="3.13")
    place = Place("spec.yaml")
    files = (
        FilesSpec(tmp_path / "app", "/lib/app", (), place),
        FilesSpec(tmp_path / "app/os-release", "/etc/os-release", (), place),
        FilesSpec(None, "/lib/app/late.py", (), place, content=b"early\n"),
        FilesSpec(None, "/lib/app/late.py", (), place, content=b"late\n"),
    )
    parts = [BASE, PYTHON, TOOL, made, *files_parts(files)]
    readers = {
        "wheel:x": WheelReader(data),
        "files:0": FilesReader(files[0]),
        "files:1": FilesReader(files[1]),
    }
    payloads = Payloads(lambda owner: readers.get(owner, NoReader()), MemoryStore())

    def run(*extra, order=None, spec=None, **options):
        all_parts = [*parts, *extra]
        if order is not None:
            random.Random(order).shuffle(all_parts)
        return assemble(
            spec or image_spec(), AMD64, all_parts, payloads=payloads, direct={"x"}, **options
        )

    return run


def byte_code(entries, parts):
    """Compile as the real one: a part of its own for each owner, payloads in the store."""
    modules = [entry for entry in entries if entry.path == f"{SITE}/x/__init__.py"]
    made = [
        Entry(
            f"{SITE}/x/__pycache__/__init__.cpython-313.pyc",
            Kind.FILE,
            0o644,
            size=3,
            digest=Digest.of(b"pyc"),
            body=Slice(Digest.of(b"pyc"), 0),
            owner="pyc:wheel:x",
        )
        for _ in modules
    ]
    return [Part("pyc:wheel:x", PartKind.PACK, "x", "1.0", entries=tuple(made))]


def test_an_inference_image(build):
    made = build(compile_modules=byte_code)
    entries = {entry.path: entry for entry in made.entries}
    assert list(entries) == sorted(entries)
    assert entries["bin"].link == "usr/bin"
    assert "usr/bin/tool" not in entries
    assert entries["usr/lib/app/serve.py"].owner == "files:0"
    assert entries["etc/os-release"].owner == "files:1"
    assert entries["usr/lib/app/late.py"].owner == "files:3", "later items win"
    assert entries["usr/lib/x86_64-linux-gnu/libz.so.1"].mode == 0o644
    assert "usr/share/doc/base-files/copyright" in entries
    assert f"{SITE}/x/tests/test_x.py" not in entries
    assert {"etc/passwd", "etc/group", "var/lib/dpkg/status.d/tool"} <= set(entries)
    assert not [e.path for e in made.entries if e.mode & 0o6000 and e.kind is not Kind.SYMLINK]
    writable = [e.path for e in made.entries if e.mode & 0o002 and e.kind is not Kind.SYMLINK]
    assert writable == ["tmp"]
    assert [part.id for part in made.parts] == sorted(part.id for part in made.parts)
    assert {entry.owner for entry in made.entries} <= {part.id for part in made.parts}
    assert [kept.path for kept in made.executables] == ["usr/bin/python3.13", "usr/local/bin/x"]
    removed = {removal.rule: removal.paths for removal in made.removed}
    assert removed["docs"] == ("usr/share/doc/base-files/README",)
    assert removed["tests"] == (f"{SITE}/x/tests/test_x.py",)
    assert removed["executables"] == ("usr/bin/tool",)


def test_record_tells_what_is_in_the_image(build):
    made = build(compile_modules=byte_code)
    record = next(e for e in made.entries if e.path == f"{SITE}/x-1.0.dist-info/RECORD")
    assert isinstance(record.body, Inline)
    rows = {row.path: row for row in parse_record(record.body.data)}
    assert "x/tests/test_x.py" not in rows
    assert "x/h.h" not in rows
    assert rows["x/__init__.py"].size == 0
    assert "x/__pycache__/__init__.cpython-313.pyc" in rows
    listed = {path for path in rows if not path.startswith("../")}
    there = {
        e.path.removeprefix(f"{SITE}/")
        for e in made.entries
        if e.path.startswith(f"{SITE}/") and e.kind is Kind.FILE
    }
    assert listed == there


@pytest.mark.parametrize("order", range(4))
def test_the_order_of_parts_does_not_count(build, order):
    assert build(order=order).entries == build().entries


def test_a_training_image_keeps_tools_and_gets_dpkgs_database(build):
    made = build(spec=image_spec(Profile.TRAINING))
    entries = {entry.path: entry for entry in made.entries}
    assert entries["usr/bin/tool"].mode == 0o4755
    assert f"{SITE}/x/tests/test_x.py" in entries
    assert {"var/lib/dpkg/status", "var/lib/dpkg/info/tool.list"} <= set(entries)
    assert "var/lib/dpkg/status.d/tool" not in entries


def test_keep_and_switches(build):
    spec = image_spec(keep=("usr/bin/tool", "usr/bin/sh"), rules=(("tests", False),))
    made = build(spec=spec)
    paths = {entry.path for entry in made.entries}
    assert {"usr/bin/tool", f"{SITE}/x/tests/test_x.py"} <= paths


def test_a_part_twice(build):
    with pytest.raises(SpecError, match="deb:tool is in the image twice"):
        build(TOOL)


def test_a_clash_that_stays_is_told_and_one_that_goes_is_not(build):
    one = part("deb:one", {"usr/lib/clash": b"1", "usr/share/man/man1/x.1": b"1"})
    two = part("deb:two", {"usr/lib/clash": b"2", "usr/share/man/man1/x.1": b"2"})
    with pytest.raises(SpecError, match="both deb:one and deb:two own usr/lib/clash"):
        build(one, two)
    build(replace(one, entries=one.entries[1:]), replace(two, entries=two.entries[1:]))


def test_replaces_settles_a_clash(build):
    control = b"Package: two\nVersion: 1.0-1\nArchitecture: amd64\nReplaces: one (<< 2)\n"
    one = part("deb:one", {"usr/lib/clash": b"1"})
    two = part("deb:two", {"usr/lib/clash": b"2"}, metadata={"control": control})
    made = build(two, one)
    assert next(e for e in made.entries if e.path == "usr/lib/clash").owner == "deb:two"


def test_hard_links_survive_what_rules_take(build):
    made = with_entries(
        part("deb:git", {"usr/share/man/x": b"body"}),
        hard_link("usr/lib/x", "usr/share/man/x", "deb:git"),
    )
    image = build(made)
    entry = next(e for e in image.entries if e.path == "usr/lib/x")
    assert (entry.kind, entry.digest) == (Kind.FILE, Digest.of(b"body"))


def test_an_unknown_rule_is_told_before_work_begins(build):
    with pytest.raises(SpecError, match="there is no rule 'shels'"):
        build(spec=image_spec(rules=(("shels", False),)))


def test_files_never_take_the_place_of_a_folder(build, tmp_path):
    clash = Part(
        "files:9", PartKind.FILES, "9", "", entries=(Entry.inline("usr/lib", b"", owner="files:9"),)
    )
    with pytest.raises(SpecError, match="cannot put a file of 0 bytes"):
        build(clash)

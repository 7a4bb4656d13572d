"""Wheels laid out as pip would, and refused when they lie."""

from __future__ import annotations

import stat

import pytest

from staunch.assemble.wheel import WheelReader, check_record, rewrite_record, wheel_part
from staunch.errors import UntrustedError
from staunch.formats.wheel import parse_record
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Inline, Kind, Member
from staunch.model.part import Part, PartKind
from tests.support.wheels import hash_field, locked_wheel, make_wheel, verified

LIB = "usr/local/lib/python3.13/dist-packages"
HOME = f"{LIB}/demo-1.0.dist-info"


def part_of(data: bytes, *, direct: bool = True, name: str = "demo", version: str = "1.0") -> Part:
    locked = locked_wheel(name, version, data, direct=direct)
    return wheel_part(locked, verified(data), python="3.13")


def by_path(part: Part) -> dict[str, Entry]:
    assert len({e.path for e in part.entries}) == len(part.entries)
    return {entry.path: entry for entry in part.entries}


def text(entry: Entry) -> str:
    assert isinstance(entry.body, Inline)
    return entry.body.data.decode()


def record(entry: Entry) -> dict[str, tuple[str, int | None]]:
    return {row.path: (row.digest, row.size) for row in parse_record(text(entry).encode())}


def test_files_go_where_debians_python_looks() -> None:
    data = make_wheel(
        "demo",
        "1.0",
        {
            "demo/__init__.py": b"x = 1\n",
            "demo-1.0.data/purelib/pure.py": b"",
            "demo-1.0.data/platlib/plat.so": b"",
            "demo-1.0.data/scripts/tool": b"#!python -u\nprint(1)\n",
            "demo-1.0.data/scripts/native": b"\x7fELF",
            "demo-1.0.data/data/share/demo/x.txt": b"x",
            "demo-1.0.data/headers/demo.h": b"",
            "demo/": b"",
        },
        modes={
            "demo-1.0.data/scripts/tool": stat.S_IFREG | 0o700,
            "demo-1.0.data/scripts/native": stat.S_IFREG | 0o664,
            "demo/": stat.S_IFDIR | 0o700,
        },
    )
    part = part_of(data)
    entries = by_path(part)
    assert sorted(entries) == sorted(
        [
            f"{LIB}/demo/__init__.py",
            f"{LIB}/pure.py",
            f"{LIB}/plat.so",
            "usr/local/bin/tool",
            "usr/local/bin/native",
            "usr/local/share/demo/x.txt",
            "usr/local/include/python3.13/demo/demo.h",
            *(f"{HOME}/{n}" for n in ("METADATA", "WHEEL", "INSTALLER", "REQUESTED", "RECORD")),
        ]
    )
    assert (part.id, part.kind, str(part.purl)) == (
        "wheel:demo",
        PartKind.WHEEL,
        "pkg:pypi/demo@1.0",
    )
    assert part.size == len(data)
    init = entries[f"{LIB}/demo/__init__.py"]
    assert init == Entry(
        init.path,
        Kind.FILE,
        0o644,
        size=6,
        digest=Digest.of(b"x = 1\n"),
        body=Member("demo/__init__.py"),
        owner="wheel:demo",
    )
    assert text(entries["usr/local/bin/tool"]) == "#!/usr/bin/python3.13\nprint(1)\n"
    assert entries["usr/local/bin/tool"].mode == 0o755
    assert entries["usr/local/bin/native"].mode == 0o644  # pip adds no bit that the archive lacks
    assert text(entries[f"{HOME}/INSTALLER"]) == "pip\n"
    assert text(entries[f"{HOME}/REQUESTED"]) == ""
    assert part.member("RECORD") is not None
    assert part.member("entry_points.txt") is None


def test_requested_stands_only_with_direct_requirements() -> None:
    assert f"{HOME}/REQUESTED" not in by_path(part_of(make_wheel("demo", "1.0"), direct=False))


def test_wrappers_are_those_of_pip() -> None:
    data = make_wheel(
        "demo",
        "1.0",
        {"demo-1.0.data/scripts/cli": b"#!python\nold wrapper\n"},
        entry_points="[console_scripts]\ncli = demo.cli:Main.run [extra]\n[gui_scripts]\nwin=demo:w\n",
    )
    entries = by_path(part_of(data))
    assert text(entries["usr/local/bin/cli"]) == (
        "#!/usr/bin/python3.13\nimport sys\nfrom demo.cli import Main\n"
        "if __name__ == '__main__':\n"
        "    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n"
        "    sys.exit(Main.run())\n"
    )
    assert entries["usr/local/bin/cli"].mode == 0o755
    assert "sys.exit(w())" in text(entries["usr/local/bin/win"])
    rows = record(entries[f"{HOME}/RECORD"])
    assert rows["../../../bin/cli"][0] == Digest.of(text(entries["usr/local/bin/cli"]).encode()).hex


def test_pips_own_scripts_are_named_for_the_target() -> None:
    data = make_wheel(
        "pip",
        "1.0",
        entry_points="[console_scripts]\npip = pip:main\npip3 = pip:main\npip3.7 = pip:main\n",
    )
    scripts = {p for p in by_path(part_of(data, name="pip")) if p.startswith("usr/local/bin")}
    assert scripts == {f"usr/local/bin/{n}" for n in ("pip", "pip3", "pip3.13")}


@pytest.mark.parametrize(
    ("entry_points", "match"),
    [
        ("[console_scripts]\n../evil = a:b\n", "is no file name"),
        ("[console_scripts]\n.. = a:b\n", "is no file name"),
        ("[console_scripts]\nevil = a\n", "names no function"),
    ],
)
def test_entry_points_that_lead_elsewhere_are_refused(entry_points: str, match: str) -> None:
    with pytest.raises(UntrustedError, match=match):
        part_of(make_wheel("demo", "1.0", entry_points=entry_points))


def test_record_is_rewritten_for_what_stays() -> None:
    data = make_wheel("demo", "1.0", {"demo/a.py": b"a", "demo/tests/t.py": b"t"})
    part = part_of(data)
    kept = [e for e in part.entries if "tests" not in e.path]
    pyc = Entry(
        f"{LIB}/demo/__pycache__/a.cpython-313.pyc",
        Kind.FILE,
        0o644,
        size=3,
        digest=Digest.of(b"pyc"),
    )
    rows = record(rewrite_record(part, [*kept, pyc, Entry.directory(f"{LIB}/demo")]))
    assert rows == {
        "demo/a.py": (Digest.of(b"a").hex, 1),
        "demo/__pycache__/a.cpython-313.pyc": ("", None),
        **{
            f"demo-1.0.dist-info/{n}": (e.digest.hex, e.size)
            for n in ("METADATA", "WHEEL", "INSTALLER", "REQUESTED")
            if (e := by_path(part)[f"{HOME}/{n}"]) and e.digest
        },
        "demo-1.0.dist-info/RECORD": ("", None),
    }
    assert rewrite_record(part, kept).path == f"{HOME}/RECORD"
    assert text(rewrite_record(part, reversed(kept))) == text(rewrite_record(part, kept))  # type: ignore[arg-type]


def test_a_part_without_record_cannot_have_it_rewritten() -> None:
    with pytest.raises(UntrustedError, match="it has no RECORD"):
        rewrite_record(Part("wheel:x", PartKind.WHEEL, "x", "1"), [])


def test_payloads_come_in_archive_order() -> None:
    data = make_wheel("demo", "1.0", {"b": b"2", "a": b"1", "c": b"3"})
    reader = WheelReader(verified(data))
    found = [(name, b"".join(payload)) for name, payload in reader.payloads(["c", "a", "b"])]
    assert found == [("b", b"2"), ("a", b"1"), ("c", b"3")]
    with pytest.raises(UntrustedError, match="no member of that name"):
        list(reader.payloads(["missing"]))


def lying(files: dict[str, bytes], lines: str, **more: bytes) -> bytes:
    """A wheel with these lines of RECORD."""
    return make_wheel("demo", "1.0", files, record=lines.encode(), **more)  # type: ignore[arg-type]


def test_files_that_record_lacks_are_hashed() -> None:
    part = part_of(lying({"a.py": b"a", "b.py": b"b"}, "a.py,,\n"))
    entries = by_path(part)
    assert entries[f"{LIB}/a.py"].digest == Digest.of(b"a")
    assert entries[f"{LIB}/b.py"].digest == Digest.of(b"b")
    check_record(part, verified(lying({"a.py": b"a", "b.py": b"b"}, "a.py,,\n")))


def test_stronger_hashes_are_compared_and_replaced() -> None:
    good = lying({"a.py": b"a"}, f"a.py,{hash_field(b'a', 'sha512')},1\n")
    assert by_path(part_of(good))[f"{LIB}/a.py"].digest == Digest.of(b"a")
    with pytest.raises(UntrustedError, match="RECORD gives it sha512"):
        part_of(lying({"a.py": b"a"}, f"a.py,{hash_field(b'b', 'sha512')},1\n"))


def test_a_record_that_lies_about_a_hash_is_found() -> None:
    data = lying({"a.py": b"real"}, f"a.py,{hash_field(b'fake')},4\n")
    part = part_of(data)
    with pytest.raises(UntrustedError) as caught:
        check_record(part, verified(data))
    assert Digest.of(b"fake").hex in caught.value.why
    assert Digest.of(b"real").hex in caught.value.why


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (f"a.py,{hash_field(b'a')},2\n", "RECORD gives 'a.py' 2 bytes, it has 1"),
        (f"gone.py,{hash_field(b'a')},1\n", "RECORD lists 'gone.py', which is not in it"),
        ("../a.py,,\n", r"RECORD lists '\.\./a\.py'"),
    ],
)
def test_a_record_that_lies_about_names_or_sizes_is_refused(lines: str, match: str) -> None:
    with pytest.raises(UntrustedError, match=match):
        part_of(lying({"a.py": b"a"}, lines))


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "RECORD"])
def test_incomplete_dist_info_is_refused(name: str) -> None:
    with pytest.raises(UntrustedError, match=f"it has no {name}"):
        part_of(make_wheel("demo", "1.0", drop=(name,)))


def test_another_project_is_refused() -> None:
    data = make_wheel("other", "1.0")
    with pytest.raises(UntrustedError, match=r"holds 'other-1.0.dist-info', not demo"):
        part_of(data)


def test_another_version_is_refused() -> None:
    with pytest.raises(UntrustedError, match=r"METADATA says demo 1.0, the lock demo 2.0"):
        part_of(make_wheel("demo", "1.0"), version="2.0")
    part_of(make_wheel("demo", "1.0"), version="1.0.0")


def test_two_dist_infos_are_refused() -> None:
    with pytest.raises(UntrustedError, match=r"2 \.dist-info folders"):
        part_of(make_wheel("demo", "1.0", {"evil-1.dist-info/METADATA": b""}))


def test_two_files_at_one_place_are_refused() -> None:
    data = make_wheel("demo", "1.0", {"a.py": b"1", "demo-1.0.data/purelib/a.py": b"2"})
    with pytest.raises(UntrustedError, match="two of its files would be"):
        part_of(data)


@pytest.mark.parametrize("name", ["demo-1.0.data/stray", "demo-1.0.data/evil/x", "x.data/scripts/"])
def test_unknown_schemes_are_refused(name: str) -> None:
    if name.endswith("/"):
        part_of(make_wheel("demo", "1.0", {name: b""}))
        return
    with pytest.raises(UntrustedError, match="is not below purelib"):
        part_of(make_wheel("demo", "1.0", {name: b"x"}))


def test_bytes_other_than_locked_are_refused() -> None:
    data, other = make_wheel("demo", "1.0"), make_wheel("demo", "1.0", {"a": b""})
    with pytest.raises(UntrustedError) as caught:
        wheel_part(locked_wheel("demo", "1.0", data), verified(other), python="3.13")
    assert str(Digest.of(data)) in caught.value.why
    assert str(Digest.of(other)) in caught.value.why


def test_planning_is_the_same_each_time() -> None:
    data = make_wheel("demo", "1.0", {"a.py": b"1"}, entry_points="[console_scripts]\na=b:c\n")
    assert part_of(data) == part_of(data)

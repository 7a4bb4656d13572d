"""rpm's three databases: real ones, the real rpm's own, and each of them damaged."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch.formats.rpmdb import Damage, RpmPackage, read_rpmdb
from tests.support.tools import need

DATA = Path(__file__).parent.parent / "data/rpm"
NDB = DATA / "rpmdb/sle15-bci.Packages.db"
BDB = DATA / "rpmdb/libuuid.Packages"


def packages(data: bytes, wal: bytes = b"") -> list[RpmPackage]:
    """All packages; nothing may be damaged."""
    rows = list(read_rpmdb(data, wal=wal))
    assert [each for each in rows if isinstance(each, Damage)] == []
    return [each for each in rows if isinstance(each, RpmPackage)]


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that the real rpm wrote, of real packages."""
    folder = tmp_path_factory.mktemp("rpmdb")
    files = sorted((DATA / "packages").glob("*.rpm"))
    subprocess.run(
        [need("rpm"), "--dbpath", folder, "--install", "--justdb", "--nodeps", "--noscripts",
         "--nosignature", "--ignorearch", "--force", "--force-debian", *files],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def small_ndb() -> bytes:
    """The first four packages of the real ndb, laid out anew as rpmpkg.c does."""
    blobs = list(_ndb_blobs(NDB.read_bytes()))[:4]
    head = struct.pack("<4s7I", b"RpmP", 0, 1, 1, len(blobs) + 1, 0, 0, 0)
    slots, body, block = b"", b"", 4096 // 16
    for number, blob in enumerate(blobs, 1):
        inner = struct.pack("<4s3I", b"BlbS", number, 1, len(blob)) + blob
        inner += bytes(-(len(inner) + 12) % 16)
        inner += struct.pack("<2I4s", zlib.adler32(inner), len(blob), b"BlbE")
        slots += struct.pack("<4s3I", b"Slot", number, block, len(inner) // 16)
        body += inner
        block += len(inner) // 16
    slots += b"Slot" + bytes(12)
    slots += (b"Slot" + bytes(12)) * ((4096 - 32 - len(slots)) // 16)
    return head + slots + body


def _ndb_blobs(data: bytes) -> list[bytes]:
    from staunch.formats.rpmdb.ndb import read_ndb

    return [each[1] for each in read_ndb(data) if not isinstance(each, Damage)]


def test_ndb_as_upstream_expects() -> None:
    wanted = json.loads((DATA / "rpmdb/sle15-bci.expected.json").read_text())
    found = packages(NDB.read_bytes())
    assert [(p.epoch, p.name, p.version, p.release, p.architecture) for p in found] == [
        (w["epoch"], w["name"], w["version"], w["release"], w["arch"]) for w in wanted
    ]
    assert all(each.checked for each in found)


def test_berkeley_db() -> None:
    (found,) = packages(BDB.read_bytes())
    assert (found.name, found.evr, found.architecture) == ("libuuid", "2.32.1-42.el8_8", "x86_64")
    assert found.source_rpm == "util-linux-2.32.1-42.el8_8.src.rpm"
    assert "/usr/lib64/libuuid.so.1" in found.files
    assert found.checked


def test_sqlite_as_the_real_rpm_lists_it(sqlite: Path) -> None:
    listed = subprocess.run(
        [need("rpm"), "--dbpath", sqlite, "--query", "--all", "--queryformat",
         r"%{NAME}|%{EPOCH}|%{VERSION}-%{RELEASE}|%{ARCH}|%{SOURCERPM}\n"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    ours = [
        f"{p.name}|{'(none)' if p.epoch is None else p.epoch}|{p.version}-{p.release}"
        f"|{p.architecture}|{p.source_rpm}"
        for p in packages((sqlite / "rpmdb.sqlite").read_bytes())
    ]
    assert sorted(ours) == sorted(listed.splitlines())


def test_files_as_the_real_rpm_lists_them(sqlite: Path) -> None:
    found = packages((sqlite / "rpmdb.sqlite").read_bytes())
    for each in found:
        listed = subprocess.run(
            [need("rpm"), "--dbpath", sqlite, "--query", "--list", each.name],
            check=True, capture_output=True, text=True,
        ).stdout.splitlines()  # fmt: skip
        assert list(each.files) == [line for line in listed if line.startswith("/")]


def test_a_log_beside_the_database_is_newer(tmp_path: Path) -> None:
    """WAL: what was committed there and not yet copied into the database counts."""
    import sqlite3

    path = tmp_path / "rpmdb.sqlite"
    blobs = _ndb_blobs(NDB.read_bytes())[:3]
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    database.execute("CREATE TABLE 'Name' (key TEXT, hnum INTEGER, idx INTEGER)")
    with database:
        database.execute("INSERT INTO Packages VALUES (1, ?)", (blobs[0],))
        database.execute("INSERT INTO Name VALUES ('a', 1, 0)")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database:
        database.execute("DELETE FROM Packages")
        database.execute("DELETE FROM Name")
        for number, blob in enumerate(blobs[1:], 2):
            database.execute("INSERT INTO Packages VALUES (?, ?)", (number, blob))
            database.execute("INSERT INTO Name VALUES ('a', ?, 0)", (number,))
    main, log = path.read_bytes(), path.with_name("rpmdb.sqlite-wal").read_bytes()
    database.close()
    assert [each.name for each in packages(main)] == ["system-user-root"]
    assert [each.name for each in packages(main, log)] == ["filesystem", "glibc"]
    torn = log[:-100]
    assert [each.name for each in packages(main, torn)] == ["system-user-root"]
    rows = list(read_rpmdb(main, wal=b"\0" * 64))
    assert any(isinstance(each, Damage) and "log beside it" in each.why for each in rows)


def flips(data: bytes, count: int) -> None:
    """Each flip is told, or changed nothing that we say."""
    wanted = sorted(map(repr, read_rpmdb(data)))
    chance = random.Random(1)
    for _ in range(count):
        at, byte = chance.randrange(len(data)), chance.randrange(1, 256)
        damaged = bytearray(data)
        damaged[at] ^= byte
        rows = list(read_rpmdb(bytes(damaged)))
        if not any(isinstance(each, Damage) for each in rows):
            assert sorted(map(repr, rows)) == wanted, f"byte {at} ^ {byte:#x} went unseen"


def test_ten_thousand_flips_in_berkeley_db() -> None:
    flips(BDB.read_bytes(), 10_000)


def test_ten_thousand_flips_in_sqlite(sqlite: Path) -> None:
    flips((sqlite / "rpmdb.sqlite").read_bytes(), 10_000)


def test_ten_thousand_flips_in_ndb() -> None:
    small = small_ndb()
    assert len(packages(small)) == 4
    flips(small, 10_000)


@pytest.mark.slow
def test_ten_thousand_flips_in_the_whole_ndb() -> None:
    flips(NDB.read_bytes(), 10_000)


@pytest.mark.parametrize("make", [BDB.read_bytes, small_ndb], ids=["bdb", "ndb"])
def test_truncated_anywhere_is_told(make: Callable[[], bytes]) -> None:
    data = make()
    for size in range(0, len(data), 509):
        assert any(isinstance(each, Damage) for each in read_rpmdb(data[:size])), size


def test_a_truncated_sqlite_is_told(sqlite: Path) -> None:
    data = (sqlite / "rpmdb.sqlite").read_bytes()
    for size in range(0, len(data), 4099):
        assert any(isinstance(each, Damage) for each in read_rpmdb(data[:size])), size


@given(st.sampled_from([b"SQLite format 3\0", b"RpmP", b""]), st.binary(max_size=4000))
def test_any_bytes_are_damage_or_nothing(head: bytes, rest: bytes) -> None:
    for each in read_rpmdb(head + rest):
        assert isinstance(each, Damage)


def test_a_sqlite_tree_that_bites_its_tail_ends(sqlite: Path) -> None:
    data = bytearray((sqlite / "rpmdb.sqlite").read_bytes())
    size = int.from_bytes(data[16:18], "big")
    for at in range(0, len(data), size):
        if data[at] == 0x05:  # an interior page: every child becomes itself
            count = int.from_bytes(data[at + 3 : at + 5], "big")
            for cell in range(count):
                place = int.from_bytes(data[at + 12 + 2 * cell : at + 14 + 2 * cell], "big")
                data[at + place : at + place + 4] = (at // size + 1).to_bytes(4, "big")
    data[100] = 0x05
    assert any(isinstance(each, Damage) for each in read_rpmdb(bytes(data)))

"""The store: what is in it is whole and right, or absent."""

import fcntl
import os
import pwd
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.adapters import store as store_module
from staunch.adapters.store import FileStore, StoreReport, default_root
from staunch.errors import HostError, LostError, SpecError, UntrustedError
from staunch.model.digest import Digest

KEY = "ab" * 32
DATA = b"content of a blob" * 1000


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "store")


def fresh(store: FileStore) -> FileStore:
    """The same folder as another process sees it: nothing remembered."""
    return FileStore(store.root)


def whole(blob) -> bytes:
    assert blob is not None
    return blob.pread(blob.size, 0)


def entries(store: FileStore) -> list[str]:
    """Everything but folders and the lock."""
    return sorted(
        path.relative_to(store.root).as_posix()
        for path in store.root.rglob("*")
        if path.is_file() and path.name != "lock"
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def blob_path(store: FileStore, digest: Digest) -> Path:
    return store.root / "blobs/sha256" / digest.hex[:2] / digest.hex


# -- blobs


def test_put_and_read(store):
    digest = store.put(DATA)
    assert digest == Digest.of(DATA)
    assert whole(fresh(store).blob(digest)) == DATA
    assert store.blob(digest).pread(4, 3) == DATA[3:7]
    assert store.blob(digest).pread(10, len(DATA) - 2) == DATA[-2:]
    assert store.blob(digest).pread(10, len(DATA)) == b""
    assert store.blob(Digest.of(b"other")) is None


@settings(max_examples=25, deadline=None)
@given(pieces=st.lists(st.binary(max_size=3000), max_size=8))
def test_create_has_the_digest_of_all_pieces(tmp_path_factory, pieces):
    store = FileStore(tmp_path_factory.mktemp("s"))
    with store.create() as pending:
        for piece in pieces:
            pending.write(piece)
        assert pending.size == sum(map(len, pieces))
        assert pending.pread(1 << 20, 0) == b"".join(pieces)
    assert store.digest_of(pending) == Digest.of(b"".join(pieces))
    assert whole(store.blob(store.digest_of(pending))) == b"".join(pieces)


def test_digest_of_uncommitted(store):
    with store.create() as pending, pytest.raises(SpecError, match="no digest yet"):
        store.digest_of(pending)


def test_failure_while_creating_leaves_nothing(store):
    with pytest.raises(KeyboardInterrupt), store.create() as pending:
        pending.write(DATA)
        raise KeyboardInterrupt
    assert entries(store) == []


def test_modes_are_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        store = FileStore(tmp_path / "store")
        digest = store.put(DATA)
        store.put_record("kind", KEY, b"r")
    finally:
        os.umask(before)
    for path in (store.root, *store.root.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert store.blob(digest) is not None


# -- what stands there


def test_what_stands_is_hashed_before_its_first_byte(store):
    digest = store.put(DATA)
    blob = fresh(store).standing(digest, len(DATA))
    assert blob.size == len(DATA)
    assert blob.pread(10, 5) == DATA[5:15]
    assert fresh(store).standing(digest, len(DATA) + 1) is None
    assert fresh(store).standing(Digest.of(b"other")) is None


def test_what_stands_damaged_gives_no_byte_and_goes(store):
    digest = store.put(DATA)
    path = blob_path(store, digest)
    path.write_bytes(DATA[:50] + bytes([DATA[50] ^ 1]) + DATA[51:])
    opened = fresh(store)
    blob = opened.standing(digest, len(DATA))
    for _ in range(2):
        with pytest.raises(LostError, match="is damaged") as caught:
            blob.pread(10, 0)
    assert caught.value.why == "its content is not what its name says; it was removed"
    assert not path.exists()
    assert opened.standing(digest, len(DATA)) is None


def test_a_careful_store_hashes_at_once(store):
    digest = store.put(DATA)
    path = blob_path(store, digest)
    path.write_bytes(DATA[:50] + bytes([DATA[50] ^ 1]) + DATA[51:])
    assert fresh(store).careful().standing(digest, len(DATA)) is None
    assert not path.exists()


def test_what_was_found_right_is_hashed_again_when_touched(store):
    """mtime can be set back; ctime cannot."""
    digest = store.put(DATA)
    assert store.blob(digest) is not None
    path = blob_path(store, digest)
    before = path.stat()
    time.sleep(0.03)  # the kernel's time stamps stand still for some milliseconds
    path.write_bytes(DATA[:50] + bytes([DATA[50] ^ 1]) + DATA[51:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.blob(digest) is None


# -- damage


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "empty", "link", "folder"])
@pytest.mark.parametrize("kind", ["blob", "file", "record"])
def test_damaged_entries_are_removed_and_absent(store, kind, damage):
    digest = store.put(DATA)
    with store.create_file("kind", KEY) as pending:
        pending.write(DATA)
    store.put_record("kind", KEY, DATA)
    path, read = {
        "blob": (blob_path(store, digest), lambda s: s.blob(digest)),
        "file": (store.root / "files/kind/ab" / KEY, lambda s: s.file("kind", KEY)),
        "record": (store.root / "records/kind/ab" / KEY, lambda s: s.record("kind", KEY)),
    }[kind]
    assert read(fresh(store)) is not None
    good = path.read_bytes()
    if damage == "flip":
        path.write_bytes(good[:50] + bytes([good[50] ^ 1]) + good[51:])
    elif damage == "cut":
        path.write_bytes(good[:-1])
    elif damage == "grow":
        path.write_bytes(good + b"\0")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "link":
        path.rename(path.parent / "elsewhere")
        path.symlink_to("elsewhere")
    else:
        path.unlink()
        path.mkdir()
    assert read(fresh(store)) is None
    assert not os.path.lexists(path)


def test_a_file_changed_in_place_is_checked_again(store):
    """The memory of what was checked ends with the state of the file."""
    digest = store.put(DATA)
    assert store.blob(digest) is not None
    blob_path(store, digest).write_bytes(b"x" * len(DATA))
    assert store.blob(digest) is None


def test_derived_files_and_records(store):
    with store.create_file("segment", KEY) as pending:
        pending.write(b"abc")
        pending.write(memoryview(b"def"))
    assert whole(fresh(store).file("segment", KEY)) == b"abcdef"
    store.put_record("layer", KEY, b"one")
    store.put_record("layer", KEY, b"two")
    assert fresh(store).record("layer", KEY) == b"two"
    assert store.record("other", KEY) is None
    assert store.file("layer", KEY) is None


@pytest.mark.parametrize(("kind", "key"), [("../x", KEY), ("x", "../" + KEY), ("x", KEY.upper())])
def test_names_cannot_leave_the_store(store, kind, key):
    with pytest.raises(SpecError, match="no store entry can be called"):
        store.record(kind, key)


def test_a_record_has_a_limit(store, monkeypatch):
    monkeypatch.setattr(store_module, "_RECORD_BYTES", 10)
    with pytest.raises(SpecError, match="record is too large"):
        store.put_record("kind", KEY, bytes(11))


# -- downloads


def test_download_resumes(store):
    digest = Digest.of(DATA)
    with pytest.raises(OSError, match="gone"), store.download(digest, len(DATA)) as pending:
        pending.write(DATA[:100])
        raise OSError("gone")
    assert store.blob(digest) is None
    with fresh(store).download(digest, len(DATA)) as pending:
        assert pending.size == 100
        pending.write(DATA[100:])
    assert whole(store.blob(digest)) == DATA
    assert [name for name in entries(store) if name.startswith(("partial", "tmp"))] == []


def test_download_restarts_when_the_server_ignores_the_range(store):
    digest = Digest.of(DATA)
    with pytest.raises(OSError), store.download(digest, None) as pending:
        pending.write(b"other bytes")
        raise OSError
    with store.download(digest, None) as pending:
        pending.restart()
        assert pending.size == 0
        pending.write(DATA)
    assert whole(store.blob(digest)) == DATA


def test_a_wrong_digest_names_both_and_leaves_nothing(store):
    digest = Digest.of(DATA)
    wrong = b"x" * len(DATA)
    with (
        pytest.raises(UntrustedError, match="not what was promised") as caught,
        store.download(digest, len(DATA)) as pending,
    ):
        pending.write(wrong)
    assert str(digest) in caught.value.why
    assert Digest.of(wrong).hex in caught.value.why
    assert entries(store) == []


@pytest.mark.parametrize("got", [DATA[:-1], DATA + b"x"])
def test_a_wrong_size_names_both_and_leaves_nothing(store, got):
    with (
        pytest.raises(UntrustedError) as caught,
        store.download(Digest.of(DATA), len(DATA)) as pending,
    ):
        pending.write(got)
    assert f"wanted {len(DATA)} bytes, got {len(got)} bytes" in caught.value.why
    assert entries(store) == []


def test_more_bytes_than_promised_stop_at_once(store):
    """A mirror that sends without end fills no disk."""
    with (
        pytest.raises(UntrustedError, match="not what was promised"),
        store.download(Digest.of(DATA), 10) as pending,
    ):
        for _ in range(1 << 20):
            pending.write(b"0123456789")
    assert entries(store) == []


def test_a_partial_longer_than_the_file_is_thrown_away(store):
    digest = Digest.of(DATA)
    (store.root / "partial" / digest.hex).write_bytes(DATA + DATA)
    with store.download(digest, len(DATA)) as pending:
        assert pending.size == 0
        pending.write(DATA)
    assert whole(store.blob(digest)) == DATA


def test_two_writers_of_one_download(store):
    digest = Digest.of(DATA)
    with store.download(digest, len(DATA)) as first:
        first.write(DATA[:7])
        with fresh(store).download(digest, len(DATA)) as second:
            assert second.size == 0
            second.write(DATA)
        first.write(DATA[7:])
    assert whole(fresh(store).blob(digest)) == DATA
    assert len(entries(store)) == 1


# -- trust


@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_root_that_others_may_write_is_refused(tmp_path, mode):
    root = tmp_path / "store"
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(UntrustedError, match="others may write"):
        FileStore(root)


@pytest.mark.parametrize("name", ["", "blobs", "records", "partial", "tmp"])
def test_a_folder_that_others_may_write_is_refused_behind_a_link_too(tmp_path, name):
    """Who may write to a folder can put one of our good files in the place of another."""
    real = tmp_path / "real"
    FileStore(real)
    (tmp_path / "store").symlink_to(real)
    FileStore(tmp_path / "store")
    (real / name).chmod(0o777)
    with pytest.raises(UntrustedError, match="others may write"):
        FileStore(tmp_path / "store")


def test_an_entry_that_others_may_write_is_refused(store):
    store.put_record("kind", KEY, b"r")
    (store.root / "records/kind/ab" / KEY).chmod(0o666)
    with pytest.raises(UntrustedError, match="others may write"):
        fresh(store).record("kind", KEY)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_foreign_owners_are_refused(store):
    store.put_record("kind", KEY, b"r")
    os.chown(store.root / "records/kind/ab" / KEY, 12345, -1)
    with pytest.raises(UntrustedError, match="belongs to another user") as caught:
        fresh(store).record("kind", KEY)
    assert "got 12345" in caught.value.why
    os.chown(store.root, 12345, -1)
    with pytest.raises(UntrustedError, match="belongs to another user"):
        fresh(store)


# -- the machine


def test_a_root_that_is_a_file(tmp_path):
    (tmp_path / "store").write_text("x")
    with pytest.raises(HostError, match="cannot open the store"):
        FileStore(tmp_path / "store")


@pytest.mark.interop
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_full_disk(tmp_path):
    """ENOSPC says what to do, leaves no half entry, and the next try succeeds."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=True)
    try:
        store = FileStore(tmp_path / "store")
        kept = store.put(b"kept")
        big = os.urandom(2 << 20)
        for write in (
            lambda: store.put(big),
            lambda: store.put_record("kind", KEY, big),
        ):
            with pytest.raises(HostError, match="cannot write") as caught:
                write()
            assert "No space left" in caught.value.why
            assert "staunch store gc" in caught.value.mend
        assert len(entries(store)) == 1
        assert whole(fresh(store).blob(kept)) == b"kept"
        subprocess.run(["mount", "-o", "remount,size=8m", tmp_path], check=True)
        assert whole(store.blob(store.put(big))) == big
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# -- house-keeping


def test_verify_removes_what_is_damaged(store):
    good, bad = store.put(b"good"), store.put(b"bad")
    store.put_record("kind", KEY, b"r")
    blob_path(store, bad).write_bytes(b"BAD")
    assert fresh(store).verify() == StoreReport(
        3, 4 + 3 + 41, (f"blobs/sha256/{bad.hex[:2]}/{bad.hex}",), 3
    )
    assert store.blob(good) is not None
    assert fresh(store).verify().removed == ()


def test_gc_by_size_takes_the_longest_unused(store):
    old, new = store.put(b"o" * 100), store.put(b"n" * 100)
    os.utime(blob_path(store, old), (1, 1))
    report = store.gc(max_bytes=150)
    assert report.removed == (f"blobs/sha256/{old.hex[:2]}/{old.hex}",)
    assert report.removed_bytes == 100
    assert fresh(store).blob(new) is not None


def test_gc_by_age(store):
    old = store.put(b"old")
    new = store.put(b"new")
    os.utime(blob_path(store, old), (1, 1))
    assert len(store.gc(max_age=timedelta(days=30)).removed) == 1
    assert fresh(store).blob(old) is None
    assert fresh(store).blob(new) is not None


def test_use_makes_an_entry_young(store):
    digest = store.put(b"old")
    os.utime(blob_path(store, digest), (1, 1))
    assert fresh(store).blob(digest) is not None
    assert store.gc(max_age=timedelta(days=30)).removed == ()


def test_gc_without_limits_keeps_all_entries(store):
    store.put(b"x")
    assert store.gc().removed == ()


def test_gc_waits_outside_while_a_build_runs(store):
    with store.session(), fresh(store).session():
        with pytest.raises(HostError, match="cannot clean the store") as caught:
            fresh(store).gc()
        assert "a build is using it" in caught.value.why
    assert fresh(store).gc().removed == ()


def test_gc_clears_leftovers_but_not_what_is_being_written(store):
    (store.root / "tmp/f-dead").write_bytes(b"x")
    (store.root / "tmp/d-dead").mkdir()
    (store.root / "tmp/d-dead/file").write_bytes(b"x")
    (store.root / "partial" / KEY).write_bytes(b"x")
    with store.create() as pending, store.scratch() as folder:
        pending.write(b"alive")
        store.gc()
        assert folder.is_dir()
    assert whole(store.blob(store.digest_of(pending))) == b"alive"
    assert names(store.root / "tmp") == []
    assert names(store.root / "partial") == [KEY]
    os.utime(store.root / "partial" / KEY, (1, 1))
    store.gc()
    assert names(store.root / "partial") == []


def test_opening_sweeps_old_leftovers(store):
    dead, young = store.root / "tmp/f-dead", store.root / "tmp/f-young"
    held = store.root / "tmp/f-held"
    for path in (dead, young, held):
        path.write_bytes(b"x")
    for path in (dead, held):
        os.utime(path, (1, 1))
    with held.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fresh(store)
    assert names(store.root / "tmp") == ["f-held", "f-young"]


def test_scratch_is_private_and_removed(store):
    with store.scratch() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "x").write_text("x")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/staunch"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/staunch"),
        ({"HOME": "/h"}, "/h/.cache/staunch"),
        ({"STAUNCH_STORE": "/s", "XDG_CACHE_HOME": "/c"}, "/s"),
        ({}, f"{pwd.getpwuid(os.geteuid()).pw_dir}/.cache/staunch"),
    ],
)
def test_default_root(environ, wanted):
    assert default_root(environ) == Path(wanted)


# -- several processes, and sudden ends

WRITER = """
import os, random, sys
from pathlib import Path
from staunch.adapters.store import FileStore
from staunch.model.digest import Digest
store = FileStore(Path(sys.argv[1]))
source = random.Random(7)
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    data = source.randbytes(20_000)
    digest = Digest.of(data)
    if number % 2:
        store.put(data)
    else:
        with store.download(digest, len(data)) as pending:
            pending.write(data[pending.size:9_000 + pending.size])
            pending.write(data[pending.size:])
    store.put_record("n", digest.hex, b"%d" % number)
    with store.create_file("f", digest.hex) as pending:
        pending.write(data)
    print(number, flush=True)
"""


def writer(store: FileStore, count: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, store.root, str(count)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def finish(process: subprocess.Popen[bytes]) -> int:
    process.communicate()
    return process.returncode


def contents(store: FileStore) -> dict[str, bytes]:
    return {name: (store.root / name).read_bytes() for name in entries(store)}


def test_two_processes_race(store, tmp_path):
    racers = [writer(store, 40) for _ in range(2)]
    assert [finish(each) for each in racers] == [0, 0]
    alone = FileStore(tmp_path / "alone")
    assert finish(writer(alone, 40)) == 0
    assert contents(store) == contents(alone)
    assert fresh(store).verify().removed == ()


def test_kill_at_any_moment(store, tmp_path):
    """After kill -9 everything visible is whole, and the next run ends as if nothing happened."""
    for number in range(10):
        process = writer(store, 60)
        for _ in range(5 * number):
            process.stdout.readline()
        process.kill()
        finish(process)
        assert fresh(store).verify().removed == ()
    assert finish(writer(store, 60)) == 0
    store.gc()
    alone = FileStore(tmp_path / "alone")
    assert finish(writer(alone, 60)) == 0
    assert contents(store) == contents(alone)

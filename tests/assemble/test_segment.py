"""Segments: exact, independent of how they were written, and never of unchecked bytes."""

import io
import itertools
import random
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.adapters.store import FileStore
from staunch.assemble import segment as segment_module
from staunch.assemble.segment import blocks, plan_segment
from staunch.assemble.segment_store import facts, find_segment
from staunch.assemble.segment_write import write_segment
from staunch.assemble.workers import Workers
from staunch.errors import HostError, SpecError, UntrustedError
from staunch.formats import tarheader
from staunch.formats.encoder import encoder
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind, Slice
from tests.support.assembly import MemoryReader, member, noise
from tests.support.tools import need

ZSTD = encoder("zstd")
BLOCK = limits.BLOCK


def write(store, plan, files, *, code=ZSTD, threads=1, step=70_000, tap=None):
    workers = Workers(threads)
    try:
        reader = MemoryReader(files, step=step)
        return write_segment(plan, reader, store, code, workers, tap=tap)
    finally:
        workers.close()


def stream(store, plan, code=ZSTD) -> bytes:
    """The segment's uncompressed bytes."""
    blob, record = find_segment(plan, store)
    return b"".join(
        code.decompress(blob.pread(size, offset), block.raw_size)
        for (offset, size), block in zip(record.frames, blocks(plan), strict=True)
    )


def ordered_frames(store, plan) -> bytes:
    """What a layer takes from it."""
    blob, record = find_segment(plan, store)
    return b"".join(blob.pread(size, offset) for offset, size in record.frames)


def members_of(raw: bytes) -> dict[str, bytes | str]:
    with tarfile.open(fileobj=io.BytesIO(raw + tarheader.END)) as tar:
        return {
            each.name: tar.extractfile(each).read() if each.isfile() else each.linkname
            for each in tar
        }


SIZES = st.one_of(
    st.sampled_from([0, 1, 511, 512, 513, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK]),
    st.integers(0, 20_000),
)


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(SIZES, max_size=6),
    threads=st.sampled_from([1, 2]),
    name=st.sampled_from(["zstd", "gzip"]),
)
def test_round_trip_through_stdlib_tar(tmp_path_factory, sizes, threads, name):
    store, code = FileStore(tmp_path_factory.mktemp("s")), encoder(name)
    files = {f"dir/{number}": noise(number, size) for number, size in enumerate(sizes)}
    entries = [member(path, data, "files:0") for path, data in files.items()]
    entries.append(Entry.symlink("dir/link", "0", owner="files:0"))
    plan = plan_segment("files:0", entries, code)
    raw = []
    record = write(store, plan, files, code=code, threads=threads, tap=raw.append)
    assert record.in_order
    assert members_of(stream(store, plan, code)) == {**files, "dir/link": "0"}
    assert b"".join(raw) == stream(store, plan, code)
    assert len(stream(store, plan, code)) == plan.raw_size


def test_same_frames_whatever_the_threads_feeds_and_archive_order(tmp_path):
    files = {f"f{number}": noise(number, size) for number, size in
             enumerate([5, 9 << 20, 0, 700, 4 << 20, 123_456, *[300] * 400])}  # fmt: skip
    plan = plan_segment("w", [member(name, data, "w") for name, data in files.items()], ZSTD)
    shuffled = list(files.items())
    random.Random(1).shuffle(shuffled)
    seen = set()
    for number, (threads, step, order) in enumerate(
        [(1, 1 << 20, files), (2, 1 << 20, files), (2, 999, files), (2, 70_000, dict(shuffled))]
    ):
        store = FileStore(tmp_path / str(number))
        record = write(store, plan, order, threads=threads, step=step)
        assert record.in_order == (order is files)
        seen.add(ordered_frames(store, plan))
    assert len(seen) == 1


def test_order_inside(tmp_path):
    """Made ones and symbolic links by path, then archive order, then hard links by path."""
    entries = [
        Entry("z-hard", Kind.HARDLINK, 0o644, link="m2"),
        member("m2", b"2", "w"),
        member("m1", b"1", "w"),
        Entry.symlink("y", "x"),
        Entry.inline("b", b"b"),
        Entry("a-hard", Kind.HARDLINK, 0o644, link="m1"),
    ]
    plan = plan_segment("w", entries, ZSTD)
    assert [each.path for each in plan.entries] == ["b", "y", "m2", "m1", "a-hard", "z-hard"]


def test_the_key_tells_every_difference():
    base = [member("a", b"1", "w"), member("b", b"2", "w")]
    variants = [
        base,
        base[::-1],
        base[:1],
        [member("a", b"3", "w"), base[1]],
        [member("a", b"1", "w", mode=0o755), base[1]],
        [Entry.inline("a", b"1"), member("b2", b"2", "w")],
    ]
    keys = [plan_segment("w", each, ZSTD).key for each in variants]
    keys.append(plan_segment("w", base, encoder("gzip")).key)
    assert len(set(keys)) == len(keys)


def test_the_key_is_of_contents_not_of_owners():
    """Two packages that bring the same bytes share a segment."""
    assert (
        plan_segment("w", [member("a", b"1", "w")], ZSTD).key
        == plan_segment("v", [member("a", b"1", "v", name="other/name")], ZSTD).key
    )


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([Entry.directory("d")], "no directories"),
        ([member("a", b"", "w"), member("a", b"", "w", name="b")], "stands twice"),
        ([member("a", b"", "w", name="x"), member("b", b"", "w", name="x")], "stands twice"),
        ([Entry("a", Kind.FILE, 0o644)], "no content"),
        ([Entry("a", Kind.HARDLINK, 0o644, link="b")], "hard link a leads to b"),
    ],
)
def test_plans_that_cannot_be(entries, why):
    with pytest.raises(SpecError, match="cannot lay out what w brings") as caught:
        plan_segment("w", entries, ZSTD)
    assert why in caught.value.why


# -- bytes that are not what was promised


@pytest.mark.parametrize("size", [0, 1, 5000, BLOCK, 2 * BLOCK + 5])
@pytest.mark.parametrize("lie", ["flip", "short", "long"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_lying_record_is_refused(tmp_path, size, lie, threads):
    """A wheel whose RECORD lies: both values named, nothing stays."""
    store = FileStore(tmp_path)
    data = noise(1, size)
    if lie == "flip":
        bad = data[:-1] + bytes([data[-1] ^ 1]) if data else b"x"
    else:
        bad = data[:-1] if lie == "short" else data + b"x"
    if bad == data:
        return
    plan = plan_segment("wheel:demo", [member("demo/a.py", data, "wheel:demo")], ZSTD)
    with pytest.raises(UntrustedError, match=r"demo/a\.py in wheel:demo is not what") as caught:
        write(store, plan, {"demo/a.py": bad}, threads=threads)
    assert "RECORD lies" in caught.value.what
    wanted, got = (Digest.of(data), Digest.of(bad)) if lie == "flip" and size else (size, len(bad))
    assert f"wanted {wanted}" in caught.value.why
    assert f"got {got}" in caught.value.why
    assert find_segment(plan, store) is None
    assert not [path for path in store.root.rglob("*") if path.is_file()]


def test_an_endless_member_is_stopped(tmp_path):
    class Endless:
        def payloads(self, wanted):
            yield "a", itertools.repeat(bytes(1 << 20))

    plan = plan_segment("w", [member("a", b"abc", "w")], ZSTD)
    with pytest.raises(UntrustedError, match="not what the package promised"):
        write_segment(plan, Endless(), FileStore(tmp_path), ZSTD, Workers(1))


def test_a_users_file_that_changed_is_no_packages_lie(tmp_path):
    class Changed:
        def payloads(self, wanted):
            yield "a", [b"xyz"]

    plan = plan_segment("files:0", [member("a", b"abc", "files:0")], ZSTD)
    with pytest.raises(UntrustedError, match="a of `files` has changed while") as caught:
        write_segment(plan, Changed(), FileStore(tmp_path), ZSTD, Workers(1))
    assert f"first it had {Digest.of(b'abc')}, then {Digest.of(b'xyz')}" in caught.value.why
    assert caught.value.mend == "build again when nothing writes to that folder"


def test_a_missing_member_is_refused(tmp_path):
    plan = plan_segment("w", [member("a", b"abc", "w")], ZSTD)
    with pytest.raises(UntrustedError, match="a in w is not") as caught:
        write(FileStore(tmp_path), plan, {})
    assert "the archive has none" in caught.value.why


def test_a_member_twice_is_refused(tmp_path):
    class Twice:
        def payloads(self, wanted):
            yield "a", iter([b"abc"])
            yield "a", iter([b"abc"])

    plan = plan_segment("w", [member("a", b"abc", "w")], ZSTD)
    with pytest.raises(UntrustedError, match="a in w is not") as caught:
        write_segment(plan, Twice(), FileStore(tmp_path), ZSTD, Workers(1))
    assert "twice" in caught.value.why


def test_made_payloads_are_checked_too(tmp_path):
    entry = Entry.inline("a", b"abc")
    lie = Entry("a", Kind.FILE, 0o644, size=3, digest=Digest.of(b"abd"), body=entry.body)
    with pytest.raises(UntrustedError, match="a in staunch"):
        write(FileStore(tmp_path), plan_segment("staunch", [lie], ZSTD), {})


def test_no_archive_at_hand(tmp_path):
    plan = plan_segment("w", [member("a", b"abc", "w")], ZSTD)
    with pytest.raises(SpecError, match="cannot lay out") as caught:
        write_segment(plan, None, FileStore(tmp_path), ZSTD, Workers(1))
    assert "archive is not at hand" in caught.value.why


# -- slices, facts, damage


def test_slices_of_a_stored_blob(tmp_path):
    store = FileStore(tmp_path)
    pack = noise(1, 6 << 20)
    blob = store.put(pack)
    entries = []
    for number, (at, size) in enumerate([(0, 10), (10, 5 << 20), (77, 0)]):
        data = pack[at : at + size]
        entries.append(Entry(f"p{number}", Kind.FILE, 0o644, size=size, digest=Digest.of(data),
                             body=Slice(blob, at), owner="pyc:w"))  # fmt: skip
    plan = plan_segment("pyc:w", entries, ZSTD)
    write_segment(plan, None, store, ZSTD, Workers(1))
    assert list(map(len, members_of(stream(store, plan)).values())) == [10, 5 << 20, 0]


def test_a_slice_of_a_lost_blob(tmp_path):
    entry = Entry("p", Kind.FILE, 0o644, size=1, digest=Digest.of(b"x"),
                  body=Slice(Digest.of(b"gone"), 0))  # fmt: skip
    with pytest.raises(HostError, match="p is gone from the store"):
        write(FileStore(tmp_path), plan_segment("w", [entry], ZSTD), {})


@pytest.mark.interop
@pytest.mark.parametrize("large", [False, True])
def test_facts_of_real_files(tmp_path, large):
    program = need("sh").resolve().read_bytes()
    data = program + bytes(BLOCK) if large else program
    files = {"bin/sh": data, "etc/x": b"no ELF"}
    store = FileStore(tmp_path)
    plan = plan_segment("w", [member(path, each, "w") for path, each in files.items()], ZSTD)
    write(store, plan, files, threads=2)
    found = facts(plan, FileStore(tmp_path))
    assert list(found) == ["bin/sh"]
    assert "libc.so.6" in found["bin/sh"].needed
    assert found["bin/sh"].needs_versions


def test_a_damaged_elf_file_is_refused(tmp_path):
    data = b"\x7fELF" + bytes(20)
    plan = plan_segment("w", [member("lib/x.so", data, "w")], ZSTD)
    with pytest.raises(UntrustedError, match=r"lib/x\.so"):
        write(FileStore(tmp_path), plan, {"lib/x.so": data})


def test_lost_facts(tmp_path):
    with pytest.raises(HostError, match="is gone from the store"):
        facts(plan_segment("w", [member("a", b"abc", "w")], ZSTD), FileStore(tmp_path))


def test_a_foreign_record_counts_as_absent(tmp_path):
    store = FileStore(tmp_path)
    plan = plan_segment("w", [member("a", b"abc", "w")], ZSTD)
    for content in (b"", b"x" * 100, bytes(16) + b"STAUNSEG",
                    b"{}" + (0).to_bytes(8, "little") + (2).to_bytes(8, "little") + b"STAUNSEG"):  # fmt: skip
        with store.create_file("segment", plan.key) as pending:
            pending.write(content)
        assert find_segment(plan, store) is None
    store.put_record("segment-facts", plan.key, b"[]")
    with pytest.raises(HostError):
        facts(plan, store)


# -- the cut


def test_blocks_are_the_stream(monkeypatch):
    monkeypatch.setattr(segment_module, "HEADERS_BYTES", 2000)
    entries = [
        *(Entry.symlink(f"s{number}", "x") for number in range(20)),
        member("a", noise(1, 2 * BLOCK + 3), "w"),
        member("b", b"", "w"),
        member("c", b"c", "w"),
        *(Entry(f"t{number}", Kind.HARDLINK, 0o644, link="a") for number in range(20)),
    ]
    plan = plan_segment("w", entries, ZSTD)
    cut = blocks(plan)
    assert sum(block.raw_size for block in cut) == plan.raw_size
    assert max(len(block.tail) for block in cut) <= 2000 + 1024
    assert [(block.start, block.size) for block in cut if block.entry == 20] == [
        (0, BLOCK), (BLOCK, BLOCK), (2 * BLOCK, 3),
    ]  # fmt: skip
    assert cut[0].entry == -1


def test_long_header_runs_round_trip(tmp_path, monkeypatch):
    monkeypatch.setattr(segment_module, "HEADERS_BYTES", 2000)
    files = {"a": noise(1, 2 * BLOCK + 3), "b": b"b"}
    entries = [
        *(Entry.symlink(f"s{number}", "x") for number in range(20)),
        *(member(name, data, "w") for name, data in files.items()),
        *(Entry(f"t{number}", Kind.HARDLINK, 0o644, link="a") for number in range(20)),
    ]
    plan = plan_segment("w", entries, ZSTD)
    raw = []
    assert write(FileStore(tmp_path), plan, files, tap=raw.append).in_order
    assert b"".join(raw) == stream(FileStore(tmp_path), plan)
    reverse = dict(reversed(files.items()))
    other = FileStore(tmp_path / "other")
    assert not write(other, plan, reverse).in_order
    assert ordered_frames(other, plan) == ordered_frames(FileStore(tmp_path), plan)

"""Layers: cut by rate of change, exact, cached by what they hold."""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from staunch.adapters.store import FileStore
from staunch.assemble import layers as layers_module
from staunch.assemble.layer_write import write_layers
from staunch.assemble.layers import plan_layers
from staunch.assemble.segment_store import facts
from staunch.errors import SpecError, UntrustedError
from staunch.formats.encoder import encoder
from staunch.formats.stream import inflate
from staunch.model.entry import Entry, Kind
from tests.support.assembly import MemoryReader, build, member, noise, part, small_tree, tree
from tests.support.listing import list_tar

ZSTD = encoder("zstd")


def none(owner: str) -> MemoryReader:
    raise AssertionError(f"{owner} was read")


def raw(store: FileStore, layer) -> bytes:
    blob = store.blob(layer.descriptor.digest)
    form = "zst" if layer.descriptor.media_type.endswith("zstd") else "gz"
    return b"".join(inflate([blob.pread(blob.size, 0)], format=form, max_bytes=1 << 30))


def made(store, given=None, *, code=ZSTD, threads=1):
    assembled, readers = given or small_tree()
    plans = plan_layers(assembled, code)
    return write_layers(plans, readers.__getitem__, store, code, threads=threads)


# -- the cut


def names(entries, parts=()):
    return [plan.name for plan in plan_layers(tree(entries, parts), ZSTD)]


def test_small_tree_is_cut_by_rate_of_change():
    assembled, _ = small_tree()
    cut = {
        plan.name: [segment.owner for segment in plan.segments]
        for plan in plan_layers(assembled, ZSTD)
    }
    assert cut == {
        "foundation": ["deb:libc6"],
        "interpreter": ["deb:python3.13-minimal"],
        "wheels": ["wheel:demo", "pyc:wheel:demo"],
        "system": ["staunch"],
        "app": ["files:0"],
    }


@pytest.mark.parametrize(
    ("id_", "control", "layer"),
    [
        ("deb:libpython3.11-stdlib", b"Package: x\nSource: python3.11\n", "interpreter"),
        ("deb:python3-minimal", b"Source: python3-defaults (3.11)\nPackage: x\n", "interpreter"),
        ("deb:python3.11", b"Package: python3.11\n", "interpreter"),
        ("deb:python3-numpy", b"Package: python3-numpy\nSource: numpy\n", "foundation"),
        ("deb:python3.13-evil", b"Package: x\nSource: evil\nDescription: Source: python3.13\n",
         "foundation"),
        ("deb:libssl3", b"", "foundation"),
        ("files:12", b"", "app"),
        ("staunch", b"", "system"),
        ("wheel:x", b"", "wheels"),
    ],
)  # fmt: skip
def test_where_parts_go(id_, control, layer):
    entries = [Entry.inline("a", b"a", owner=id_), Entry.inline("b", b"b", owner=f"pyc:{id_}")]
    parts = [part(id_, control=control), part(f"pyc:{id_}")]
    assert names(entries, parts) == [layer]


def test_a_giant_wheel_has_its_own_layer_with_its_byte_code(monkeypatch):
    monkeypatch.setattr(layers_module, "GIANT_BYTES", 1000)
    entries = [
        member("t/a", bytes(600), "wheel:torch"),
        member("t/b", bytes(400), "wheel:torch"),
        Entry.inline("t/c.pyc", b"c", owner="pyc:wheel:torch"),
        member("n/a", bytes(999), "wheel:numpy"),
        Entry.inline("x", b"", owner="staunch"),
    ]
    plans = plan_layers(tree(entries), ZSTD)
    assert [plan.name for plan in plans] == ["wheel-torch", "wheels", "system"]
    assert [each.owner for each in plans[0].segments] == ["wheel:torch", "pyc:wheel:torch"]


def test_directories_stand_once_where_they_are_needed(tmp_path):
    assembled, _ = small_tree()
    store = FileStore(tmp_path)
    for layer in made(store).layers:
        lines = list_tar([raw(store, layer)])
        paths = [line.split()[3] for line in lines]
        assert len(paths) == len(set(paths))
        folders = [path for path in paths if path.endswith("/")]
        assert folders == sorted(folders)
        assert paths[: len(folders)] == folders
        for path in paths:
            above = path.rstrip("/").rpartition("/")[0]
            assert not above or above + "/" in folders
    everywhere = {each.path for each in assembled.entries}
    assert "tmp" in everywhere


def test_an_empty_directory_goes_to_its_owner():
    entries = [
        Entry.inline("usr/bin/x", b"", owner="deb:x"),
        Entry.directory("srv/models", mode=0o1777, uid=65532, owner="files:0"),
    ]
    plans = plan_layers(tree(entries), ZSTD)
    assert [(p.name, [d.path for d in p.directories]) for p in plans] == [
        ("foundation", ["usr", "usr/bin"]),
        ("app", ["srv", "srv/models"]),
    ]
    assert plans[1].directories[1].uid == 65532


def test_archive_order_is_the_parts(tmp_path):
    """A giant layer is hashed while it is written: its order is that of the archive."""
    listed = [member(name, b"x", "wheel:a", name=f"m/{name}") for name in ("z", "b", "y", "a")]
    plans = plan_layers(tree(listed, [part("wheel:a", listed)]), ZSTD)
    assert [each.path for each in plans[0].segments[0].entries] == ["z", "b", "y", "a"]


def test_a_missing_directory_is_told():
    assembled = replace(tree([]), entries=(Entry.inline("a/b", b"", owner="staunch"),))
    with pytest.raises(SpecError, match="cannot lay out 'a'"):
        plan_layers(assembled, ZSTD)


# -- the bytes


@pytest.mark.parametrize("name", ["zstd", "gzip"])
def test_digests_and_sizes(tmp_path, name):
    store, code = FileStore(tmp_path), encoder(name)
    for threads in (1, 2):
        for layer in made(store, code=code, threads=threads).layers:
            data = raw(store, layer)
            assert hashlib.sha256(data).hexdigest() == layer.diff_id.hex
            assert len(data) == layer.raw_size
            assert store.blob(layer.descriptor.digest).size == layer.descriptor.size
            assert layer.descriptor.media_type == code.media_type
            assert bool(layer.descriptor.annotations) == (name == "zstd")


def test_both_encodings_have_the_same_diff_ids(tmp_path):
    store = FileStore(tmp_path)
    ids = [
        [layer.diff_id for layer in made(store, code=encoder(name)).layers]
        for name in ("zstd", "gzip")
    ]
    assert ids[0] == ids[1]


def test_same_layers_cold_warm_and_by_any_number_of_threads(tmp_path):
    seen = []
    for threads in (1, 2, 5):
        store = FileStore(tmp_path / str(threads))
        seen.append(made(store, threads=threads).layers)
        shutil.rmtree(store.root / "records/layer")
        seen.append(made(FileStore(store.root), threads=threads).layers)
        shutil.rmtree(store.root / "files")
        shutil.rmtree(store.root / "records")
        seen.append(made(FileStore(store.root), threads=threads).layers)
    assert all(each == seen[0] for each in seen)


def test_an_unchanged_layer_is_never_read(tmp_path):
    """Neither archives nor segments: the layer's record and blob are enough."""
    store = FileStore(tmp_path)
    assembled, _ = small_tree()
    first = made(store)
    assert (first.hits, first.misses) == (0, 6)
    shutil.rmtree(store.root / "files")
    again = write_layers(plan_layers(assembled, ZSTD), none, FileStore(store.root), ZSTD)
    assert (again.layers, again.hits, again.misses) == (first.layers, 6, 0)


def test_one_change_costs_one_segment(tmp_path):
    store = FileStore(tmp_path)
    first = made(store)
    assembled, _ = small_tree()
    changed = [
        Entry.inline("app/main.py", b"print('ho')\n", owner="files:0")
        if each.path == "app/main.py"
        else each
        for each in assembled.entries
    ]
    second = made(store, (replace(assembled, entries=tuple(changed)), {}))
    assert (second.hits, second.misses) == (5, 1)
    assert second.layers[:-1] == first.layers[:-1]
    assert second.layers[-1] != first.layers[-1]


def test_a_lost_or_damaged_layer_is_assembled_from_its_segments(tmp_path):
    store = FileStore(tmp_path)
    first = made(store)
    for damage in ("blob", "record", "lie"):
        digest = first.layers[2].descriptor.digest.hex
        blob = store.root / "blobs/sha256" / digest[:2] / digest
        if damage == "blob":
            blob.write_bytes(blob.read_bytes()[:-1])
        elif damage == "record":
            shutil.rmtree(store.root / "records/layer")
        else:
            for path in (store.root / "records/layer").rglob("?" * 64):
                store.put_record("layer", path.name, b'{"digest": 7}')
        again = write_layers(plan_layers(small_tree()[0], ZSTD), none, FileStore(store.root), ZSTD)
        assert again.layers == first.layers
        assert again.misses == 0


def test_lost_facts_are_gathered_again(tmp_path):
    store = FileStore(tmp_path)
    made(store)
    shutil.rmtree(store.root / "records/segment-facts")
    assembled, readers = small_tree()
    plans = plan_layers(assembled, ZSTD)
    assert write_layers(plans, readers.__getitem__, store, ZSTD).misses == 6
    for plan in plans:
        for segment in plan.segments:
            assert facts(segment, store) == {}


def test_two_parts_with_the_same_content_share_a_segment(tmp_path):
    entries = [Entry.inline("x", b"x", owner="wheel:a")]
    twice = [*entries, Entry.symlink("y", "x", owner="files:0")]
    store = FileStore(tmp_path)
    assert made(store, (tree(entries), {})).misses == 1
    assert made(store, (tree(twice), {})).hits == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_one_bad_payload_ends_the_build(tmp_path, threads):
    assembled, readers = small_tree()
    lying = {**readers, "deb:libc6": MemoryReader({"usr/lib/libc.so.6": noise(9, 5000)})}
    store = FileStore(tmp_path)
    with pytest.raises(UntrustedError, match=r"usr/lib/libc\.so\.6 in deb:libc6"):
        made(store, (assembled, lying), threads=threads)
    assert not list((store.root / "tmp").iterdir())
    assert not list((store.root / "blobs").rglob("?" * 64))
    assert made(store, threads=threads).layers == made(FileStore(tmp_path / "o")).layers


def test_interrupt_leaves_nothing_and_no_threads(tmp_path):
    assembled, readers = small_tree()

    class Interrupting(MemoryReader):
        def payloads(self, wanted):
            yield "usr/lib/libc.so.6", self.stop()

        def stop(self):
            yield b""
            raise KeyboardInterrupt

    store = FileStore(tmp_path)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        made(store, (assembled, {**readers, "deb:libc6": Interrupting({})}), threads=2)
    assert threading.active_count() == before
    assert not list((store.root / "tmp").iterdir())


def test_progress_counts_payload_bytes(tmp_path):
    class Count:
        def __init__(self):
            self.total, self.done, self.open = {}, {}, set()

        def start(self, key, text, total):
            self.total[key] = total
            self.open.add(key)

        def advance(self, key, amount):
            self.done[key] = self.done.get(key, 0) + amount

        def finish(self, key):
            self.open.remove(key)

        def step(self, text):
            raise AssertionError

        note = step

    count = Count()
    assembled, readers = small_tree()
    plans = plan_layers(assembled, ZSTD)
    write_layers(plans, readers.__getitem__, FileStore(tmp_path), ZSTD, progress=count)
    assert count.done == count.total
    assert not count.open


HASHED = """
import sys
from pathlib import Path
from staunch.adapters.store import FileStore
from tests.support.assembly import build
print(build(FileStore(Path(sys.argv[1])), encoding=sys.argv[2], threads=int(sys.argv[3])).manifest.digest)
"""


@pytest.mark.parametrize("name", ["zstd", "gzip"])
def test_same_digest_from_other_processes(tmp_path, name):
    """Other hash seeds, umasks, time zones, locales, folders."""
    wanted = str(build(FileStore(tmp_path / "here"), encoding=name).manifest.digest)
    for number, extra in enumerate(
        [{"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}, {"PYTHONHASHSEED": "2", "LC_ALL": "C"}]
    ):
        umask = os.umask(0o077 if number else 0)
        try:
            done = subprocess.run(
                [sys.executable, "-c", HASHED, tmp_path / f"s{number}", name, str(number + 1)],
                check=True, capture_output=True, text=True, env={**os.environ, **extra},
            )  # fmt: skip
        finally:
            os.umask(umask)
        assert done.stdout.strip() == wanted


def test_hard_links_stay_in_their_segment(tmp_path):
    entries = [
        member("a", b"a", "deb:x"),
        Entry("b", Kind.HARDLINK, 0o644, link="a", owner="deb:y"),
    ]
    with pytest.raises(SpecError, match="cannot lay out what deb:y brings"):
        plan_layers(tree(entries), ZSTD)


def test_few_files_are_open_at_once(tmp_path):
    """An image of hundreds of wheels stays far below the usual limit of 1024 open files."""
    store = FileStore(tmp_path)
    entries = [Entry.inline(f"w/{number}", b"%d" % number, owner=f"wheel:w{number}")
               for number in range(120)]  # fmt: skip
    assert made(store, (tree(entries), {})).misses == 120
    shutil.rmtree(store.root / "records/layer")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, no names
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, hard))
    try:
        assert made(FileStore(tmp_path), (tree(entries), {}), threads=2).hits == 120
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

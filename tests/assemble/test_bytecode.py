"""Byte code, by this host's own Debian Python laid out as if it came from packages."""

from __future__ import annotations

import importlib.util
import marshal
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType

import pytest

from staunch.adapters.runner import ProcessRunner
from staunch.assemble.bytecode import KIND, ByteCode, compile_tree
from staunch.assemble.interpreter import CHECKED, UNCHECKED, Interpreter, Module, interpreter
from staunch.assemble.tree import Tree
from staunch.errors import UndecidedError, UntrustedError
from staunch.model.entry import Slice
from staunch.model.part import Part, PartKind
from staunch.model.spec import Profile
from tests.support.memory_store import MemoryStore
from tests.support.parts import MemoryReader, Shelf
from tests.support.quiet import Quiet

pytestmark = pytest.mark.interop

SITE = "usr/lib/python3/dist-packages"
SOURCES = {
    f"{SITE}/good/__init__.py": b"def f(x):\n    return {'a', 'b', 'c'} & {x, 'long name', 1.5}\n",
    f"{SITE}/good/latin.py": "# -*- coding: koi8-r -*-\nname = 'Привет'\n".encode("koi8-r"),
    f"{SITE}/good/bad.py": b"print 'two'\n",
    f"{SITE}/good/nul.py": b"x = 1\0\n",
    f"{SITE}/good/data.txt": b"no module",
    "usr/share/thing/script.py": b"x = 1\n",
    "usr/lib/python2.7/old.py": b"x = 1\n",
}


@contextmanager
def tools(store: MemoryStore, *, workers: int = 2) -> Iterator[tuple[Interpreter, Shelf]]:
    shelf = Shelf()
    with interpreter(
        shelf.host_python(), shelf.reader_of, store, ProcessRunner(), workers=workers
    ) as made:
        yield made, shelf


def compiled(
    store: MemoryStore,
    sources: dict[str, bytes],
    *,
    workers: int = 2,
    profile: Profile = Profile.INFERENCE,
    kind: PartKind = PartKind.DEB,
    traced: tuple[str, ...] | None = None,
) -> tuple[ByteCode, Part, Interpreter]:
    with tools(store, workers=workers) as (made, shelf):
        part = shelf.add("deb:good", sources, kind=kind)
        result = compile_tree(
            Tree(part.entries),
            [part],
            reader_of=shelf.reader_of,
            interpreter=made,
            store=store,
            profile=profile,
            traced=traced,
            progress=Quiet(),
        )
        return result, part, made


def pyc(store: MemoryStore, result: ByteCode, path: str) -> bytes:
    entry = next(e for e in result.parts[0].entries if e.path == path)
    assert isinstance(entry.body, Slice)
    blob = store.blob(entry.body.blob)
    assert blob is not None
    return blob.pread(entry.size, entry.body.offset)


def test_modules_below_the_path_are_compiled_and_bad_ones_listed() -> None:
    store = MemoryStore()
    result, _, made = compiled(store, SOURCES)
    tag = made.tag
    assert [(e.path, oct(e.mode), e.owner) for e in result.parts[0].entries] == [
        (f"{SITE}/good/__pycache__", "0o755", "pyc:deb:good"),
        (f"{SITE}/good/__pycache__/__init__.{tag}.pyc", "0o644", "pyc:deb:good"),
        (f"{SITE}/good/__pycache__/latin.{tag}.pyc", "0o644", "pyc:deb:good"),
    ]
    assert [s.path for s in result.skipped] == [f"{SITE}/good/bad.py", f"{SITE}/good/nul.py"]
    assert "SyntaxError" in result.skipped[0].why
    assert (result.hits, result.misses) == (0, 1)
    assert result.parts[0].id == "pyc:deb:good"
    assert result.parts[0].kind is PartKind.PACK


@pytest.mark.parametrize(
    ("profile", "flags"), [(Profile.INFERENCE, UNCHECKED), (Profile.TRAINING, CHECKED)]
)
def test_the_file_is_hash_based(profile: Profile, flags: int) -> None:
    """PEP 552: magic number, flags, then the siphash of the source instead of a time."""
    store = MemoryStore()
    result, _, made = compiled(store, SOURCES, profile=profile)
    data = pyc(store, result, f"{SITE}/good/__pycache__/latin.{made.tag}.pyc")
    assert int.from_bytes(data[4:8], "little") == flags
    if made.version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        assert data[:4] == importlib.util.MAGIC_NUMBER
        source = SOURCES[f"{SITE}/good/latin.py"]
        assert data[8:16] == importlib.util.source_hash(source)
        code = marshal.loads(data[16:])
        assert isinstance(code, CodeType)
        assert code.co_filename == f"/{SITE}/good/latin.py"
        assert "Привет" in code.co_consts


def test_the_interpreter_takes_it_for_good(tmp_path: Path) -> None:
    """The real interpreter imports the module from the byte code alone, source gone wrong."""
    store = MemoryStore()
    path = f"{SITE}/probe.py"
    result, _, made = compiled(store, {path: b"answer = 42\n"})
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    name = f"probe.{made.tag}.pyc"
    (cache / name).write_bytes(pyc(store, result, f"{SITE}/__pycache__/{name}"))
    (tmp_path / "probe.py").write_text("raise SystemExit('the source was read')\n")
    done = subprocess.run(
        [f"/usr/bin/python{made.version}", "-B", "-c", "import probe; print(probe.answer)"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("42\n", "")


def test_a_warm_build_compiles_nothing() -> None:
    store = MemoryStore()
    first, _, _ = compiled(store, SOURCES)
    shelf = Shelf()
    parts = shelf.host_python()
    part = shelf.add("deb:good", SOURCES)

    class Never:
        def which(self, program: str) -> None: ...
        def run(self, *_: object, **__: object) -> None: ...
        def start(self, *_: object, **__: object) -> None:
            raise AssertionError("an interpreter was started")

    with interpreter(parts, shelf.reader_of, store, Never()) as made:  # type: ignore[arg-type]
        again = compile_tree(
            Tree(part.entries),
            [part],
            reader_of=lambda _: MemoryReader({}),
            interpreter=made,
            store=store,
            profile=Profile.INFERENCE,
        )
    assert again.parts == first.parts
    assert again.skipped == first.skipped
    assert (again.hits, again.misses) == (1, 0)
    store.blobs.clear()  # the collector took the byte code, the record stayed
    once_more, _, _ = compiled(store, SOURCES)
    assert once_more.parts == first.parts
    assert once_more.misses == 1
    assert {kind for kind, _ in store.records} == {KIND}


def test_other_sources_or_profile_are_other_records() -> None:
    store = MemoryStore()
    compiled(store, SOURCES)
    compiled(store, SOURCES, profile=Profile.TRAINING)
    compiled(store, {**SOURCES, f"{SITE}/good/latin.py": b"x = 2\n"})
    assert len(store.records) == 3


def test_files_of_the_spec_are_compiled_anywhere_and_traced_ones_alone() -> None:
    store = MemoryStore()
    result, _, made = compiled(store, {"app/a.py": b"1\n", "b.py": b"2\n"}, kind=PartKind.FILES)
    assert [e.path for e in result.parts[0].entries] == [
        "app/__pycache__",
        f"app/__pycache__/a.{made.tag}.pyc",
        "__pycache__",
        f"__pycache__/b.{made.tag}.pyc",
    ]
    traced, _, _ = compiled(store, SOURCES, traced=(f"{SITE}/good/latin.py",))
    assert len(traced.parts[0].entries) == 2
    assert not traced.skipped


def test_order_workers_and_hash_seeds_do_not_show() -> None:
    """The same bytes for each module of the standard library, in any order, by any worker."""
    home = next(Path("/usr/lib").glob("python3.*/json")).parent
    files = sorted([*home.glob("json/*.py"), *home.glob("asyncio/*.py"), *home.glob("email/*.py")])
    modules = [Module(str(path)[1:], path.read_bytes()) for path in files]
    seen = []
    for workers in (1, 2, 3):
        random.Random(workers).shuffle(modules)
        with tools(MemoryStore(), workers=workers) as (made, _):
            done = list(made.compile(modules, flags=UNCHECKED))
        assert [each.path for each in done] == [module.path for module in modules]
        seen.append({each.path: each.pyc for each in done})
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) > 50


def test_a_module_that_is_not_what_its_digest_says() -> None:
    store = MemoryStore()
    with tools(store) as (made, shelf):
        part = shelf.add("deb:good", {f"{SITE}/a.py": b"x = 1\n"})
        for payloads, message in (
            ({f"{SITE}/a.py": b"x = 2\n"}, "has changed"),
            ({}, "cannot be read"),
        ):
            with pytest.raises(UntrustedError, match=message):
                compile_tree(
                    part.entries,
                    [part],
                    reader_of=lambda _, p=payloads: MemoryReader(p),  # type: ignore[misc]
                    interpreter=made,
                    store=store,
                    profile=Profile.INFERENCE,
                )
    assert not store.records


def test_tools_that_are_none() -> None:
    shelf = Shelf()
    with (
        pytest.raises(UndecidedError, match="there is no byte compiler"),
        interpreter([], shelf.reader_of, MemoryStore(), ProcessRunner()),
    ):
        pass
    python, libc = shelf.host_python()
    store = MemoryStore()
    with (
        interpreter([python], shelf.reader_of, store, ProcessRunner()) as made,
        pytest.raises(UndecidedError, match="has no ELF loader"),
    ):
        list(made.compile([Module("a.py", b"")], flags=UNCHECKED))
    broken = Shelf()
    entry = python.entries[0]
    broken.add("deb:python-minimal", {entry.path: b"#!/bin/sh\nexit 1\n"})
    broken.put(libc, {e.path: shelf_bytes(shelf, libc.id, e.path) for e in libc.entries})
    with (
        interpreter(broken.parts, broken.reader_of, store, ProcessRunner()) as made,
        pytest.raises(UndecidedError, match="does not start"),
    ):
        list(made.compile([Module("a.py", b"")], flags=UNCHECKED))
    lying = replace(python, entries=(replace(entry, digest=libc.entries[0].digest),))
    with (
        interpreter([lying, libc], shelf.reader_of, store, ProcessRunner()) as made,
        pytest.raises(UntrustedError, match="has changed"),
    ):
        list(made.compile([Module("a.py", b"")], flags=UNCHECKED))


def test_one_interpreter_serves_one_profile() -> None:
    with tools(MemoryStore()) as (made, _):
        list(made.compile([Module("a.py", b"")], flags=UNCHECKED))
        with pytest.raises(UndecidedError, match="cannot compile for two profiles"):
            list(made.compile([Module("a.py", b"")], flags=CHECKED))


def test_a_module_that_fells_the_interpreter_is_named() -> None:
    """A worker that is gone is an error that names the module, never a missing file."""
    with tools(MemoryStore(), workers=1) as (made, _):
        list(made.compile([Module("a.py", b"")], flags=UNCHECKED))
        worker = made._idle.get()
        worker.stop()
        made._idle.put(worker)
        with pytest.raises(UndecidedError, match=r"the byte compiler stopped at b\.py"):
            list(made.compile([Module("b.py", b"")], flags=UNCHECKED))


def shelf_bytes(shelf: Shelf, part_id: str, path: str) -> bytes:
    return b"".join(next(shelf.reader_of(part_id).payloads([path]))[1])

"""A full disk at any step: told in words, nothing half-written, and the next build is right."""

import os
import random
import subprocess
from contextlib import contextmanager

import pytest

from staunch.adapters.store import FileStore
from staunch.errors import HostError
from staunch.publish.archive import write_docker_archive, write_oci_archive
from staunch.publish.layout import write_layout
from staunch.publish.read import open_image
from tests.support.assembly import MemoryReader, build, member, part, tree
from tests.support.tools import need

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount"),
]


@pytest.fixture
def disk(tmp_path):
    """Gives a function that mounts a small file system and grows it."""
    mount, umount = need("mount"), need("umount")

    @contextmanager
    def mounted(size: str):
        folder = tmp_path / "disk"
        folder.mkdir()
        subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)

        def grow(size: str) -> None:
            subprocess.run([mount, "-o", f"remount,size={size}", folder], check=True)

        try:
            yield folder, grow
        finally:
            # lazily: the traceback that pytest keeps still holds files of it
            subprocess.run([umount, "-l", folder], check=True)

    return mounted


def given():
    """Some 3 MB that do not compress, in two parts."""
    source = random.Random(11)
    files = {f"app/{number}": source.randbytes(300_000) for number in range(5)}
    wheel = {f"lib/{number}": source.randbytes(300_000) for number in range(5)}
    entries = [
        *(member(path, data, "files:0") for path, data in files.items()),
        *(member(path, data, "wheel:w") for path, data in wheel.items()),
    ]
    readers = {"files:0": MemoryReader(files), "wheel:w": MemoryReader(wheel)}
    return tree(entries, [part("files:0"), part("wheel:w")]), readers


@pytest.mark.parametrize("size", ["700k", "2m", "4m", "5500k"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_store_fills_up(tmp_path, disk, size, threads):
    """In a segment, in another, while layers are joined: then the same build, the same digest."""
    wanted = build(FileStore(tmp_path / "roomy"), given=given()).manifest.digest
    with disk(size) as (folder, grow):
        store = FileStore(folder / "store")
        with pytest.raises(HostError, match="cannot write") as caught:
            build(store, given=given(), threads=threads)
        assert "No space left" in caught.value.why
        assert not list((store.root / "tmp").iterdir())
        assert FileStore(store.root).verify().removed == ()
        grow("32m")
        assert (
            build(FileStore(store.root), given=given(), threads=threads).manifest.digest == wanted
        )


@pytest.mark.parametrize("form", ["layout", "oci", "docker"])
def test_the_output_fills_up(tmp_path, disk, form):
    store = FileStore(tmp_path / "store")
    image = build(store, given=given())
    write = {"layout": write_layout, "oci": write_oci_archive, "docker": write_docker_archive}[form]
    with disk("1m") as (folder, grow):
        out = folder / "out"
        with pytest.raises(HostError, match="cannot write") as caught:
            write([image], name="demo", tag="x", out=out, store=store)
        assert "No space left" in caught.value.why
        assert list(folder.iterdir()) == []
        grow("16m")
        write([image], name="demo", tag="x", out=out, store=store)
        with open_image(out) as source:
            total = sum(len(piece) for layer in source.image().raw_layers() for piece in layer)
        assert total > 3_000_000

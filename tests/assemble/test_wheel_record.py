"""A wheel planned from the store's record is the wheel planned from its archive."""

from __future__ import annotations

import pytest

from staunch.assemble.rules.registry import early, run
from staunch.assemble.wheel import wheel_part
from staunch.assemble.wheel_record import stored_wheel_part
from staunch.model.spec import Profile
from tests.support.memory_store import MemoryStore
from tests.support.trees import context, image_spec, part
from tests.support.wheels import locked_wheel, make_wheel, verified

FILES = {"demo/__init__.py": b"x = 1\n", "demo/é.bin": b"\0" * 10}


class NoArchive:
    """A blob that must not be read."""

    def __init__(self, size: int) -> None:
        self.size = size

    def pread(self, size: int, offset: int) -> bytes:
        raise AssertionError("the archive was read again")


def test_the_second_time_the_archive_is_not_read():
    data = make_wheel("demo", "1.0", FILES, entry_points="[console_scripts]\ndemo = demo:x\n")
    first, store = verified(data), MemoryStore()
    locked = locked_wheel("demo", "1.0", data)
    wanted = wheel_part(locked, first, python="3.13")
    assert stored_wheel_part(locked, first, store, python="3.13") == wanted
    unread = type(first)(first.digest, NoArchive(len(data)), first.origin)
    assert stored_wheel_part(locked, unread, store, python="3.13") == wanted


def test_another_python_or_another_way_of_asking_is_another_record():
    data = make_wheel("demo", "1.0", FILES, entry_points="[console_scripts]\ndemo = demo:x\n")
    store = MemoryStore()
    for direct in (True, False):
        for python in ("3.11", "3.13"):
            locked = locked_wheel("demo", "1.0", data, direct=direct)
            part = stored_wheel_part(locked, verified(data), store, python=python)
            assert part == wheel_part(locked, verified(data), python=python)


HEADERS = {
    "demo/include/demo/a.h": b"1",
    "demo/include/demo/deep/b.hpp": b"22",
    "demo/include/LICENSE": b"free",
    "demo/both.h": b"333",
    "demo/__init__.py": b"x = 1\n",
    "demo-1.0.data/headers/c.h": b"4444",
}
SITE = "usr/local/lib/python3.13/dist-packages"


@pytest.mark.parametrize("files", [{}, {f"{SITE}/demo/both.h": b"mine"}], ids=["", "one of files:"])
def test_a_wheel_read_without_its_headers_gives_the_same_image(files):
    """By its record or by the rule: the same paths go, folders that get empty with them."""
    data, store = make_wheel("demo", "1.0", HEADERS), MemoryStore()
    locked, spec = locked_wheel("demo", "1.0", data), image_spec()
    own = part("files:0", files).entries
    seen = []
    for leave_out in (None, early(spec), early(spec)):
        wheel = stored_wheel_part(locked, verified(data), store, python="3.13", early=leave_out)
        assert (wheel.left_out is None) == (leave_out is None)
        made = context([wheel], spec)
        for entry in own:
            made.tree.replace(entry)  # as the spec's own files are added
        removed = {each.rule: each for each in run(made)}
        seen.append((made.tree.entries(), removed["headers"].paths))
        if leave_out is not None:
            assert len(wheel.left_out.paths) == 4
            assert wheel.left_out.bytes == 10
    assert seen[0] == seen[1] == seen[2]
    assert f"{SITE}/demo/include/demo" not in {entry.path for entry in seen[0][0]}
    assert f"{SITE}/demo/include/LICENSE" in {entry.path for entry in seen[0][0]}


def test_headers_stay_where_the_spec_may_want_them():
    assert early(image_spec()) is not None
    assert early(image_spec(keep=("*.h",))) is None
    assert early(image_spec(rules=(("headers", False),))) is None
    assert early(image_spec(Profile.TRAINING)) is None

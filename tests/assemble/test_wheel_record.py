"""A wheel planned from the store's record is the wheel planned from its archive."""

from __future__ import annotations

from staunch.assemble.wheel import wheel_part
from staunch.assemble.wheel_record import stored_wheel_part
from tests.support.memory_store import MemoryStore
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

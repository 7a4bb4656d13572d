"""Which blobs of a layout on disk have the right content, without reading them each time.

A file counts as the one that was written, or last found right, as long as device, inode, size and
both its time stamps (mtime, ctime) are the same: a change of its content moves ctime, which nobody
but the kernel sets. What was touched since is read and hashed, and so is everything in a layout
that this store does not know. The store's record is believed because of its owner (DESIGN.md §6).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.ports import Store

__all__ = ["Known"]

_RECORD = "layout"
_TICK_NS = 20 * 10**6  # time stamps of files stand still for 10 ms at most

_State = tuple[int, int, int, int, int]


class Known:
    """The blobs of the layout at ``out``, as ``store`` remembers them."""

    def __init__(self, out: Path, store: Store) -> None:
        """Read what is remembered, if anything."""
        self._blobs, self._store = out / "blobs" / "sha256", store
        where = os.path.abspath(out)  # noqa: PTH100 - resolve() would follow links
        self._key = Digest.of(f"layout/1\0{where}".encode("utf-8", "surrogateescape")).hex
        self._remembered = _parse(store.record(_RECORD, self._key))
        self._states = dict(self._remembered)

    def is_there(self, wanted: Descriptor) -> bool:
        """Whether the layout has exactly that blob."""
        path = self._blobs / wanted.digest.hex
        try:
            status = path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode) or status.st_size != wanted.size:
            return False
        if self._states.get(path.name) == _state(status):
            return True
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != wanted.digest.hex:
                return False
            if _state(os.fstat(file.fileno())) != _state(status):
                return False  # another file by now
        self._states[path.name] = _state(status)
        return True

    def keep(self, blobs: Sequence[Descriptor], written: Collection[Digest]) -> None:
        """Remember the layout's blobs as they are: those ``written`` now, those found right before.

        Those of the last moment are left out: a change within the clock's tick would not show.
        """
        now = time.time_ns()
        states: dict[str, _State] = {}
        for each in blobs:
            name = each.digest.hex
            state = _state((self._blobs / name).lstat())
            right = each.digest in written or self._states.get(name) == state
            if right and now - max(state[3:]) > _TICK_NS:
                states[name] = state
        if states != self._remembered:
            document = {name: states[name] for name in sorted(states)}
            self._store.put_record(_RECORD, self._key, json.dumps(document).encode())


def _state(status: os.stat_result) -> _State:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _parse(data: bytes | None) -> dict[str, _State]:
    if data is None:
        return {}
    try:
        document = json.loads(data)
        return {
            str(name): (int(dev), int(inode), int(size), int(mtime), int(ctime))
            for name, (dev, inode, size, mtime, ctime) in document.items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}

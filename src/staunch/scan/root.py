"""Read a root file system that lies in a folder, as if it were an image of one layer.

Folders are opened by descriptor and never through a link, so nothing outside is read whatever the
links inside say.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from staunch.errors import HostError
from staunch.model.entry import Kind
from staunch.model.inventory import Gap
from staunch.scan.forward import Ranges
from staunch.scan.layers import LayerContents, Looker
from staunch.scan.tree import DEPTH, PATHS, Change, shown

__all__ = ["read_root"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_VIRTUAL = ("proc", "sys", "dev")  # of a running system: not part of what is installed


def read_root(folder: Path, *, watch: Looker) -> LayerContents:
    """What stands below ``folder``; other file systems mounted there are not entered.

    Raises:
        HostError: the folder itself cannot be read. What cannot be read below it is a gap.
    """
    try:
        fd = os.open(folder, _DIRECTORY)
    except OSError as error:
        raise HostError(
            f"cannot read {folder}",
            why=error.strerror or str(error),
            mend="give yourself permission, or name another place",
        ) from error
    reader = _Reader(fd, watch)
    try:
        changes = tuple(reader.below())
    finally:
        os.close(fd)
    return LayerContents(changes, tuple(reader.gaps))


class _Reader:
    def __init__(self, root: int, watch: Looker) -> None:
        self._root, self._watch = root, watch
        self._device = os.fstat(root).st_dev
        self._inodes: dict[int, str] = {}
        self.gaps: list[Gap] = []

    def below(self) -> Iterator[Change]:
        pending = [""]
        count = 0
        while pending:
            path = pending.pop()
            try:
                names = self._names(path)
            except OSError as error:
                self._gap(path, error)
                continue
            for name, status, link in names:
                count += 1
                if count > PATHS:
                    self.gaps.append(
                        Gap("layer", shown(path), f"more than {PATHS} paths; the rest is unread")
                    )
                    return
                inner = f"{path}/{name}" if path else name
                if stat.S_ISDIR(status.st_mode):
                    yield Change(inner, Kind.DIR, stat.S_IMODE(status.st_mode))
                    if status.st_dev != self._device or inner in _VIRTUAL:
                        continue
                    if inner.count("/") < DEPTH:
                        pending.append(inner)
                    else:
                        self.gaps.append(Gap("layer", shown(inner), f"over {DEPTH} parts deep"))
                else:
                    yield self._leaf(inner, status, link)

    def _names(self, path: str) -> list[tuple[str, os.stat_result, str]]:
        fd = self._open(path, _DIRECTORY) if path else os.dup(self._root)
        try:
            found = []
            with os.scandir(fd) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    link = (
                        os.readlink(entry.name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
                    )
                    found.append((entry.name, status, link))
        finally:
            os.close(fd)
        return sorted(found, key=lambda each: each[0])

    def _open(self, path: str, flags: int) -> int:
        """Open a path part by part, so that a link on the way is refused."""
        fd = os.dup(self._root)
        try:
            parts = path.split("/")
            for part in parts[:-1]:
                below = os.open(part, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = below
            return os.open(parts[-1], flags, dir_fd=fd)
        finally:
            os.close(fd)

    def _leaf(self, path: str, status: os.stat_result, link: str) -> Change:
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            return Change(path, Kind.SYMLINK, mode, link=link)
        if not stat.S_ISREG(status.st_mode):
            return Change(path, Kind.FILE, mode, special="a device, FIFO or socket")
        if status.st_nlink > 1:
            first = self._inodes.setdefault(status.st_ino, path)
            if first != path:
                return Change(path, Kind.HARDLINK, mode, link=first)
        change = Change(path, Kind.FILE, mode, status.st_size)
        if status.st_size:
            try:
                with _File(self._open(path, _FILE)) as file:
                    change.content = self._watch.look(path, mode, Ranges(file))
            except OSError as error:
                self._gap(path, error)
        return change

    def _gap(self, path: str, error: OSError) -> None:
        if len(self.gaps) < 1000:
            self.gaps.append(Gap("layer", shown(path), error.strerror or str(error)))


class _File:
    """An open file; ``pread`` is all that is asked of it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._fd, size, offset)

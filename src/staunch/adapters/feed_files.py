"""Files of feeds on disk, opened for reading at any place; folders are walked, links not followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from staunch.errors import HostError, SpecError
from staunch.ports import FeedFile

FILES = 2_000_000


class PathBlob:
    """``ports.Blob`` over a path, opened for each read: a feed may be hundreds of thousands of files."""

    def __init__(self, path: Path, size: int) -> None:
        """Read ``path``, which has ``size`` bytes."""
        self._path, self._size = path, size

    @property
    def size(self) -> int:
        """Length in bytes, as it was found."""
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes from ``offset``."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return os.pread(descriptor, max(0, min(size, self._size - offset)), offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unreadable(self._path, error) from error


class _OpenBlob:
    """The same over a descriptor."""

    def __init__(self, descriptor: int, size: int, path: Path) -> None:
        self._descriptor, self._size, self._path = descriptor, size, path

    @property
    def size(self) -> int:
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._descriptor, max(0, min(size, self._size - offset)), offset)
        except OSError as error:
            raise _unreadable(self._path, error) from error


@contextmanager
def feed_files(
    paths: Sequence[Path], *, max_files: int = FILES
) -> Iterator[tuple[tuple[FeedFile, ...], bool]]:
    """Every file at or below the paths, sorted, and whether a folder was among them.

    Files named by the user are opened once; those of folders for each read. Names that begin with a
    dot are left out below folders.

    Raises:
        SpecError: a path is not there.
        HostError: it cannot be read.
    """
    found: list[FeedFile] = []
    opened: list[int] = []
    folders = False
    try:
        for path in paths:
            if path.is_dir():
                folders = True
                found += _below(path, max_files)
                continue
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                opened.append(descriptor)
                status = os.fstat(descriptor)
            except FileNotFoundError as error:
                raise SpecError(
                    f"no file {path}", why="there is nothing at this path", mend="check the path"
                ) from error
            except OSError as error:
                raise _unreadable(path, error) from error
            if not stat.S_ISREG(status.st_mode):
                raise SpecError(
                    f"cannot read {path}",
                    why="it is neither a file nor a folder",
                    mend="check the path",
                )
            blob = _OpenBlob(descriptor, status.st_size, path)
            found.append(FeedFile(_shown(path.name), blob, _changed(status)))
        if not found:
            raise SpecError(
                f"nothing to import in {', '.join(map(str, paths))}",
                why="there is no file below it",
                mend="check the path",
            )
        yield tuple(found), folders
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _below(folder: Path, max_files: int) -> Iterator[FeedFile]:
    count = 0
    for where, names, files in os.walk(folder):
        names[:] = sorted(each for each in names if not each.startswith("."))
        for name in sorted(each for each in files if not each.startswith(".")):
            path = Path(where, name)
            try:
                status = path.lstat()
            except OSError as error:
                raise _unreadable(path, error) from error
            if not stat.S_ISREG(status.st_mode):
                continue
            count += 1
            if count > max_files:
                raise SpecError(
                    f"too many files below {folder}",
                    why=f"the limit is {max_files:,}",
                    mend="name a smaller folder",
                )
            relative = _shown(path.relative_to(folder).as_posix())
            yield FeedFile(relative, PathBlob(path, status.st_size), _changed(status))


def _shown(name: str) -> str:
    """A name as text: what is no UTF-8 in it cannot be written anywhere."""
    return os.fsencode(name).decode("utf-8", "replace")


def _changed(status: os.stat_result) -> str:
    """The day of the last change: finer, copies of one feed would give databases that differ."""
    return datetime.fromtimestamp(int(status.st_mtime), UTC).strftime("%Y-%m-%dT00:00:00Z")


def _unreadable(path: Path, error: OSError) -> HostError:
    return HostError(
        f"cannot read {path}", why=error.strerror or str(error), mend="check its permissions"
    )

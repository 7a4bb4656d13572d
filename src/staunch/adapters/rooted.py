"""A folder reached by descriptors only: no link in it, and no name given to it, leads out."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from staunch.errors import HostError, UntrustedError
from staunch.model import limits

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a path inside a root, whose leading ``/`` or ``./`` counts for nothing.

    Raises:
        UntrustedError: it holds ``..`` or NUL, or is longer than any path may be.
    """
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts or "\0" in name or len(name.encode("utf-8", "replace")) > limits.PATH_BYTES:
        raise UntrustedError(
            f"unsafe path {name[:200]!r}",
            why="it holds `..` or NUL, or is too long, so it could lead out of the image",
            mend="fetch the image again; if it persists, do not use it",
        )
    return parts


class Rooted:
    """A root folder. Paths are tuples of parts; a link on the way is an error, never followed."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, which must be a real folder."""
        self._root = os.open(path, _DIRECTORY)
        self._last: tuple[tuple[str, ...], int] | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what is open."""
        self._forget()
        os.close(self._root)

    def folder(self, parts: tuple[str, ...]) -> int:
        """A descriptor of that folder, made (0755) where missing; valid until the next call.

        Raises:
            UntrustedError: a link or a file stands on the way.
        """
        if self._last is not None and self._last[0] == parts:
            return self._last[1]
        fd = os.dup(self._root)
        for index, part in enumerate(parts):
            try:
                below = _open_or_make(part, fd)
            except OSError as error:
                if error.errno in _LINK:
                    raise _not_a_folder(parts[: index + 1]) from error
                raise
            finally:
                os.close(fd)
            fd = below
        self._forget()
        self._last = (parts, fd)
        return fd

    def kind(self, parts: tuple[str, ...]) -> int | None:
        """The file type bits (``stat.S_IFMT``) of what stands there, or None."""
        if not parts:
            return stat.S_IFDIR
        try:
            status = os.stat(parts[-1], dir_fd=self.folder(parts[:-1]), follow_symlinks=False)
        except FileNotFoundError:
            return None
        return stat.S_IFMT(status.st_mode)

    def names(self, parts: tuple[str, ...]) -> list[str]:
        """What that folder holds, sorted."""
        with os.scandir(self.folder(parts)) as found:
            return sorted(each.name for each in found)

    def remove(self, parts: tuple[str, ...]) -> bool:
        """Take away whatever stands there, with all below it; whether that was a folder."""
        kind = self.kind(parts)
        if kind is None or not parts:
            return False
        above = self.folder(parts[:-1])
        if kind == stat.S_IFDIR:
            shutil.rmtree(parts[-1], dir_fd=above)  # follows no link
        else:
            os.unlink(parts[-1], dir_fd=above)
        return kind == stat.S_IFDIR

    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        """The regular file at ``path``, cut at ``max_bytes``; None when there is none.

        A link, or a folder that is a link, counts as none.
        """
        parts = parts_of(path)
        fd = os.dup(self._root)
        try:
            for part in parts[:-1]:
                below = os.open(part, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = below
            file = os.open(
                parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd
            )
        except (OSError, IndexError):
            return None
        finally:
            os.close(fd)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            return None
        with os.fdopen(file, "rb") as stream:
            return stream.read(max_bytes)

    def _forget(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None


@contextmanager
def host_errors(doing: str) -> Iterator[None]:
    """Turn what the machine refuses (disk full, no permission) into a HostError."""
    try:
        yield
    except OSError as error:
        raise HostError(
            f"cannot {doing}",
            why=f"{error.strerror or error}: {error.filename or 'the disk'}",
            mend="free space, or point TMPDIR to a place with more and the right permissions",
        ) from error


def remove_tree(path: Path) -> None:
    """Remove a folder of ours, also where its modes forbid it."""
    for folder, below, _ in os.walk(path):
        for each in (Path(folder, name) for name in below):
            with suppress(OSError):
                if not each.is_symlink():  # a link's target is not ours
                    each.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


def _open_or_make(name: str, fd: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=fd)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=fd)
    made = os.open(name, _DIRECTORY, dir_fd=fd)
    os.fchmod(made, 0o755)  # whatever the umask
    return made


def _not_a_folder(parts: tuple[str, ...]) -> UntrustedError:
    return UntrustedError(
        f"/{'/'.join(parts)[:200]} is no folder of the image",
        why="a link or a file stands where a folder must be; following it could lead out",
        mend="fetch the image again; if it persists, do not use it",
    )

"""One file of the store: checked when read, hashed while written, its owner looked at."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import NoReturn

from staunch.errors import HostError, StaunchError, UntrustedError
from staunch.model import limits
from staunch.model.digest import Digest

__all__ = [
    "TRAILER",
    "FileBlob",
    "PendingFile",
    "State",
    "check_owner",
    "content_hash",
    "host",
    "is_wrapped",
    "make_folder",
    "mismatch",
    "state_of",
    "touch",
]

_MAGIC = b"STAUNCH1"
TRAILER = 32 + len(_MAGIC)
_PIECE = limits.MIB
_USED_EVERY_NS = 3600 * 10**9


State = tuple[int, int, int, int, int, str]


def state_of(status: os.stat_result, path: Path) -> State:
    """A file as long as nobody touches it."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        str(path),
    )


class FileBlob:
    """An open file. The descriptor pins the bytes that were, or will be, checked.

    With ``check``, that is called before the first byte is given, once; it raises LostError.
    """

    __slots__ = ("_check", "_fd", "_lock", "_size")

    def __init__(self, fd: int) -> None:
        self._fd, self._size = fd, 0
        self._check: Callable[[], None] | None = None
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Length in bytes, a derived entry's wrapping left out."""
        return self._size

    def settle(self, size: int, check: Callable[[], None] | None) -> None:
        """Set the length, and what is to be called before the first read."""
        self._size, self._check = size, check

    def pread(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes from ``offset``."""
        if self._check is not None:
            with self._lock:
                if self._check is not None:
                    self._check()
                    self._check = None
        with host("read the store"):
            return os.pread(self._fd, max(0, min(size, self._size - offset)), offset)

    def __del__(self) -> None:
        _close(self._fd)


class PendingFile:
    """A file being written, hashed as it grows."""

    def __init__(self, fd: int, path: Path, *, limit: int | None, wanted: Digest | None) -> None:
        self.fd, self.path = fd, path
        self.digest: Digest | None = None
        self._limit, self._wanted = limit, wanted
        self._hash = hashlib.sha256()
        self._size = 0
        self._open = True

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append, hashing."""
        view = memoryview(data).cast("B")
        if self._limit is not None and self._size + len(view) > self._limit:
            raise mismatch(
                self._wanted,
                f"{self._limit} bytes",
                f"{self._size + len(view)} bytes or more",
            )
        self._hash.update(view)
        with host(f"write {self.path}"):
            while view:
                done = os.pwrite(self.fd, view, self._size)
                self._size += done
                view = view[done:]

    def pread(self, size: int, offset: int) -> bytes:
        """Read back what was written."""
        with host(f"read {self.path}"):
            return os.pread(self.fd, max(0, min(size, self._size - offset)), offset)

    def restart(self) -> None:
        """Throw away what was written."""
        with host(f"write {self.path}"):
            os.ftruncate(self.fd, 0)
        self._hash, self._size = hashlib.sha256(), 0

    def hexdigest(self) -> str:
        """The sha256 of what was written so far."""
        return self._hash.hexdigest()

    def resume(self) -> None:
        """Take over what an earlier try left; more than the limit is worthless."""
        with host(f"read {self.path}"):
            size = os.fstat(self.fd).st_size
            if self._limit is not None and size > self._limit:
                self.restart()
                return
            while self._size < size:
                piece = os.pread(self.fd, min(_PIECE, size - self._size), self._size)
                if not piece:
                    break
                self._hash.update(piece)
                self._size += len(piece)

    def seal(self) -> None:
        """Append the digest of the content, for the reader to check."""
        trailer = self._hash.digest() + _MAGIC
        with host(f"write {self.path}"):
            done = 0
            while done < len(trailer):
                done += os.pwrite(self.fd, trailer[done:], self._size + done)

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; it can be closed again."""
        if self._open:
            self._open = False
            os.close(self.fd)


def make_folder(path: Path) -> None:
    """Make a private folder; missing ones above it, too (mkdir's `parents` leaves those to umask)."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def content_hash(fd: int, size: int) -> str:
    """The sha256 of the first ``size`` bytes; shorter files give another digest."""
    state = hashlib.sha256()
    done = 0
    while done < size:
        piece = os.pread(fd, min(_PIECE, size - done), done)
        if not piece:
            break
        state.update(piece)
        done += len(piece)
    return state.hexdigest()


def is_wrapped(fd: int, size: int) -> bool:
    """Whether a derived entry carries the digest of its own content."""
    trailer = os.pread(fd, TRAILER, size - TRAILER)
    if len(trailer) != TRAILER or trailer[32:] != _MAGIC:
        return False
    return content_hash(fd, size - TRAILER) == trailer[:32].hex()


def touch(fd: int, status: os.stat_result) -> os.stat_result:
    """Note that an entry was used (for ``gc``), at most once an hour; its mtime stays."""
    now = time.time_ns()
    if now - status.st_atime_ns > _USED_EVERY_NS:
        try:
            os.utime(fd, ns=(now, status.st_mtime_ns))
        except OSError:
            return status  # a read-only store still serves
        return os.fstat(fd)
    return status


def check_owner(status: os.stat_result, path: Path) -> None:
    """Derived entries are believed because of who wrote them (DESIGN.md §6)."""
    if status.st_uid not in (os.geteuid(), 0):
        raise UntrustedError(
            f"the store entry {path} belongs to another user",
            why=f"wanted owner {os.geteuid()} (or 0), got {status.st_uid}",
            mend=f"remove it, or use a store of your own (`XDG_CACHE_HOME`), or `chown` {path}",
        )
    if status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode):
        raise UntrustedError(
            f"others may write to the store entry {path}",
            why=f"its mode is {stat.S_IMODE(status.st_mode):04o}, wanted 0700 or 0600",
            mend=f"check its content (`staunch store verify`), then `chmod go-w {path}`",
        )


def mismatch(digest: Digest | None, wanted: str, got: str) -> UntrustedError:
    """What is said of a download that is another file than was asked for."""
    return UntrustedError(
        f"the download {str(digest)[:19]}… is not what was promised",
        why=f"wanted {wanted}, got {got}",
        mend="try again; if it persists, try another mirror and report this one",
    )


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return


_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def host(what: str) -> Iterator[None]:
    """Say a failure of the machine in words."""
    try:
        yield
    except StaunchError:
        raise
    except OSError as e:
        _refuse(what, e)


def _refuse(what: str, e: OSError) -> NoReturn:
    if e.errno in _FULL:
        mend = "free some space (`staunch store gc`), or move the store (`XDG_CACHE_HOME`)"
    elif e.errno in _DENIED:
        mend = "give yourself permission, or move the store (`XDG_CACHE_HOME`)"
    elif e.errno == errno.EMFILE:
        mend = "raise the limit of open files (`ulimit -n 4096`)"
    else:
        mend = "check the disk and its file system"
    raise HostError(f"cannot {what}", why=e.strerror or str(e), mend=mend) from e

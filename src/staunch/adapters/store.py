"""The store: content-addressed files that concurrent builds share (DESIGN.md §6).

Layout below the root (all of it 0700/0600, owned by one user)::

    blobs/sha256/ab/<hex>      bytes named by their digest
    files/<kind>/ab/<key>      derived files: content, its sha256, a magic word
    records/<kind>/ab/<key>    small derived records, in the same wrapping
    partial/<hex>              unfinished downloads, kept for the next try
    tmp/                       files being written; each is locked by its writer
    lock                       shared by running builds, exclusive while `gc` removes

Every write goes to ``tmp/``, is synced and renamed, so a reader sees a whole entry or none.
Nothing is believed for being there: content is hashed before its first byte is given (once per
process and state of the file), and a damaged entry is removed and counts as absent. Whether that
happens at once or only when somebody reads is the difference between ``blob`` and ``standing``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from staunch.adapters.store_files import (
    TRAILER,
    FileBlob,
    PendingFile,
    State,
    check_owner,
    content_hash,
    host,
    is_wrapped,
    make_folder,
    mismatch,
    state_of,
    touch,
)
from staunch.errors import HostError, LostError, SpecError, UntrustedError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.ports import Blob, Pending

__all__ = ["FileStore", "StoreReport", "default_root"]

_RECORD_BYTES = 256 * limits.MIB
_TICK_NS = 20 * 10**6  # longer than the time stamps of files stand still (10 ms at most)
_STALE_S = 600.0  # an unlocked temporary file of this age has no writer any more
_PARTIAL_AGE = timedelta(days=7)
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")
_KEY = re.compile(r"[0-9a-f]{64}")
_FOLDERS = ("blobs", "blobs/sha256", "files", "records", "partial", "tmp")


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """``$STAUNCH_STORE``, else ``$XDG_CACHE_HOME/staunch``, else ``~/.cache/staunch``."""
    if chosen := environ.get("STAUNCH_STORE"):
        return Path(chosen)
    cache = environ.get("XDG_CACHE_HOME", "")
    # XDG base directory specification: a relative path is to be ignored
    base = Path(cache) if cache.startswith("/") else _home(environ) / ".cache"
    return base / "staunch"


def _home(environ: Mapping[str, str]) -> Path:
    """``$HOME``, else what the system says of this user (services and cron may set none)."""
    if home := environ.get("HOME"):
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:  # a user id without a name
        return Path("/")


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What ``verify`` or ``gc`` found: entries and bytes seen, and those removed (sorted names)."""

    entries: int
    bytes: int
    removed: tuple[str, ...]
    removed_bytes: int


class FileStore:
    """``ports.Store`` in a folder. Instances are cheap; threads may share one."""

    def __init__(self, root: Path, *, careful: bool = False) -> None:
        """Open the store at ``root``, making it if missing; ``careful`` as ``careful()`` gives it.

        Raises:
            HostError: the folder cannot be made or written.
            UntrustedError: another user owns it, or others may write to it.
        """
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links
        self._careful = careful
        self._seen: set[State] = set()
        self._seen_lock = threading.Lock()
        with host(f"open the store {self.root}"):
            for folder in (self.root, *(self.root / name for name in _FOLDERS)):
                make_folder(folder)
                check_owner(os.stat(folder), folder)  # noqa: PTH116 - Path.stat, said with lstat
            check_owner(os.lstat(self.root), self.root)
        self._sweep()

    # -- blobs

    def blob(self, digest: Digest) -> Blob | None:
        """The blob, hashed now (or earlier by this process in the same state), or None."""
        path = self._blob_path(digest)
        return self._open(path, lambda fd, size: content_hash(fd, size) == digest.hex, trailer=0)

    def standing(self, digest: Digest, size: int | None = None) -> Blob | None:
        """The blob, if a file of that name and size is there; hashed when it is first read.

        What is never read is never hashed: an unchanged layer costs one look at its folder.
        """
        if self._careful:
            return self.blob(digest)
        path = self._blob_path(digest)
        return self._open(
            path,
            lambda fd, size: content_hash(fd, size) == digest.hex,
            trailer=0,
            wanted=size,
            late=True,
        )

    def careful(self) -> FileStore:
        """The same store, with everything hashed as soon as it is asked for."""
        return FileStore(self.root, careful=True)

    def put(self, data: bytes) -> Digest:
        """Store small bytes as a blob, unless they are there."""
        digest = Digest.of(data)
        if self.blob(digest) is None:
            with self.create() as pending:
                pending.write(data)
        return digest

    @contextmanager
    def create(self) -> Iterator[Pending]:
        """Write a new blob; leaving the context normally commits it."""
        with self._temporary() as pending:
            yield pending
            self._commit(pending, self._blob_path(Digest(pending.hexdigest())))

    def digest_of(self, pending: Pending) -> Digest:
        """The digest of a committed ``Pending``."""
        if not isinstance(pending, PendingFile) or pending.digest is None:
            raise SpecError(
                "this file has no digest yet",
                why="it was not committed to the store",
                mend="leave its context first",
            )
        return pending.digest

    @contextmanager
    def download(self, digest: Digest, size: int | None) -> Iterator[Pending]:
        """Write a blob whose digest is known, going on where an earlier try ended.

        One writer at a time has the partial file; a second one, in this or another process, writes
        a temporary file of its own, so that none waits for a stuck one.
        """
        partial = self.root / "partial" / digest.hex
        opened = self._open_partial(partial)
        if opened is None:
            with self._temporary(limit=size, wanted=digest) as pending:
                yield pending
                self._settle(pending, digest, size)
            return
        pending = PendingFile(opened, partial, limit=size, wanted=digest)
        try:
            pending.resume()
            yield pending
            self._settle(pending, digest, size)
        except UntrustedError:
            pending.discard()
            raise
        finally:
            pending.close()

    def _settle(self, pending: PendingFile, digest: Digest, size: int | None) -> None:
        """Steps 1 size, 2 digest, 3 visible. What fails them never becomes visible."""
        if size is not None and pending.size != size:
            raise mismatch(digest, f"{size} bytes", f"{pending.size} bytes")
        got = pending.hexdigest()
        if got != digest.hex:
            raise mismatch(digest, str(digest), f"sha256:{got} ({pending.size} bytes)")
        self._commit(pending, self._blob_path(digest))

    def _open_partial(self, path: Path) -> int | None:
        """The partial file, locked, or None while another writer has it."""
        with host(f"write {path}"):
            while True:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(fd)
                    return None
                except BaseException:
                    os.close(fd)
                    raise
                try:
                    # between open and lock the earlier writer may have moved it away
                    current = os.lstat(path)
                except FileNotFoundError:
                    current = None
                if current is not None and os.path.samestat(current, os.fstat(fd)):
                    return fd
                os.close(fd)

    # -- derived files and records

    def file(self, kind: str, key: str) -> Blob | None:
        """A derived file, checked now, or None."""
        return self._open(self._derived_path("files", kind, key), is_wrapped, trailer=TRAILER)

    @contextmanager
    def create_file(self, kind: str, key: str) -> Iterator[Pending]:
        """Write a derived file; leaving the context normally commits it."""
        path = self._derived_path("files", kind, key)
        with self._temporary() as pending:
            yield pending
            pending.seal()
            self._commit(pending, path)

    def record(self, kind: str, key: str) -> bytes | None:
        """A small derived record, checked now, or None."""
        path = self._derived_path("records", kind, key)
        found = self._open(path, is_wrapped, trailer=TRAILER, max_bytes=_RECORD_BYTES)
        return None if found is None else found.pread(found.size, 0)

    def put_record(self, kind: str, key: str, data: bytes) -> None:
        """Keep a small derived record."""
        if len(data) > _RECORD_BYTES:
            raise SpecError(
                f"the {kind} record is too large",
                why=f"it has {len(data)} bytes; the limit is {_RECORD_BYTES}",
                mend="split the package or folder it describes",
            )
        path = self._derived_path("records", kind, key)
        with self._temporary() as pending:
            pending.write(data)
            pending.seal()
            self._commit(pending, path)

    # -- house-keeping

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold the store for a build: ``gc`` waits outside while any session lasts."""
        with self._lock(fcntl.LOCK_SH):
            yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private folder on the store's file system, removed on leaving."""
        path = self.root / "tmp" / f"d-{secrets.token_hex(12)}"
        with host(f"write {path}"):
            path.mkdir(mode=0o700)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(fd)

    def verify(self) -> StoreReport:
        """Hash every entry; damaged ones are removed and named."""
        entries = total = lost = 0
        removed = []
        for path in self._entries():
            name = path.relative_to(self.root).as_posix()
            with host(f"read {path}"):
                try:
                    size = path.lstat().st_size
                except FileNotFoundError:
                    continue  # a build or gc was quicker
            entries += 1
            total += size
            self._forget()
            if self._recheck(path) is None and not path.exists():
                removed.append(name)
                lost += size
        return StoreReport(entries, total, tuple(removed), lost)

    def gc(self, *, max_age: timedelta | None = None, max_bytes: int | None = None) -> StoreReport:
        """Remove entries unused for ``max_age``, then the longest unused above ``max_bytes``.

        Left-overs of killed builds go, too. Unfinished downloads stay for a week.

        Raises:
            HostError: a build is running.
        """
        with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB), host(f"clean the store {self.root}"):
            now = time.time()
            self._sweep(stale_s=0.0)
            self._drop_partials(now)
            found = sorted(
                (status.st_atime, path.relative_to(self.root).as_posix(), status.st_size)
                for path in self._entries()
                for status in (path.lstat(),)
            )
            total = sum(size for _, _, size in found)
            kept, removed, lost = total, [], 0
            for used, name, size in found:
                old = max_age is not None and now - used > max_age.total_seconds()
                if not old and (max_bytes is None or kept <= max_bytes):
                    continue
                (self.root / name).unlink(missing_ok=True)
                removed.append(name)
                kept -= size
                lost += size
        return StoreReport(len(found), total, tuple(sorted(removed)), lost)

    # -- inside

    def _blob_path(self, digest: Digest) -> Path:
        return self.root / "blobs" / "sha256" / digest.hex[:2] / digest.hex

    def _derived_path(self, shelf: str, kind: str, key: str) -> Path:
        if not _KIND.fullmatch(kind) or not _KEY.fullmatch(key):
            raise SpecError(
                f"no store entry can be called {kind[:40]!r}/{key[:80]!r}",
                why="a kind is a short lower-case word, a key 64 hexadecimal digits",
                mend="report this at the project's issue tracker",
            )
        return self.root / shelf / kind / key[:2] / key

    def _entries(self) -> Iterator[Path]:
        """Every blob, file and record, sorted."""
        for shelf in ("blobs", "files", "records"):
            yield from sorted(
                path for path in (self.root / shelf).glob("*/*/*") if _KEY.fullmatch(path.name)
            )

    def _recheck(self, path: Path) -> Blob | None:
        if path.is_relative_to(self.root / "blobs"):
            return self.blob(Digest(path.name))
        return self._open(path, is_wrapped, trailer=TRAILER)

    def _forget(self) -> None:
        with self._seen_lock:
            self._seen.clear()

    def _open(
        self,
        path: Path,
        check: Callable[[int, int], bool],
        *,
        trailer: int,
        max_bytes: int | None = None,
        wanted: int | None = None,
        late: bool = False,
    ) -> Blob | None:
        """Open and check an entry; a damaged one is removed and counts as absent.

        ``late`` leaves the check of the content to the first read.
        """
        with host(f"read {path}"):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                return None
            except OSError as e:
                if e.errno != errno.ELOOP:
                    raise
                path.unlink(missing_ok=True)  # a symbolic link is no entry
                return None
            blob = FileBlob(fd)  # owns the descriptor from here on
            status = os.fstat(fd)
            check_owner(status, path)
            status = touch(fd, status)
            size = status.st_size - trailer
            fits = stat.S_ISREG(status.st_mode) and 0 <= size <= (max_bytes or size)
            fits = fits and (wanted is None or size == wanted)
            known = fits and self._is_seen(status, path)
            if late and fits and not known:
                blob.settle(size, lambda: self._check_late(path, fd, status, check))
                return blob
            if not known and not (fits and check(fd, status.st_size)):
                self._remove_damaged(path, status)
                return None
            self._see(status, path)
            blob.settle(size, None)
        return blob

    def _check_late(
        self, path: Path, fd: int, status: os.stat_result, check: Callable[[int, int], bool]
    ) -> None:
        """Before the first read: nothing unchecked leaves the store."""
        if self._is_seen(status, path):
            return
        with host(f"read {path}"):
            if not check(fd, status.st_size):
                self._remove_damaged(path, status)
                raise LostError(
                    f"the store entry {path.name[:19]}… is damaged",
                    why="its content is not what its name says; it was removed",
                    mend="try again; if it persists, run `staunch store verify` and check the disk",
                )
        self._see(status, path)

    def _is_seen(self, status: os.stat_result, path: Path) -> bool:
        with self._seen_lock:
            return state_of(status, path) in self._seen

    def _see(self, status: os.stat_result, path: Path) -> None:
        with self._seen_lock:
            self._seen.add(state_of(status, path))

    def _remove_damaged(self, path: Path, status: os.stat_result) -> None:
        """Remove just the file that was found damaged, not a good one put there meanwhile."""
        try:
            if os.path.samestat(os.lstat(path), status):
                if stat.S_ISDIR(status.st_mode):
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except FileNotFoundError:
            return

    @contextmanager
    def _temporary(
        self, *, limit: int | None = None, wanted: Digest | None = None
    ) -> Iterator[PendingFile]:
        path = self.root / "tmp" / f"f-{secrets.token_hex(12)}"
        with host(f"write {path}"):
            fd = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
            fcntl.flock(fd, fcntl.LOCK_EX)
        pending = PendingFile(fd, path, limit=limit, wanted=wanted)
        try:
            yield pending
        finally:
            if pending.digest is None:
                pending.discard()
            pending.close()

    def _commit(self, pending: PendingFile, target: Path) -> None:
        """Sync and rename: whole, or absent.

        The folder is not synced: a rename that a power cut undoes leaves an entry that is absent.
        """
        with host(f"write {target}"):
            make_folder(target.parent)
            os.fchmod(pending.fd, 0o600)
            os.fsync(pending.fd)
            pending.path.rename(target)
            # what was written a moment ago could be changed again within the clock's tick, unseen
            status = os.fstat(pending.fd)
            if time.time_ns() - status.st_mtime_ns > _TICK_NS:
                self._see(status, target)
        pending.digest = Digest(pending.hexdigest())

    @contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        path = self.root / "lock"
        with host(f"lock the store {self.root}"):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, how)
            except BlockingIOError:
                os.close(fd)
                raise HostError(
                    f"cannot clean the store {self.root}",
                    why="a build is using it",
                    mend="wait for the build to end, then try again",
                ) from None
            except BaseException:
                os.close(fd)
                raise
        try:
            yield
        finally:
            os.close(fd)

    def _sweep(self, *, stale_s: float = _STALE_S) -> None:
        """Remove what killed builds left in ``tmp/``: old enough, and locked by no one."""
        oldest = time.time() - stale_s
        with host(f"clean {self.root / 'tmp'}"):
            for entry in sorted(os.scandir(self.root / "tmp"), key=lambda each: each.name):
                try:
                    if entry.stat(follow_symlinks=False).st_mtime > oldest:
                        continue
                    fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                except OSError:
                    continue  # gone, or not ours to judge
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                else:
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        Path(entry.path).unlink(missing_ok=True)
                finally:
                    os.close(fd)

    def _drop_partials(self, now: float) -> None:
        for path in sorted((self.root / "partial").iterdir()):
            if now - path.lstat().st_mtime > _PARTIAL_AGE.total_seconds():
                path.unlink(missing_ok=True)

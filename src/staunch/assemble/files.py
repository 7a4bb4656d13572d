"""The spec's ``files:``: host files and folders as parts of the image.

What counts is names, bytes and the executable bit; owners, times, other mode bits, hard links and
extended attributes of the host do not, so the same content gives the same image anywhere. Owner and
mode are what the spec says. A file whose text stands in the spec is not read from anywhere.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from staunch.assemble.globs import matcher
from staunch.errors import HostError, SpecError, UntrustedError
from staunch.formats.dockerignore import DockerIgnore
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Inline, Kind, Member
from staunch.model.part import Part, PartKind
from staunch.model.spec import FilesSpec

LEFT_OUT = ("__pycache__", ".git", ".hg", ".svn", ".DS_Store")
"""Never copied: byte code is made anew, and a repository's history is no part of an application."""

_PIECE = limits.MIB
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def files_parts(files: Sequence[FilesSpec]) -> tuple[Part, ...]:
    """One part for each item of ``files:``, ids ``files:0``, ``files:1``, …; reads every byte once.

    A folder's content lands below the target; a file lands at the target, or in it when that ends
    in a slash. Directories are 0755, files what the spec says, else 0755 or 0644 by the owner's
    executable bit.

    Raises:
        SpecError: no such source, a link that leads out of the source or in a circle, a device,
            FIFO or socket, a name that is not UTF-8.
        HostError: the host does not let us read.
    """
    return tuple(_part(index, each) for index, each in enumerate(files))


def files_digest(parts: Iterable[Part]) -> Digest:
    """One digest over all ``files:``: paths, kinds, executable bits, contents and links."""
    listing = hashlib.sha256()
    for part in parts:
        for entry in part.entries:
            fields = (part.id, entry.path, entry.kind.value, f"{entry.mode:o}")
            line = "\0".join((*fields, str(entry.digest or ""), entry.link))
            listing.update(line.encode() + b"\n")
    return Digest(listing.hexdigest())


class FilesReader:
    """Reads the payloads of a ``files:`` part again; never follows a link below the source.

    What changed since is found by whoever checks digests (the segment writer, ``Payloads``).
    """

    def __init__(self, spec: FilesSpec) -> None:
        """Read from ``spec.source``; a file written out in the spec has nothing to read."""
        self._source = spec.source or Path("/nonexistent")

    def payloads(self, wanted: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Name and pieces of each wanted member, sorted by name.

        Raises:
            UntrustedError: a file has gone or become something else since it was listed.
            HostError: the host does not let us read.
        """
        for name in sorted(set(wanted)):
            with _opened(self._source, name) as handle:
                if handle is None:
                    raise _has_changed(self._source / name)
                yield name, _pieces(handle, self._source / name)


def _part(index: int, spec: FilesSpec) -> Part:
    owner = f"files:{index}"
    where = f"files[{index}].from ({spec.place})"
    entries = [_owned(each, spec) for each in _entries(index, spec, owner, where)]
    part = Part(owner, PartKind.FILES, str(index), "", entries=tuple(entries))
    size = sum(entry.size for entry in entries)
    digest = files_digest((part,))
    return Part(owner, PartKind.FILES, str(index), "", None, digest, size, (), part.entries)


def _entries(index: int, spec: FilesSpec, owner: str, where: str) -> list[Entry]:
    if spec.source is None:
        data = spec.content or b""
        target = _target(spec, "", where=f"files[{index}].to ({spec.place})")
        return [
            Entry(
                target, Kind.FILE, 0o644, 0, 0, len(data), Digest.of(data), "", Inline(data), owner
            )
        ]
    try:
        mode = spec.source.stat().st_mode
    except FileNotFoundError as error:
        raise SpecError(
            f"{where}: there is no {spec.source}",
            why="`files:` copies what stands on this machine",
            mend="correct the path; it is relative to the folder of the spec",
        ) from error
    except OSError as error:
        raise _unreadable(spec.source, error) from error
    if stat.S_ISDIR(mode):
        ignore = DockerIgnore(spec.ignore)
        left_out = _Excluded(
            matcher((*LEFT_OUT, *spec.exclude), what=f"files[{index}].exclude"), ignore, spec.inner
        )
        found = _folder(spec.source, _target(spec, None, where=where), owner, left_out, where)
        if not any(entry.kind is not Kind.DIR for entry in found) and (spec.exclude or ignore):
            raise SpecError(
                f"{where}: nothing of {spec.source} is left",
                why="`exclude:` and `.dockerignore` leave out every file of it",
                mend="take the pattern back that fits everything, or drop this item of `files:`",
            )
        return found
    if not stat.S_ISREG(mode):
        raise _special(spec.source, mode, where)
    target = _target(spec, spec.source.name, where=where)
    return [_file(spec.source, "", target, owner, where)]


def _owned(entry: Entry, spec: FilesSpec) -> Entry:
    """With owner and mode as the spec says; the top folder, too, is the spec's own."""
    uid, gid = spec.owner
    mode = spec.mode if entry.kind is Kind.FILE and spec.mode is not None else entry.mode
    return replace(entry, uid=uid, gid=gid, mode=mode)


@dataclass(frozen=True, slots=True)
class _Excluded:
    """What stays out of a folder: the spec's globs, and the context's ``.dockerignore``."""

    globs: Callable[[str], bool]
    ignore: DockerIgnore
    inner: str

    def __call__(self, path: str, *, is_folder: bool) -> bool:
        """Whether to pass by; a folder of which something may be taken in again is looked through."""
        if self.globs(path):
            return True
        left_out = bool(self.ignore) and self.ignore.leaves_out(f"{self.inner}/{path}".strip("/"))
        return left_out and not (is_folder and self.ignore.takes_in_again)


def _target(spec: FilesSpec, name: str | None, *, where: str) -> str:
    """Where it lands; ``name`` is that of a file, None for a folder."""
    target = spec.target.strip("/")
    if name is not None and (spec.target.endswith("/") or not target):
        target = f"{target}/{name}".strip("/")
    if name is not None and not target:
        raise SpecError(
            f"{where}: {spec.target!r} names no file",
            why="the text of `content:` needs a file to stand in",
            mend="write the whole path, such as `/etc/app.conf`",
        )
    if any(name in ("", ".", "..") for name in target.split("/")) and target:
        raise SpecError(
            f"{where}: the target {spec.target!r} is no path of an image",
            why="its parts may not be empty, `.` or `..`",
            mend="write an absolute path such as `/app`",
        )
    return target


def _folder(source: Path, target: str, owner: str, excluded: _Excluded, where: str) -> list[Entry]:
    entries: list[Entry] = [Entry.directory(target, owner=owner)] if target else []
    links: dict[str, str] = {}
    todo = [""]
    while todo:
        folder = todo.pop()
        for name, mode, link in _listing(source, folder):
            inner = f"{folder}/{name}" if folder else name
            if excluded(inner, is_folder=stat.S_ISDIR(mode)):
                continue
            _check_name(inner, where)
            path = f"{target}/{inner}" if target else inner
            if stat.S_ISDIR(mode):
                entries.append(Entry.directory(path, owner=owner))
                todo.append(inner)
            elif stat.S_ISLNK(mode):
                links[inner] = link
                entries.append(Entry.symlink(path, link, owner=owner))
            elif stat.S_ISREG(mode):
                entries.append(_file(source, inner, path, owner, where))
            else:
                raise _special(source / inner, mode, where)
            if len(entries) > limits.MEMBERS:
                raise SpecError(
                    f"{where}: {source} holds more than {limits.MEMBERS} files",
                    why="that is the limit for one item of `files:`",
                    mend="leave folders out with `exclude:`",
                )
    for inner in sorted(links):
        _check_link(inner, links, source, where)
    return _without_hollow(entries, excluded, target)


def _without_hollow(entries: list[Entry], excluded: _Excluded, target: str) -> list[Entry]:
    """Sorted; folders that are left out, and in which nothing was taken in again, go."""
    needed = set[str]()
    for entry in entries:
        if entry.kind is not Kind.DIR:
            at = entry.path
            while (at := at.rpartition("/")[0]) and at not in needed:
                needed.add(at)
    top = f"{target}/" if target else ""
    return sorted(
        (
            entry
            for entry in entries
            if entry.kind is not Kind.DIR
            or entry.path in needed
            or entry.path == target
            or not excluded(entry.path.removeprefix(top), is_folder=False)
        ),
        key=lambda entry: entry.path,
    )


def _listing(source: Path, folder: str) -> list[tuple[str, int, str]]:
    """Name, mode and link target of what lies in a folder of ``source``; links are not followed."""
    here = source / folder
    found: list[tuple[str, int, str]] = []
    try:
        with os.scandir(here) as items:
            for item in items:
                mode = item.stat(follow_symlinks=False).st_mode
                # os.readlink, not Path.readlink: the text must stay as it is (`./x`, `x/`).
                link = os.readlink(item.path) if stat.S_ISLNK(mode) else ""  # noqa: PTH115
                found.append((item.name, mode, link))
    except OSError as error:
        raise _unreadable(here, error) from error
    return found


def _file(source: Path, inner: str, path: str, owner: str, where: str) -> Entry:
    with _opened(source, inner) as handle:
        if handle is None:
            raise _has_changed(source / inner)
        mode = os.fstat(handle).st_mode
        size = 0
        digest = hashlib.sha256()
        for piece in _pieces(handle, source / inner):
            size += len(piece)
            digest.update(piece)
    return Entry(
        path,
        Kind.FILE,
        0o755 if mode & stat.S_IXUSR else 0o644,
        size=size,
        digest=Digest(digest.hexdigest()),
        body=Member(inner),
        owner=owner,
    )


@contextmanager
def _opened(source: Path, inner: str) -> Iterator[int | None]:
    """A regular file below ``source`` (which may be a link itself), by its handle; else None."""
    handle = _open(source, inner)
    try:
        yield handle if stat.S_ISREG(os.fstat(handle).st_mode) else None
    finally:
        os.close(handle)


def _open(source: Path, inner: str) -> int:
    """Open folder by folder, so that no link below ``source`` is ever followed."""
    names = inner.split("/") if inner else []
    at = -1
    try:
        at = os.open(source, _OPEN)
        for index, name in enumerate(names):
            folder = os.O_DIRECTORY if index < len(names) - 1 else 0
            below = os.open(name, _OPEN | os.O_NOFOLLOW | folder, dir_fd=at)
            os.close(at)
            at = below
    except OSError as error:
        if at >= 0:
            os.close(at)
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            raise _unreadable(source / inner, error) from error
        raise _has_changed(source / inner) from error
    return at


def _has_changed(path: Path) -> UntrustedError:
    return UntrustedError(
        f"{path} has changed while the image was built",
        why="it was a regular file a moment ago, and is none now",
        mend="build again when nothing writes to that folder",
    )


def _pieces(handle: int, path: Path) -> Iterator[bytes]:
    offset = 0
    while True:
        try:
            piece = os.pread(handle, _PIECE, offset)
        except OSError as error:
            raise _unreadable(path, error) from error
        if not piece:
            return
        offset += len(piece)
        if offset > limits.MEMBER_BYTES:
            raise SpecError(
                f"{path} is larger than {limits.MEMBER_BYTES} bytes",
                why="that is the limit for one file of an image",
                mend="mount such data when the image runs, or leave it out with `exclude:`",
            )
        yield piece


def _check_name(inner: str, where: str) -> None:
    try:
        encoded = inner.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(inner).decode("utf-8", "backslashreplace")
        raise SpecError(
            f"{where}: the name {shown} is not UTF-8",
            why="OCI layers and SBOMs hold names as UTF-8 text",
            mend="rename the file, or leave it out with `exclude:`",
        ) from error
    if len(encoded) > limits.PATH_BYTES:
        raise SpecError(
            f"{where}: the path {inner[:100]}… is {len(encoded)} bytes long",
            why=f"{limits.PATH_BYTES} is the limit",
            mend="shorten it, or leave it out with `exclude:`",
        )


def _check_link(inner: str, links: dict[str, str], source: Path, where: str) -> None:
    """Follow one link lexically, through the other links of the folder; it may dangle inside."""
    todo = list(reversed(inner.split("/")))
    at: list[str] = []
    depth = 0
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not at:
                raise _leads_out(inner, links, source, where)
            at.pop()
            continue
        at.append(name)
        link = links.get("/".join(at))
        if link is None:
            continue
        depth += 1
        if depth > limits.LINK_DEPTH:
            raise SpecError(
                f"{where}: the link {source / inner} runs in a circle",
                why=f"more than {limits.LINK_DEPTH} links were followed; it points to "
                f"{links[inner]}",
                mend="remove the link, or leave it out with `exclude:`",
            )
        if link.startswith("/"):
            raise _leads_out(inner, links, source, where)
        at.pop()
        todo.extend(reversed(link.split("/")))


def _leads_out(inner: str, links: dict[str, str], source: Path, where: str) -> SpecError:
    return SpecError(
        f"{where}: the link {source / inner} leads out of {source}",
        why=f"it points to {links[inner]}, which is not copied into the image",
        mend="make it a relative link inside the folder, or a copy; or leave it out with `exclude:`",
    )


def _special(path: Path, mode: int, where: str) -> SpecError:
    kinds = (
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    )
    kind = next((name for test, name in kinds if test(mode)), "no regular file")
    return SpecError(
        f"{where}: {path} is {kind}",
        why="an image holds files, folders and links only",
        mend="remove it, or leave it out with `exclude:`",
    )


def _unreadable(path: Path, error: OSError) -> HostError:
    return HostError(
        f"cannot read {path}",
        why=error.strerror or str(error),
        mend="give yourself permission to read it, or leave it out with `exclude:`",
    )

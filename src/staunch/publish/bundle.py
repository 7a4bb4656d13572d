"""Air-gap bundles in one file: written as a stream, checked whole before anything is used.

Steps of ``open_bundle``:

1. The first member is ``bundle.json``, the second ``bundle.sig``; both are limited.
2. The caller's check of the signature over ``bundle.json`` comes before its contents are believed.
3. Each further member is exactly the next blob that ``bundle.json`` lists, of its size and digest.
4. Nothing follows.

What is read later is hashed again, so a file that is changed meanwhile is noticed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from staunch.errors import HostError, SpecError, UntrustedError
from staunch.formats import bundle, oci, tarheader
from staunch.formats.bundle import Contents
from staunch.formats.stream import blob_chunks
from staunch.formats.tar import TarMember, read_tar
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind
from staunch.model.image import Descriptor
from staunch.ports import Blob, Referrer
from staunch.publish.layout import beside, host, sweep, sync_folder, write_all

__all__ = ["OpenedBundle", "open_bundle", "write_bundle"]

SIGNATURE_BYTES = 1 << 20
_MEND = "get the bundle again from where it was made"


def write_bundle(
    out: Path,
    contents: Contents,
    signature: bytes,
    open_blob: Callable[[Digest], AbstractContextManager[Iterator[bytes]]],
) -> None:
    """Write the bundle; it appears at ``out`` when it is whole.

    Args:
        out: the file; one that is there is replaced.
        contents: what goes in.
        signature: the sigstore bundle about ``format_contents(contents)``.
        open_blob: gives each blob once, in the order of ``contents.blobs``.

    Raises:
        UntrustedError: a blob is not what its digest says.
        HostError: it cannot be written.
    """
    if out.is_dir():
        raise SpecError(
            f"will not overwrite {out}", why="it is a directory", mend="name a file with `-o`"
        )
    with host(f"write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out)
        temporary = beside(out)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _member(fd, bundle.CONTENTS, bundle.format_contents(contents))
            _member(fd, bundle.SIGNATURE, signature)
            for digest, size in contents.blobs:
                with open_blob(digest) as pieces:
                    _blob(fd, digest, size, pieces)
            write_all(fd, tarheader.END)
            os.fsync(fd)
            temporary.rename(out)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        sync_folder(out.parent)


def _member(fd: int, path: str, data: bytes) -> None:
    write_all(fd, tarheader.header(Entry(path, Kind.FILE, 0o644, size=len(data))))
    write_all(fd, data)
    write_all(fd, tarheader.padding(len(data)))


def _blob(fd: int, digest: Digest, size: int, pieces: Iterable[bytes]) -> None:
    write_all(fd, tarheader.header(Entry(bundle.blob_path(digest), Kind.FILE, 0o644, size=size)))
    hashed, written = hashlib.sha256(), 0
    for piece in pieces:
        hashed.update(piece)
        written += len(piece)
        if written > size:
            break
        write_all(fd, piece)
    if written != size or hashed.hexdigest() != digest.hex:
        raise UntrustedError(
            f"{digest} is not what it promises",
            why=f"wanted {size:,} bytes, got {written:,} bytes of sha256:{hashed.hexdigest()}",
            mend="fetch the image again, or run `staunch store verify`",
        )
    write_all(fd, tarheader.padding(size))


@dataclass(frozen=True, slots=True)
class OpenedBundle:
    """A bundle whose signature and bytes were checked; valid until its context is left."""

    path: Path
    contents: Contents
    _file: _File
    _places: Mapping[Digest, tuple[int, int]]  # offset and size

    def read(self, digest: Digest, *, max_bytes: int) -> bytes:
        """A small blob whole, hashed again.

        Raises:
            UntrustedError: it is larger than ``max_bytes``, or was changed since.
        """
        offset, size = self._places[digest]
        if size > max_bytes:
            _refuse(self.path, f"{digest} has {size:,} bytes; the limit is {max_bytes:,}")
        data = self._file.pread(size, offset)
        if Digest.of(data) != digest:
            _refuse(self.path, f"it was changed: wanted {digest}, got {Digest.of(data)}")
        return data

    def pieces(self, digest: Digest) -> Iterator[bytes]:
        """A blob in pieces, hashed again; exhaust it to have it checked."""
        hashed = hashlib.sha256()
        for piece in blob_chunks(self.blob(digest)):
            hashed.update(piece)
            yield piece
        if hashed.hexdigest() != digest.hex:
            _refuse(self.path, f"it was changed: wanted {digest}, got sha256:{hashed.hexdigest()}")

    def blob(self, digest: Digest) -> Blob:
        """A blob for reading at any place; not hashed again."""
        return _Part(self._file, *self._places[digest])

    def size(self, digest: Digest) -> int | None:
        """How many bytes a blob has, or None if it is not here."""
        found = self._places.get(digest)
        return found[1] if found else None

    def repository(self, name: str) -> BundledRepository:
        """The images of one repository.

        Raises:
            SpecError: the bundle holds no such repository.
        """
        for each in self.contents.repositories:
            if each.name == name:
                return BundledRepository(self, each)
        there = ", ".join(each.name for each in self.contents.repositories[:5]) or "no image"
        raise SpecError(
            f"{self.path} holds nothing of {name}",
            why=f"it holds {there}",
            mend="name one of these",
        )


@contextmanager
def open_bundle(path: Path, verify: Callable[[bytes, bytes], None]) -> Iterator[OpenedBundle]:
    """Open a bundle and check all of it, in one pass over the file.

    Args:
        path: a regular file.
        verify: called with ``bundle.json`` and ``bundle.sig``; raises unless the first is signed by
            somebody trusted.

    Raises:
        SpecError: there is no such file.
        UntrustedError: it is damaged, cut off, or holds anything but what was signed.
        HostError: it cannot be read.
    """
    with _opened(path) as file:
        members = _members(path, file)
        data = _first(path, members, bundle.CONTENTS, bundle.CONTENTS_BYTES)  # 1
        signature = _first(path, members, bundle.SIGNATURE, SIGNATURE_BYTES)
        verify(data, signature)  # 2
        contents = bundle.parse_contents(data)
        places = {}
        for digest, size in contents.blobs:  # 3
            member = next(members, None)
            wanted = bundle.blob_path(digest)
            if member is None:
                _refuse(path, f"it ends before {wanted}")
            _check(path, member, wanted)
            if member.size != size:
                _refuse(path, f"{wanted}: wanted {size:,} bytes, got {member.size:,}")
            got = _hash(member)
            if got != digest:
                _refuse(path, f"{wanted}: wanted {digest}, got {got}")
            places[digest] = (member.offset, size)
        extra = next(members, None)
        if extra is not None:  # 4
            _refuse(path, f"it holds {extra.name[:100]!r}, which is not listed")
        yield OpenedBundle(path, contents, file, places)


def _members(path: Path, file: Blob) -> Iterator[TarMember]:
    try:
        yield from read_tar(blob_chunks(file), what="it", max_members=1 << 18)
    except UntrustedError as e:  # of a tar; its remedy speaks of packages
        _refuse(path, f"{e.what}: {e.why}")


def _first(path: Path, members: Iterator[TarMember], name: str, max_bytes: int) -> bytes:
    member = next(members, None)
    if member is None:
        _refuse(path, f"it ends before {name}")
    _check(path, member, name)
    if member.size > max_bytes:
        _refuse(path, f"{name} has {member.size:,} bytes; the limit is {max_bytes:,}")
    return b"".join(member.pieces())


def _check(path: Path, member: TarMember, wanted: str) -> None:
    if member.name != wanted or member.kind is not Kind.FILE or member.xattrs or member.link:
        got = f"{member.name[:100]!r} ({member.kind.value})"
        _refuse(path, f"wanted the file {wanted!r}, got {got}")


def _hash(member: TarMember) -> Digest:
    hashed = hashlib.sha256()
    for piece in member.pieces():
        hashed.update(piece)
    return Digest(hashed.hexdigest())


def _refuse(path: Path, why: str) -> NoReturn:
    raise UntrustedError(f"cannot use the bundle {path}", why=why, mend=_MEND)


class _File:
    """An open regular file."""

    __slots__ = ("_fd", "_path", "_size")

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as e:
            raise SpecError(
                f"there is no bundle at {path}", why=e.strerror or str(e), mend="name its file"
            ) from e
        except (OSError, ValueError) as e:
            raise HostError(
                f"cannot read {path}", why=str(e), mend="check its name and permissions"
            ) from e
        status = os.fstat(self._fd)
        self._size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise SpecError(
                f"{path} is no bundle", why="it is no regular file", mend="name a bundle's file"
            )

    @property
    def size(self) -> int:
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._fd, size, offset)
        except OSError as e:
            raise HostError(
                f"cannot read {self._path}", why=e.strerror or str(e), mend="check the disk"
            ) from e

    def close(self) -> None:
        os.close(self._fd)


@contextmanager
def _opened(path: Path) -> Iterator[_File]:
    file = _File(path)
    try:
        yield file
    finally:
        file.close()


@dataclass(frozen=True, slots=True)
class _Part:
    """A blob inside the file."""

    _file: _File
    _offset: int
    _size: int

    @property
    def size(self) -> int:
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        return self._file.pread(max(0, min(size, self._size - offset)), self._offset + offset)


class BundledRepository:
    """ports.Repository over a bundle; nothing can be added."""

    def __init__(self, opened: OpenedBundle, listed: bundle.Repository) -> None:
        """Made by ``OpenedBundle.repository``."""
        self._bundle, self._listed = opened, listed
        self._tags = dict(listed.tags)
        self._manifests = {each.digest: each for each in listed.manifests}
        self._about: dict[Digest, list[Referrer]] | None = None

    @property
    def name(self) -> str:
        """``registry/repository``, as where it was exported from."""
        return self._listed.name

    def tags(self) -> Iterator[str]:
        """Sorted."""
        return iter(self._tags)

    def resolve(self, name: str) -> Descriptor | None:
        """The manifest that a tag or digest names."""
        digest = self._tags.get(name)
        if digest is None and name.startswith("sha256:"):
            digest = Digest.parse(name)
        return self._manifests.get(digest) if digest is not None else None

    def manifest(self, descriptor: Descriptor) -> bytes:
        """A manifest or index, whole.

        Raises:
            UntrustedError: it is not here, or was changed.
        """
        self._must_have(descriptor)
        return self._bundle.read(descriptor.digest, max_bytes=oci.DOCUMENT_BYTES)

    @contextmanager
    def stream(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """A blob; exhaust it to have it checked."""
        self._must_have(descriptor)
        yield self._bundle.pieces(descriptor.digest)

    def blob(self, descriptor: Descriptor) -> Blob:
        """A blob for reading at any place."""
        self._must_have(descriptor)
        return self._bundle.blob(descriptor.digest)

    def referrers(self, subject: Digest, *, artifact_type: str = "") -> tuple[Referrer, ...]:
        """What is said about a manifest, sorted by digest."""
        if self._about is None:
            self._about = self._referring()
        return tuple(
            each
            for each in self._about.get(subject, ())
            if artifact_type in ("", each.artifact_type)
        )

    def _referring(self) -> dict[Digest, list[Referrer]]:
        """Every manifest with a subject, by that."""
        found: dict[Digest, list[Referrer]] = {}
        for digest in sorted(self._manifests):
            each = self._manifests[digest]
            if each.media_type in oci.INDEXES:
                continue
            manifest = oci.parse_manifest(self.manifest(each))
            if manifest.subject is not None:
                found.setdefault(manifest.subject, []).append(
                    Referrer(each, manifest.artifact_type)
                )
        return found

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the bundle holds it, of that size."""
        return self._bundle.size(descriptor.digest) == descriptor.size

    def put(
        self,
        descriptor: Descriptor,
        content: Callable[[], AbstractContextManager[Iterator[bytes]]],
        *,
        mount_from: str = "",
    ) -> bool:
        """Refused: it is signed."""
        self._closed()

    def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
        """Refused: it is signed."""
        self._closed()

    def _must_have(self, descriptor: Descriptor) -> None:
        if not self.has(descriptor):
            _refuse(
                self._bundle.path,
                f"it lacks {descriptor.digest} of {descriptor.size:,} bytes, which an image in it names",
            )

    def _closed(self) -> NoReturn:
        raise SpecError(
            f"nothing can be added to {self._bundle.path}",
            why="it is a signed bundle",
            mend="export another one",
        )

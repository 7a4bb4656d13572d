"""``ports.Repository`` in an OCI layout directory (read, write) or an OCI archive (read).

``index.json`` names the images alone: podman, skopeo and syft refuse one of several manifests. What
is said about them is named by annotations of ``index.json``:

- ``dev.staunch.referrers``: digests of manifests with a ``subject``, blank between;
- ``dev.staunch.tags``: ``tag=digest``, blank between, for tags such as ``sha256-<hex>.sig`` by which
  cosign finds signatures.

Entries of ``index.json`` with a ``subject``, as oras writes them, are found, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats import oci, oci_links
from staunch.formats.oci_links import Links, parse_links
from staunch.formats.stream import blob_chunks
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.ports import Blob, Referrer
from staunch.publish.layout import (
    CONTAINERD_NAME,
    host,
    is_there,
    locked,
    replace_file,
    stands,
    sync_folder,
    write_all,
)
from staunch.publish.read import Files, blob_path, open_files

__all__ = ["TAGS", "LayoutRepository", "open_layout"]

TAGS = "dev.staunch.tags"  # of index.json
_ABOUT = re.compile(r"sha256-[0-9a-f]{64}(?:\.[a-z0-9]+)?")  # a tag by which an artifact is found
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DEPTH = 4  # of indexes in indexes
_EMPTY = b'{"manifests":[],"schemaVersion":2}'


@contextmanager
def open_layout(
    path: Path, *, write: bool = False, image_name: str = ""
) -> Iterator[LayoutRepository]:
    """The layout or archive at ``path``.

    Args:
        path: a layout directory, or an OCI archive (uncompressed tar).
        write: make the directory at the first write if there is none, and hold it against other
            writers from then on.
        image_name: what images are called for containerd and podman, without tag.

    Raises:
        SpecError: something else is there, or nothing to read.
        UntrustedError: it is damaged.
        HostError: it cannot be read.
    """
    with ExitStack() as stack:
        files: Files | None = None
        if not write or (path.exists() and stands(path)):
            files = stack.enter_context(open_files(path))
            if files.open("oci-layout") is None:
                raise SpecError(
                    f"{path} is no OCI layout",
                    why="it holds no `oci-layout`"
                    + ("; it is a docker archive" if files.open("manifest.json") else ""),
                    mend="name an OCI layout directory or archive (`--format oci-dir`)",
                )
            oci.parse_layout(_whole(files, "oci-layout"))
        yield LayoutRepository(path, files, stack, write=write, image_name=image_name)


class LayoutRepository:
    """Made by ``open_layout``. Thread-safe; valid until its context is left."""

    def __init__(
        self, path: Path, files: Files | None, stack: ExitStack, *, write: bool, image_name: str
    ) -> None:
        """Read ``index.json`` if there is one."""
        self._path, self._files, self._stack = path, files, stack
        self._write, self._image_name = write, image_name
        self._lock = threading.RLock()
        self._held = False
        self._links: dict[Digest, Links] = {}
        self._read_index()

    @property
    def name(self) -> str:
        """The path."""
        return str(self._path)

    # -- reading

    def tags(self) -> Iterator[str]:
        """The names in ``index.json``, then those of ``dev.staunch.tags``."""
        yield from dict.fromkeys((*filter(None, map(_name, self._index.manifests)), *self._about))

    def images(self) -> tuple[Descriptor, ...]:
        """What ``index.json`` names that is no artifact about something else."""
        entries = [_plain(each.descriptor) for each in self._index.manifests]
        return tuple(each for each in entries if self._of(each).subject is None)

    def resolve(self, name: str) -> Descriptor | None:
        """The manifest or index that a tag or digest names now, or None."""
        if name.startswith("sha256:"):
            return self._by_digest(Digest.parse(name))
        for entry in self._index.manifests:
            if _name(entry) == name:
                return _plain(entry.descriptor)
        return self._by_digest(self._about[name]) if name in self._about else None

    def _by_digest(self, digest: Digest) -> Descriptor | None:
        for entry in self._index.manifests:
            if entry.descriptor.digest == digest:
                return _plain(entry.descriptor)
        blob = self._files.open(blob_path(digest)) if self._files else None
        if blob is None or blob.size > oci.DOCUMENT_BYTES:
            return None
        data = self.manifest(Descriptor("", digest, blob.size))
        try:
            links = parse_links(data)
        except UntrustedError:
            return None  # a blob, not a manifest
        if not (links.blobs or links.children or links.subject):
            return None
        self._links.setdefault(digest, links)
        return Descriptor(links.media_type, digest, blob.size)

    def manifest(self, descriptor: Descriptor) -> bytes:
        """A manifest or index, whole, exact to the byte."""
        if descriptor.size > oci.DOCUMENT_BYTES:
            self._refuse(
                descriptor, f"it has {descriptor.size:,} bytes; the limit is {oci.DOCUMENT_BYTES:,}"
            )
        blob = self._opened(descriptor)
        data = blob.pread(descriptor.size, 0)
        if Digest.of(data) != descriptor.digest:
            self._refuse(descriptor, f"it has the digest {Digest.of(data)}")
        return data

    @contextmanager
    def stream(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """A blob from beginning to end; exhaust it to have it checked."""
        yield self._stream(descriptor)

    def _stream(self, descriptor: Descriptor) -> Iterator[bytes]:
        state = hashlib.sha256()
        for piece in blob_chunks(self._opened(descriptor)):
            state.update(piece)
            yield piece
        if state.hexdigest() != descriptor.digest.hex:
            self._refuse(descriptor, f"it has the digest sha256:{state.hexdigest()}")

    def blob(self, descriptor: Descriptor) -> Blob:
        """A blob for reading at any place. **Not checked**: the reader checks what it reads."""
        return self._opened(descriptor)

    def referrers(self, subject: Digest, *, artifact_type: str = "") -> tuple[Referrer, ...]:
        """What is said about a manifest, sorted by digest; all types for ""."""
        named = [self._by_digest(digest) for digest in self._attached]
        named += [_plain(each.descriptor) for each in self._index.manifests]
        named += self._in_tag(subject)
        found: dict[Digest, Referrer] = {}
        for each in filter(None, named):
            links = self._of(each)
            if links.subject is not None and links.subject.digest == subject:
                about = Descriptor(links.media_type, each.digest, each.size, links.annotations)
                found[each.digest] = Referrer(about, links.artifact_type)
        return tuple(
            found[digest]
            for digest in sorted(found)
            if artifact_type in ("", found[digest].artifact_type)
        )

    def _in_tag(self, subject: Digest) -> list[Descriptor | None]:
        """Of the index that a copy from an old registry may have left under the referrers tag."""
        index = self.resolve(oci_links.referrers_tag(subject))
        if index is None:
            return []
        return [self._by_digest(each.descriptor.digest) for each in self._of(index).children]

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there, whole; a manifest with all that it names."""
        blob = self._files.open(blob_path(descriptor.digest)) if self._files else None
        if blob is None or blob.size != descriptor.size:
            return False
        if oci_links.is_manifest(descriptor.media_type):
            return self._complete(descriptor, _DEPTH)
        state = hashlib.sha256()
        for piece in blob_chunks(blob):
            state.update(piece)
        return state.hexdigest() == descriptor.digest.hex

    def _complete(self, descriptor: Descriptor, depth: int) -> bool:
        try:
            links = parse_links(self.manifest(descriptor), descriptor.media_type)
        except UntrustedError:
            return False
        below = (each.descriptor for each in links.children) if depth else ()
        return all(map(self.has, links.blobs)) and all(
            self._files is not None
            and self._files.open(blob_path(each.digest)) is not None
            and self._complete(each, depth - 1)
            for each in below
        )

    # -- writing

    def put(
        self,
        descriptor: Descriptor,
        content: Callable[[], AbstractContextManager[Iterator[bytes]]],
        *,
        mount_from: str = "",
    ) -> bool:
        """Add a blob, unless it is there; there is nothing to mount from."""
        blobs = self._prepared()
        target = blobs / descriptor.digest.hex
        with host(f"write {self._path}"):
            if is_there(target, descriptor):
                return False
            with content() as pieces:
                self._receive(descriptor, pieces, target)
        return True

    def _receive(self, descriptor: Descriptor, pieces: Iterator[bytes], target: Path) -> None:
        temporary = target.parent / f".{secrets.token_hex(8)}"
        state, size = hashlib.sha256(), 0
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            for piece in pieces:
                size += len(piece)
                if size > descriptor.size:
                    break
                state.update(piece)
                write_all(fd, piece)
            if size != descriptor.size:
                more = " or more" if size > descriptor.size else ""
                self._refuse(descriptor, f"wanted {descriptor.size:,} bytes, got {size:,}{more}")
            if state.hexdigest() != descriptor.digest.hex:
                self._refuse(descriptor, f"it has the digest sha256:{state.hexdigest()}")
            os.fsync(fd)
            temporary.rename(target)
        finally:
            os.close(fd)
            temporary.unlink(missing_ok=True)

    def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
        """Add a manifest or index; what it names must be there already. ``tag`` names it."""
        links = parse_links(data, media_type)
        descriptor = Descriptor(media_type, Digest.of(data), len(data))
        blobs = self._prepared()
        with self._lock, host(f"write {self._path}"):
            target = blobs / descriptor.digest.hex
            if not is_there(target, descriptor):
                replace_file(target, data, blobs)
            if tag and _ABOUT.fullmatch(tag):
                self._about[tag] = descriptor.digest
            elif tag:
                self._name(descriptor, tag)
            if links.subject is not None and not (tag and not _ABOUT.fullmatch(tag)):
                self._attached.add(descriptor.digest)
            if tag or links.subject is not None:
                sync_folder(blobs)
                replace_file(self._path / "index.json", self._index_bytes(), blobs)
                sync_folder(self._path)
                self._read_index()
        return descriptor

    def _name(self, descriptor: Descriptor, tag: str) -> None:
        """Give ``tag`` to the manifest, and take it from another."""
        names = {oci.REF_NAME: tag}
        if self._image_name:
            names[CONTAINERD_NAME] = f"{self._image_name}:{tag}"
        entry = {
            "mediaType": descriptor.media_type,
            "digest": str(descriptor.digest),
            "size": descriptor.size,
            "annotations": names,
        }
        kept = [
            raw
            for raw, entry_ in zip(self._raw_entries(), self._index.manifests, strict=True)
            if _name(entry_) != tag
            and (_name(entry_) or entry_.descriptor.digest != descriptor.digest)
        ]
        self._raw["manifests"] = [*kept, entry]

    def _raw_entries(self) -> list[object]:
        found = self._raw.get("manifests")
        return found if isinstance(found, list) else []

    def _index_bytes(self) -> bytes:
        """``index.json`` with what we keep in it; fields of others stay."""
        annotations = dict(self._index.annotations)
        for key, words in (
            (oci.REFERRERS, sorted(map(str, self._attached))),
            (TAGS, [f"{tag}={self._about[tag]}" for tag in sorted(self._about)]),
        ):
            annotations.pop(key, None)
            if words:
                annotations[key] = " ".join(words)
        document = {**self._raw, "annotations": annotations}
        if not annotations:
            del document["annotations"]
        return json.dumps(
            document, ensure_ascii=False, sort_keys=True, separators=(",", ":")
        ).encode()

    def _prepared(self) -> Path:
        """The folder of blobs, locked for us; made with the first write."""
        blobs = self._path / "blobs" / "sha256"
        with self._lock:
            if self._held:
                return blobs
            if not self._write:
                raise SpecError(
                    f"{self._path} is read only here",
                    why="an archive is written whole, once"
                    if self._path.is_file()
                    else "it was opened for reading",
                    mend="name a layout directory to write to",
                )
            with host(f"write {self._path}"):
                blobs.mkdir(parents=True, exist_ok=True)
                self._stack.enter_context(locked(self._path))
                for left in sorted(blobs.glob(".*")):
                    left.unlink()
                for name, data in (("index.json", _EMPTY), ("oci-layout", oci.LAYOUT)):
                    if not (self._path / name).exists():
                        replace_file(self._path / name, data, blobs)
            if self._files is None:
                self._files = self._stack.enter_context(open_files(self._path))
            self._held = True
            self._read_index()
            return blobs

    # -- what index.json says

    def _read_index(self) -> None:
        data = _whole(self._files, "index.json") if self._files else _EMPTY
        self._index = oci.parse_index(data)
        self._raw: dict[str, object] = json.loads(data)
        annotations = dict(self._index.annotations)
        self._attached = set(_digests(annotations.get(oci.REFERRERS, ""), oci.REFERRERS))
        self._about: dict[str, Digest] = {}
        for word in annotations.get(TAGS, "").split():
            tag, _, digest = word.partition("=")
            if not _TAG.fullmatch(tag):
                _bad_annotation(TAGS, f"{tag[:80]!r} is no tag")
            self._about[tag] = next(_digests(digest or "-", TAGS))

    def _of(self, descriptor: Descriptor) -> Links:
        """What a manifest names, read once; a blob that is none names nothing."""
        if descriptor.digest not in self._links:
            try:
                data = self.manifest(descriptor)
                self._links[descriptor.digest] = parse_links(data, descriptor.media_type)
            except UndecidedError:
                return Links(descriptor.media_type)
        return self._links[descriptor.digest]

    # -- faults

    def _opened(self, descriptor: Descriptor) -> Blob:
        blob = self._files.open(blob_path(descriptor.digest)) if self._files else None
        if blob is None:
            raise UndecidedError(
                f"{self._path} has no {descriptor.digest}",
                why="something in it names that blob, and the file is missing",
                mend="write or fetch the image again",
            )
        if blob.size != descriptor.size:
            self._refuse(descriptor, f"wanted {descriptor.size:,} bytes, got {blob.size:,}")
        return blob

    def _refuse(self, descriptor: Descriptor, why: str) -> NoReturn:
        raise UntrustedError(
            f"the blob {descriptor.digest} is not what it promises",
            why=why,
            mend=f"write or fetch the image again ({self._path})",
        )


def _name(entry: oci.IndexEntry) -> str:
    return dict(entry.descriptor.annotations).get(oci.REF_NAME, "")


def _plain(descriptor: Descriptor) -> Descriptor:
    """Without the annotations of the index it stands in."""
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)


def _digests(text: str, key: str) -> Iterator[Digest]:
    for word in text.split():
        try:
            yield Digest.parse(word)
        except SpecError as e:
            _bad_annotation(key, e.what)


def _bad_annotation(key: str, why: str) -> NoReturn:
    raise UntrustedError(
        "cannot read the list of artifacts in index.json",
        why=f"annotation {key}: {why}",
        mend="write or fetch the image again",
    )


def _whole(files: Files, path: str) -> bytes:
    blob = files.open(path)
    size = blob.size if blob else 0
    if blob is None or size > oci.DOCUMENT_BYTES:
        raise UntrustedError(
            "cannot read the image",
            why=f"{path}: "
            + ("it is missing" if blob is None else f"it has {size:,} bytes, more than 4 MiB"),
            mend="write or fetch the image again",
        )
    return blob.pread(limits.GIB, 0)

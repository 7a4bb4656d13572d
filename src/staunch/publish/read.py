"""Open images that lie in files: OCI layouts, OCI archives, docker archives, ours or others'.

1. ``index.json`` (or ``manifest.json``) is believed as it stands: it is what the user named.
2. Every index, manifest and config below it is hashed before it is parsed.
3. A layer is hashed while it streams, as stored and as unpacked; whoever reads it to its end learns
   by an error when either is not what manifest and config promise.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, Self

from staunch.errors import HostError, SpecError, UntrustedError
from staunch.formats import oci
from staunch.formats.stream import blob_chunks, inflate
from staunch.formats.tar import read_tar
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Kind
from staunch.model.image import Descriptor
from staunch.model.platform import Platform
from staunch.ports import Blob

__all__ = ["Files", "ImageSource", "SourceImage", "open_files", "open_image"]

_DEPTH = 4  # an index may point to an index, but not for ever
_MEMBERS = 100_000
_FORMATS = {b"\x1f\x8b": "gz", b"\x28\xb5": "zst", b"\x50\x2a": "zst"}
_MEND = "write or fetch the image again"


class Files(Protocol):
    """Files by their path inside the image's folder or archive."""

    def open(self, path: str) -> Blob | None:
        """The regular file at ``path``, or None."""
        ...


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One platform of an opened image.

    ``layers`` are as stored (a docker archive's have their diff_ids for digests); ``manifest`` is
    None for a docker archive.
    """

    platform: Platform
    manifest: Descriptor | None
    config: oci.Config
    config_bytes: bytes
    layers: tuple[Descriptor, ...]
    _files: Files
    _paths: tuple[str, ...]

    def raw_layers(self, *, max_bytes: int = limits.UNPACKED_BYTES) -> Iterator[Iterator[bytes]]:
        """The layers' tar streams, base first; exhaust one to have it checked.

        Raises:
            UntrustedError: while streaming: a digest or diff_id does not fit, or a limit is broken.
        """
        for number in range(len(self.layers)):
            yield self.raw_layer(number, max_bytes=max_bytes)

    def raw_layer(self, number: int, *, max_bytes: int = limits.UNPACKED_BYTES) -> Iterator[bytes]:
        """One layer's tar stream; raises as ``raw_layers``."""
        layer, diff_id = self.layers[number], self.config.diff_ids[number]
        blob = _found(self._files, self._paths[number])
        stored = hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            for chunk in blob_chunks(blob):
                stored.update(chunk)
                yield chunk

        if self.manifest is not None and blob.size != layer.size:
            _mismatch(self._paths[number], f"{layer.size} bytes", f"{blob.size} bytes")
        unpacked = hashlib.sha256()
        for piece in inflate(
            chunks(),
            format=_FORMATS.get(blob.pread(2, 0), "none"),
            max_bytes=max_bytes,
            packed_size=blob.size,
            what=f"layer {layer.digest}",
        ):
            unpacked.update(piece)
            yield piece
        if self.manifest is not None and stored.hexdigest() != layer.digest.hex:
            _mismatch(self._paths[number], str(layer.digest), f"sha256:{stored.hexdigest()}")
        if unpacked.hexdigest() != diff_id.hex:
            _mismatch(
                f"{self._paths[number]} unpacked", str(diff_id), f"sha256:{unpacked.hexdigest()}"
            )


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An opened image; valid until its context is left.

    ``kind`` is oci-dir, oci-archive or docker-archive; ``digest`` that of the manifest or index
    which ``index.json`` names (a docker archive: of the config); ``images`` are sorted by platform;
    ``annotations`` are those of ``index.json``.
    """

    path: Path
    kind: str
    digest: Digest
    images: tuple[SourceImage, ...]
    annotations: tuple[tuple[str, str], ...]
    _files: Files

    def read_blob(self, digest: Digest, *, max_bytes: int) -> bytes:
        """A blob whole, checked against its digest.

        Raises:
            UntrustedError: missing, too large, or not what its digest says.
        """
        return _read(self._files, digest, max_bytes=max_bytes)

    def image(self, platform: Platform | None = None) -> SourceImage:
        """The image of ``platform``; with None, the only one.

        Raises:
            SpecError: there is none, or None was given and there are several.
        """
        fitting = [each for each in self.images if platform in (None, each.platform)]
        if len(fitting) == 1:
            return fitting[0]
        there = ", ".join(str(each.platform) for each in self.images)
        raise SpecError(
            f"{self.path} has no single image to choose",
            why=f"wanted {platform or 'its only platform'}, it holds {there or 'none'}",
            mend="name one of its platforms with `--platform`",
        )


@contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """The files of a layout directory, or of an archive (uncompressed tar).

    Raises:
        SpecError: nothing is there.
        UntrustedError: the archive is damaged.
        HostError: it cannot be read.
    """
    with ExitStack() as stack:
        try:
            if path.is_dir():
                files: Files = stack.enter_context(_Folder(path))
            else:
                files = stack.enter_context(_Archive(path))
        except FileNotFoundError as e:
            raise SpecError(
                f"there is no image at {path}",
                why="the file or folder does not exist",
                mend="build one (`staunch build … -o`), or name another place",
            ) from e
        except OSError as e:
            raise HostError(
                f"cannot read {path}",
                why=e.strerror or str(e),
                mend="give yourself permission, or name another place",
            ) from e
        yield files


@contextmanager
def open_image(path: Path, *, tag: str | None = None) -> Iterator[ImageSource]:
    """Open the image at ``path``.

    Args:
        path: a layout directory, or an OCI or docker archive (uncompressed tar).
        tag: chooses among several images of one layout (``org.opencontainers.image.ref.name``).

    Raises:
        SpecError: nothing there that is an image, or several and no tag.
        UntrustedError: damaged, or not what a digest says.
        HostError: it cannot be read.
    """
    with open_files(path) as files:
        form = "dir" if path.is_dir() else "archive"
        if files.open("oci-layout") is not None:
            yield _open_layout(path, f"oci-{form}", files, tag)
        elif files.open("manifest.json") is not None:
            yield _open_docker(path, f"docker-{form}", files)
        else:
            raise SpecError(
                f"{path} is no image",
                why="it holds neither `oci-layout` nor `manifest.json`",
                mend="name an OCI layout directory, an OCI archive or a docker archive",
            )


# -- OCI


def _open_layout(path: Path, kind: str, files: Files, tag: str | None) -> ImageSource:
    oci.parse_layout(_small(files, "oci-layout"))
    index = oci.parse_index(_small(files, "index.json"))
    top = _choose(path, index, tag)
    images = sorted(_images(files, top, _DEPTH, set()), key=lambda each: each.platform)
    if len({each.platform for each in images}) != len(images):
        _refuse("index.json", "a platform stands twice")
    return ImageSource(path, kind, top.digest, tuple(images), index.annotations, files)


def _choose(path: Path, index: oci.Index, tag: str | None) -> Descriptor:
    """The manifest or index meant; artifacts about an image have no name and do not count."""
    found = [each.descriptor for each in index.manifests]
    names = [dict(each.annotations).get(oci.REF_NAME, "") for each in found]
    if tag is not None:
        found = [each for each, name in zip(found, names, strict=True) if name == tag]
    elif len(found) > 1 and sum(map(bool, names)) == 1:
        found = [each for each, name in zip(found, names, strict=True) if name]
    if len(found) == 1:
        return found[0]
    raise SpecError(
        f"cannot choose an image in {path}",
        why=f"wanted {'the tag ' + tag if tag else 'a single image'}, it holds "
        + (", ".join(sorted(filter(None, names))) or f"{len(names)} without names"),
        mend="name one that it holds, or copy one to a layout of its own",
    )


def _images(files: Files, top: Descriptor, depth: int, seen: set[Digest]) -> Iterator[SourceImage]:
    """The images of a manifest or index; nothing is read twice, or a few files would take for ever."""
    if top.digest in seen:
        _refuse(str(top.digest), "it is named more than once")
    seen.add(top.digest)
    data = _read(files, top.digest, max_bytes=oci.DOCUMENT_BYTES, size=top.size)
    if "index" in top.media_type or "manifest.list" in top.media_type:
        if depth == 0:
            _refuse(str(top.digest), f"indexes are nested more than {_DEPTH} deep")
        for entry in oci.parse_index(data).manifests:
            yield from _images(files, entry.descriptor, depth - 1, seen)
        return
    manifest = oci.parse_manifest(data)
    if manifest.artifact_type or manifest.subject is not None:
        return
    raw = _read(
        files, manifest.config.digest, max_bytes=oci.DOCUMENT_BYTES, size=manifest.config.size
    )
    config = oci.parse_config(raw)
    platform = _platform(config)
    if platform is None:
        return
    if len(config.diff_ids) != len(manifest.layers):
        _refuse(
            str(top.digest),
            f"{len(manifest.layers)} layers, {len(config.diff_ids)} diff_ids",
        )
    yield SourceImage(
        platform,
        top,
        config,
        raw,
        manifest.layers,
        files,
        tuple(blob_path(each.digest) for each in manifest.layers),
    )


def _platform(config: oci.Config) -> Platform | None:
    """None for platforms that Staunch does not know, and attestations dressed as images."""
    try:
        return Platform.parse(f"{config.os}/{config.architecture}")
    except SpecError:
        return None


# -- docker


def _open_docker(path: Path, kind: str, files: Files) -> ImageSource:
    data = _small(files, "manifest.json")
    config_path, layer_paths = _parse_docker(data)
    raw = _small(files, config_path)
    config = oci.parse_config(raw)
    platform = Platform.parse(f"{config.os}/{config.architecture}")
    if len(config.diff_ids) != len(layer_paths):
        _refuse("manifest.json", f"{len(layer_paths)} layers, {len(config.diff_ids)} diff_ids")
    layers = tuple(
        Descriptor(oci.MEDIA_LAYER, diff_id, _found(files, layer).size)
        for diff_id, layer in zip(config.diff_ids, layer_paths, strict=True)
    )
    image = SourceImage(platform, None, config, raw, layers, files, layer_paths)
    return ImageSource(path, kind, Digest.of(raw), (image,), (), files)


def _parse_docker(data: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as e:
        _refuse("manifest.json", f"not JSON: {str(e)[:200]}")
    if not isinstance(document, list) or len(document) != 1 or not isinstance(document[0], dict):
        _refuse("manifest.json", "wanted a list of one image")
    config, layers = document[0].get("Config"), document[0].get("Layers")
    if not isinstance(config, str):
        _refuse("manifest.json", "Config: wanted a string")
    if not isinstance(layers, list) or not all(isinstance(each, str) for each in layers):
        _refuse("manifest.json", "Layers: wanted a list of strings")
    return config, tuple(layers)


# -- files


class _OpenFile:
    """An open file; closed with its last user."""

    __slots__ = ("_fd", "_size", "regular")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        status = os.fstat(fd)
        self._size = status.st_size
        self.regular = stat.S_ISREG(status.st_mode)

    @property
    def size(self) -> int:
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._fd, size, offset)
        except OSError as e:
            raise HostError(
                "cannot read the image", why=e.strerror or str(e), mend="check the disk"
            ) from e

    def __del__(self) -> None:
        os.close(self._fd)


class _Folder:
    """A layout directory. Names are followed below it only, and never through links."""

    def __init__(self, root: Path) -> None:
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def open(self, path: str) -> Blob | None:
        parts = path.split("/")
        if not all(parts) or ".." in parts or "." in parts:
            return None
        folder = os.dup(self._fd)
        try:
            for part in parts[:-1]:
                below = os.open(
                    part,
                    os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                    dir_fd=folder,
                )
                os.close(folder)
                folder = below
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(parts[-1], flags, dir_fd=folder)
        except (OSError, ValueError):
            return None
        finally:
            os.close(folder)
        file = _OpenFile(fd)
        return file if file.regular else None


class _Archive:
    """An uncompressed tar, its members found by name."""

    def __init__(self, path: Path) -> None:
        self._file = _OpenFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        if not self._file.regular:
            raise SpecError(
                f"{path} is no image",
                why="it is neither a folder nor a regular file",
                mend="name an OCI layout directory, an OCI archive or a docker archive",
            )
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        for member in read_tar(blob_chunks(self._file), what=str(path), max_members=_MEMBERS):
            name = member.name.removeprefix("./")
            if member.kind is Kind.FILE:
                self._members[name] = (member.offset, member.size)
            elif member.kind in (Kind.SYMLINK, Kind.HARDLINK):
                self._links[name] = _target(name, member.link, member.kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def open(self, path: str) -> Blob | None:
        name = path.removeprefix("./")
        found = self._members.get(name) or self._members.get(self._links.get(name, ""))
        if found is None:
            return None
        return _Part(self._file, *found)


class _Part:
    """A member's payload; keeps the archive open."""

    __slots__ = ("_file", "_offset", "_size")

    def __init__(self, file: _OpenFile, offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size

    @property
    def size(self) -> int:
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        return self._file.pread(max(0, min(size, self._size - offset)), self._offset + offset)


def _target(name: str, link: str, kind: Kind) -> str:
    """Where a link of ``docker save`` leads, inside the archive."""
    if kind is Kind.HARDLINK:
        return link.removeprefix("./")
    parts: list[str] = name.split("/")[:-1]
    for part in link.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def blob_path(digest: Digest) -> str:
    """Where a layout has that blob."""
    return f"blobs/sha256/{digest.hex}"


def _found(files: Files, path: str) -> Blob:
    blob = files.open(path)
    if blob is None:
        _refuse(path, "it is missing")
    return blob


def _small(files: Files, path: str, *, max_bytes: int = oci.DOCUMENT_BYTES) -> bytes:
    blob = _found(files, path)
    if blob.size > max_bytes:
        _refuse(path, f"it has {blob.size} bytes; the limit is {max_bytes}")
    return b"".join(blob_chunks(blob))


def _read(files: Files, digest: Digest, *, max_bytes: int, size: int | None = None) -> bytes:
    path = blob_path(digest)
    data = _small(files, path, max_bytes=max_bytes)
    if size is not None and len(data) != size:
        _mismatch(path, f"{size} bytes", f"{len(data)} bytes")
    got = Digest.of(data)
    if got != digest:
        _mismatch(path, str(digest), str(got))
    return data


def _refuse(path: str, why: str) -> NoReturn:
    raise UntrustedError("cannot read the image", why=f"{path}: {why}", mend=_MEND)


def _mismatch(path: str, wanted: str, got: str) -> NoReturn:
    raise UntrustedError(
        "the image is not what it promises",
        why=f"{path}: wanted {wanted}, got {got}",
        mend=_MEND,
    )

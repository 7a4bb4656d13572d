"""Images in one file: OCI archives and docker archives, as deterministic tars.

Both are streamed into a file beside their place, synced and renamed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from staunch.errors import SpecError, UntrustedError
from staunch.formats import oci, tarheader
from staunch.formats.stream import inflate
from staunch.model.entry import Entry, Kind
from staunch.model.image import Descriptor, Layer, PlatformImage
from staunch.ports import Store
from staunch.publish.layout import (
    PublishedImage,
    beside,
    host,
    open_blob,
    pieces,
    plan_documents,
    sweep,
    sync_folder,
    write_all,
)

__all__ = ["write_docker_archive", "write_oci_archive"]


def write_oci_archive(
    images: Sequence[PlatformImage],
    *,
    name: str,
    tag: str,
    out: Path,
    store: Store,
    annotations: Sequence[tuple[str, str]] = (),
    referrers: Sequence[Descriptor] = (),
) -> PublishedImage:
    """The layout that ``write_layout`` would write, as one tar; arguments and errors are its."""
    documents = plan_documents(
        images, name=name, tag=tag, store=store, annotations=annotations, referrers=referrers
    )
    with _archive(out) as tar:
        tar.folder("blobs")
        tar.folder("blobs/sha256")
        for each in documents.blobs:
            tar.file(f"blobs/sha256/{each.digest.hex}", each.size, pieces(open_blob(each, store)))
        tar.file("index.json", len(documents.index), (documents.index,))
        tar.file("oci-layout", len(oci.LAYOUT), (oci.LAYOUT,))
    return PublishedImage(name, tag, documents.digest, tuple(images), out)


def write_docker_archive(
    images: Sequence[PlatformImage], *, name: str, tag: str, out: Path, store: Store
) -> PublishedImage:
    """What ``docker load`` reads: uncompressed layers, one platform.

    Raises:
        SpecError: more than one platform, or ``out`` is a directory.
        HostError: it cannot be written, or a blob is gone from the store.
    """
    if len(images) != 1:
        raise SpecError(
            f"cannot write {out} as a docker archive",
            why=f"it can hold one platform, the image has {len(images)}",
            mend="choose one platform, or `--format oci-archive`",
        )
    (image,) = images
    config = open_blob(image.config, store)
    config_name = f"{image.config.digest.hex}.json"
    layers = {f"{each.diff_id.hex}.tar": each for each in image.layers}
    document = [
        {
            "Config": config_name,
            "Layers": [f"{each.diff_id.hex}.tar" for each in image.layers],
            "RepoTags": [f"{name}:{tag}"],
        }
    ]
    top = image.layers[-1].diff_id.hex if image.layers else image.config.digest.hex
    files = {
        config_name: config.pread(config.size, 0),
        "manifest.json": _json(document),
        "repositories": _json({name: {tag: top}}),
    }
    with _archive(out) as tar:
        for path in sorted((*files, *layers)):
            if path in files:
                tar.file(path, len(files[path]), (files[path],))
            else:
                tar.file(path, layers[path].raw_size, _raw(layers[path], store))
    return PublishedImage(name, tag, image.manifest.digest, tuple(images), out)


def _raw(layer: Layer, store: Store) -> Iterator[bytes]:
    """A layer's tar, checked against its diff_id."""
    form = "zst" if layer.descriptor.media_type.endswith("+zstd") else "gz"
    state = hashlib.sha256()
    blob = open_blob(layer.descriptor, store)
    for piece in inflate(
        pieces(blob),
        format=form,
        max_bytes=layer.raw_size,
        packed_size=blob.size,
        what=f"layer {layer.name}",
    ):
        state.update(piece)
        yield piece
    if state.hexdigest() != layer.diff_id.hex:
        raise UntrustedError(
            f"layer {layer.name} is not what it was",
            why=f"wanted {layer.diff_id}, got sha256:{state.hexdigest()}",
            mend="run `staunch store verify`, then build again",
        )


class _Tar:
    """A tar being written; sizes are told ahead."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def folder(self, path: str) -> None:
        write_all(self._fd, tarheader.header(Entry.directory(path)))

    def file(self, path: str, size: int, content: Iterable[bytes]) -> None:
        write_all(self._fd, tarheader.header(Entry(path, Kind.FILE, 0o644, size=size)))
        written = 0
        for piece in content:
            written += len(piece)
            write_all(self._fd, piece)
        if written != size:
            raise UntrustedError(
                f"{path} has another length than promised",
                why=f"wanted {size} bytes, got {written}",
                mend="run `staunch store verify`, then build again",
            )
        write_all(self._fd, tarheader.padding(size))


def refuse_folder(out: Path) -> None:
    """An archive is a file, and replaces none but a file."""
    if out.is_dir():
        raise SpecError(
            f"will not overwrite {out}",
            why="it is a directory, and the image is to be one file",
            mend="choose another place with `-o`",
        )


@contextmanager
def _archive(out: Path) -> Iterator[_Tar]:
    """A tar that appears at ``out`` when it is whole."""
    refuse_folder(out)
    with host(f"write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out)
        temporary = beside(out)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield _Tar(fd)
            write_all(fd, tarheader.END)
            os.fsync(fd)
            temporary.rename(out)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        sync_folder(out.parent)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

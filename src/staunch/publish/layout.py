"""OCI image layouts on disk (image-spec, image-layout.md).

A new layout is written beside its place and renamed. One that stands already is brought up to date
in place, in an order that leaves it whole at every moment: new blobs, then ``index.json`` (by
rename), then blobs that nothing names any more go. Blobs that are there already and have the right
content are not written again; nor are they read, as long as nobody touched the files since they
were written or last found right (``layout_files``).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from staunch.errors import HostError, LostError, SpecError
from staunch.formats import oci
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor, Layer, PlatformImage
from staunch.model.platform import Platform
from staunch.ports import Blob, Store
from staunch.publish.layout_files import Known

__all__ = ["Documents", "PublishedImage", "plan_documents", "write_image", "write_layout"]

CONTAINERD_NAME = "io.containerd.image.name"
_PIECE = 4 * limits.MIB


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """A written image.

    ``digest`` is what ``index.json`` points to: the manifest of a single platform, else the index
    over all. Format and compression of the file around it do not change it, but for a docker
    archive's, which holds no manifest: there it is that of the manifest in the store.
    """

    name: str
    tag: str
    digest: Digest
    images: tuple[PlatformImage, ...]
    path: Path


def write_image(
    platform: Platform,
    layers: Sequence[Layer],
    config: bytes,
    store: Store,
    *,
    annotations: Sequence[tuple[str, str]] = (),
) -> PlatformImage:
    """Keep config and manifest of one platform in the store."""
    configured = Descriptor(oci.MEDIA_CONFIG, store.put(config), len(config))
    data = oci.manifest(configured, [each.descriptor for each in layers], annotations)
    manifest = Descriptor(oci.MEDIA_MANIFEST, store.put(data), len(data))
    return PlatformImage(platform, manifest, configured, tuple(layers))


@dataclass(frozen=True, slots=True)
class Documents:
    """What a layout holds: ``index.json`` and the blobs to copy, sorted by digest."""

    index: bytes
    digest: Digest
    blobs: tuple[Descriptor, ...]


def plan_documents(
    images: Sequence[PlatformImage],
    *,
    name: str,
    tag: str,
    store: Store,
    annotations: Sequence[tuple[str, str]] = (),
    referrers: Sequence[Descriptor] = (),
) -> Documents:
    """``index.json`` for these images; several platforms get an index blob of their own.

    Referrers (artifact manifests, with the blobs they name) are carried along and named by an
    annotation: podman, skopeo and syft refuse an ``index.json`` of several manifests.

    Raises:
        SpecError: no image, or a platform twice.
    """
    ordered = sorted(images, key=lambda each: each.platform)
    if not ordered or len({each.platform for each in ordered}) != len(ordered):
        raise SpecError(
            f"cannot write the image {name}",
            why=f"it has {len(ordered)} manifests, for no platform or one platform twice",
            mend="name each platform once",
        )
    entries: list[tuple[Platform | None, Descriptor]] = [
        (each.platform, each.manifest) for each in ordered
    ]
    found = {
        each.digest: each
        for image in ordered
        for each in (image.manifest, image.config, *(layer.descriptor for layer in image.layers))
    }
    platform, top = entries[0]
    if len(entries) > 1:
        data = oci.index(entries, annotations)
        platform, top = None, Descriptor(oci.MEDIA_INDEX, store.put(data), len(data))
        found[top.digest] = top
    for referrer in referrers:
        found[referrer.digest] = referrer
        blob = open_blob(referrer, store)
        artifact = oci.parse_manifest(blob.pread(oci.DOCUMENT_BYTES + 1, 0))
        found.update((each.digest, each) for each in (artifact.config, *artifact.layers))
    attached = " ".join(sorted({str(each.digest) for each in referrers}))
    # skopeo looks for the tag, containerd and podman for the whole name
    names = ((CONTAINERD_NAME, f"{name}:{tag}"), (oci.REF_NAME, tag))
    named = Descriptor(top.media_type, top.digest, top.size, names)
    return Documents(
        oci.index([(platform, named)], ((oci.REFERRERS, attached),) if attached else ()),
        top.digest,
        tuple(found[digest] for digest in sorted(found)),
    )


def write_layout(
    images: Sequence[PlatformImage],
    *,
    name: str,
    tag: str,
    out: Path,
    store: Store,
    annotations: Sequence[tuple[str, str]] = (),
    referrers: Sequence[Descriptor] = (),
) -> PublishedImage:
    """Write the image as a layout directory at ``out``.

    Args:
        images: one per platform; all their blobs stand in the store.
        name: of the image, without tag.
        tag: by which the layout's index names it.
        out: a new or empty directory, or an OCI layout, which is replaced.
        store: gives the blobs.
        annotations: of the index over several platforms.
        referrers: manifests of artifacts about the image (its SBOM); they and theirs are in the
            store.

    Raises:
        SpecError: ``out`` holds something else.
        HostError: it cannot be written, or a blob is gone from the store.
    """
    documents = plan_documents(
        images, name=name, tag=tag, store=store, annotations=annotations, referrers=referrers
    )
    with host(f"write {out}"):
        if stands(out):
            _update(out, documents, store)
        else:
            _create(out, documents, store)
    return PublishedImage(name, tag, documents.digest, tuple(images), out)


def stands(out: Path) -> bool:
    """Whether ``out`` is a layout; anything else that holds something is refused."""
    if not out.exists():
        return False
    if out.is_dir():
        if not any(out.iterdir()):
            return False
        # what lies behind a link is not the layout's own, and old blobs will be removed
        linked = any((out / name).is_symlink() for name in ("blobs", "blobs/sha256"))
        if (out / "oci-layout").is_file() and (out / "index.json").is_file() and not linked:
            return True
    raise SpecError(
        f"will not overwrite {out}",
        why="it holds something that is not an OCI image layout",
        mend="choose another place with `-o`, or remove it",
    )


def _create(out: Path, documents: Documents, store: Store) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    sweep(out)
    temporary = beside(out)
    temporary.mkdir()
    blobs = temporary / "blobs" / "sha256"
    try:
        with locked(temporary):
            blobs.mkdir(parents=True)
            for each in _large_first(documents):
                _copy(open_blob(each, store), blobs / each.digest.hex)
            _write(temporary / "oci-layout", oci.LAYOUT)
            _write(temporary / "index.json", documents.index)
            for folder in (blobs, blobs.parent, temporary):
                sync_folder(folder)
            temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(out.parent)
    Known(out, store).keep(documents.blobs, {each.digest for each in documents.blobs})


def _large_first(documents: Documents) -> list[Descriptor]:
    return sorted(documents.blobs, key=lambda each: (-each.size, each.digest))


def _update(out: Path, documents: Documents, store: Store) -> None:
    blobs = out / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    with locked(out):
        for left in sorted(blobs.glob(".*")):
            left.unlink()
        made: dict[Digest, Path] = {}
        known = Known(out, store)
        try:
            for each in _large_first(documents):
                target = blobs / each.digest.hex
                if not known.is_there(each):
                    replace_file(target, open_blob(each, store), blobs)
                    made[each.digest] = target
            sync_folder(blobs)
            replace_file(out / "oci-layout", oci.LAYOUT, blobs)
            replace_file(out / "index.json", documents.index, blobs)
        except BaseException:
            for path in made.values():
                path.unlink(missing_ok=True)
            raise
        sync_folder(out)
        wanted = {each.digest.hex for each in documents.blobs}
        for path in sorted(blobs.iterdir()):
            if path.name not in wanted:
                path.unlink()
        known.keep(documents.blobs, made)


def is_there(path: Path, wanted: Descriptor) -> bool:
    """Whether the file has exactly the content that its name says."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != wanted.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == wanted.digest.hex


def replace_file(target: Path, content: Blob | bytes, folder: Path) -> None:
    """Write ``target`` under another name in ``folder`` first, so that it is whole or not there."""
    temporary = folder / f".{secrets.token_hex(8)}"
    try:
        if isinstance(content, bytes):
            _write(temporary, content)
        else:
            _copy(content, temporary)
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def beside(out: Path) -> Path:
    """A new name next to ``out``, for what will be renamed to it."""
    return out.parent / f".{out.name}.{secrets.token_hex(8)}"


def sweep(out: Path) -> None:
    """Remove what killed writers of ``out`` left beside it; living ones hold a lock."""
    name = re.compile(re.escape(f".{out.name}.") + "[0-9a-f]{16}")
    for path in sorted(each for each in out.parent.iterdir() if name.fullmatch(each.name)):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer of a layout at a time: each removes what the other still needs."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def open_blob(each: Descriptor, store: Store) -> Blob:
    """The blob, checked by the store.

    Raises:
        LostError: it is gone, or has another size than its descriptor says.
    """
    blob = store.blob(each.digest)
    if blob is None or blob.size != each.size:
        raise LostError(
            f"the blob {each.digest} is gone from the store",
            why="it was removed or damaged after it had been written",
            mend="build again; if it persists, run `staunch store verify` and check the disk",
        )
    return blob


def pieces(blob: Blob) -> Iterator[bytes]:
    """The blob from beginning to end, some MiB at a time."""
    for offset in range(0, blob.size, _PIECE):
        yield blob.pread(_PIECE, offset)


def _copy(blob: Blob, target: Path) -> None:
    with target.open("xb", buffering=0) as file:
        for piece in pieces(blob):
            write_all(file.fileno(), piece)
        os.fsync(file.fileno())


def _write(target: Path, data: bytes) -> None:
    with target.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_all(fd: int, data: bytes) -> None:
    """Write ``data`` whole."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(path: Path) -> None:
    """Make renames in ``path`` last."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def host(what: str) -> Iterator[None]:
    """Say a failure of the machine in words."""
    try:
        yield
    except OSError as e:
        raise HostError(
            f"cannot {what}",
            why=e.strerror or str(e),
            mend="free some space, give yourself permission, or choose another place with `-o`",
        ) from e

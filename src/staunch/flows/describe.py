"""Describe what was built: SBOMs in two formats, the list of files, and the lock, attached to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from staunch import __version__
from staunch.assemble.payloads import Payloads
from staunch.flows.sbom import attach_lock, attach_sboms
from staunch.formats import oci
from staunch.formats.lock import format_lock
from staunch.model.digest import Digest
from staunch.model.elf import ElfFacts
from staunch.model.image import Assembled, Descriptor, PlatformImage
from staunch.model.lock import Lock
from staunch.model.spec import ImageSpec
from staunch.ports import Store

__all__ = ["Description", "describe", "describe_index"]

_DESCRIBED = "described"  # kind of the store's records
_FORMAT = "3"  # goes into their keys: raise it when the documents of the same image change


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of one image: its SBOM in two formats, and the artifacts attached to it."""

    spdx: bytes
    cyclonedx: bytes
    artifacts: tuple[Descriptor, ...]


def describe(
    assembled: Assembled,
    image: PlatformImage,
    spec: ImageSpec,
    lock: Lock,
    store: Store,
    *,
    payloads: Payloads,
    elf: Mapping[str, ElfFacts],
    listed: bytes,
) -> Description:
    """The SBOMs of one platform's image in both formats, its list of files, and its lock.

    Both documents are a function of the image, its list of files, spec, lock and version: made once,
    they are found again by these.

    Args:
        assembled: the finished tree.
        image: as written.
        spec: whose name and vendor label the documents bear.
        lock: what the image was built from.
        store: gets everything.
        payloads: reads the tree's files.
        elf: facts of libraries, by path.
        listed: the list of files.

    Raises:
        UntrustedError: a package's own metadata cannot be read, or a payload is not as promised.
    """
    key = _described_key(image, listed, spec, lock)
    documents = _find(key, store)
    if documents is None:
        from staunch.flows.bills import image_documents  # a build that changed nothing needs it not

        documents = image_documents(
            assembled, image, spec, lock, store,
            payloads=payloads, elf=elf, listed=listed, supplier=_vendor(spec),
        )  # fmt: skip
        digests = [store.put(each).hex for each in documents]
        store.put_record(_DESCRIBED, key, " ".join(digests).encode())
    sboms = attach_sboms(store, image.manifest, *documents, listed)
    return Description(*documents, (*sboms, attach_lock(store, image.manifest, lock)))


def _described_key(image: PlatformImage, listed: bytes, spec: ImageSpec, lock: Lock) -> str:
    indexes = spec.python.indexes if spec.python else ()
    uris = [uri for each in spec.repositories for uri in (each.id, *each.uris)]
    words = (
        _FORMAT, __version__, str(image.manifest.digest), str(Digest.of(listed)),
        str(Digest.of(format_lock(lock))), spec.name, _vendor(spec), *indexes, *uris,
    )  # fmt: skip
    return Digest.of("\0".join(words).encode()).hex


def _find(key: str, store: Store) -> tuple[bytes, bytes] | None:
    record = store.record(_DESCRIBED, key)
    if record is None:
        return None
    blobs = [store.blob(Digest(word)) for word in record.decode().split()]
    first, second = (blob.pread(blob.size, 0) if blob is not None else None for blob in blobs)
    return (first, second) if first is not None and second is not None else None


def describe_index(
    spec: ImageSpec, lock: Lock, images: Sequence[PlatformImage], store: Store
) -> tuple[Descriptor, ...]:
    """The artifacts of the index over several platforms: SBOMs that name them, and the lock."""
    from staunch.flows.bills import index_documents

    data = oci.index([(each.platform, each.manifest) for each in _sorted(images)])
    index = Descriptor(oci.MEDIA_INDEX, store.put(data), len(data))
    documents = index_documents(images, index, spec.name, lock, supplier=_vendor(spec))
    sboms = attach_sboms(store, index, *documents)
    return (*sboms, attach_lock(store, index, lock))


def _sorted(images: Sequence[PlatformImage]) -> list[PlatformImage]:
    return sorted(images, key=lambda each: each.platform)


def _vendor(spec: ImageSpec) -> str:
    return dict(spec.labels).get("org.opencontainers.image.vendor", "")[:200]

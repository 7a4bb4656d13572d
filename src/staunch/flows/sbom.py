"""What a build says of an image, beside it: artifacts whose subject it is (image-spec, "Referrers")."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats import cyclonedx, file_list, oci, spdx
from staunch.formats.lock import MEDIA_TYPE as LOCK_MEDIA_TYPE
from staunch.formats.lock import format_lock
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor, PlatformImage
from staunch.model.lock import Lock
from staunch.model.platform import Platform
from staunch.ports import Store

if TYPE_CHECKING:
    from staunch.publish.read import ImageSource

EMPTY: Final = b"{}"  # image-spec, manifest.md, "Guidance for an Empty Descriptor"
MEDIA_EMPTY: Final = "application/vnd.oci.empty.v1+json"
SBOM_BYTES = 256 * limits.MIB
_ARTIFACTS: Final = (spdx.MEDIA_TYPE, cyclonedx.MEDIA_TYPE, LOCK_MEDIA_TYPE)


def attach_sboms(
    store: Store, subject: Descriptor, document: bytes, cdx: bytes, files: bytes = b""
) -> tuple[Descriptor, ...]:
    """Keep both SBOMs in the store as artifacts about an image or index.

    Args:
        store: gets everything.
        subject: the manifest or index that they are about.
        document: SPDX.
        cdx: CycloneDX.
        files: the list of files, in one artifact with the SPDX document, which names its digest.

    Returns:
        The artifacts' manifests, for ``write_layout``'s ``referrers``.
    """
    first = [(spdx.MEDIA_TYPE, document)]
    if files:
        first.append((file_list.MEDIA_TYPE, files))
    return (
        _artifact(store, subject, spdx.MEDIA_TYPE, first),
        _artifact(store, subject, cyclonedx.MEDIA_TYPE, [(cyclonedx.MEDIA_TYPE, cdx)]),
    )


def attach_sbom(
    store: Store, image: PlatformImage, document: bytes, files: bytes = b""
) -> Descriptor:
    """Keep the SPDX document (and the list of files) as an artifact about ``image``."""
    layers = [(spdx.MEDIA_TYPE, document)]
    if files:
        layers.append((file_list.MEDIA_TYPE, files))
    return _artifact(store, image.manifest, spdx.MEDIA_TYPE, layers)


def attach_lock(store: Store, subject: Descriptor, lock: Lock) -> Descriptor:
    """Keep the lock as an artifact about an image or index: what a rebuild begins with."""
    return _artifact(store, subject, LOCK_MEDIA_TYPE, [(LOCK_MEDIA_TYPE, format_lock(lock))])


def _artifact(
    store: Store, subject: Descriptor, kind: str, layers: Sequence[tuple[str, bytes]]
) -> Descriptor:
    config = Descriptor(MEDIA_EMPTY, store.put(EMPTY), len(EMPTY))
    described = [Descriptor(media, store.put(data), len(data)) for media, data in layers]
    data = oci.manifest(config, described, artifact_type=kind, subject=subject)
    return Descriptor(oci.MEDIA_MANIFEST, store.put(data), len(data))


def read_sbom(
    path: Path,
    platform: Platform | None = None,
    *,
    media_type: str = spdx.MEDIA_TYPE,
    index: bool = False,
) -> bytes:
    """The SBOM that a build put beside the image at ``path``, checked against its digest.

    Args:
        path: an OCI layout directory or archive.
        platform: which image; may be left out when there is one.
        media_type: another document: CycloneDX, the list of files, the lock.
        index: what is about the index over several platforms, instead of about one of them.

    Raises:
        SpecError: no image there, or none for that platform.
        UndecidedError: the image has no SBOM.
        UntrustedError: it is damaged, or is about another image.
    """
    from staunch.publish.read import open_image

    with open_image(path) as source:
        subject: Digest | None = source.digest
        what = "the index"
        if not index:
            image = source.image(platform)
            subject, what = image.manifest.digest if image.manifest else None, str(image.platform)
        for digest in _referrers(source):
            data = source.read_blob(digest, max_bytes=oci.DOCUMENT_BYTES)
            manifest = oci.parse_manifest(data)
            if (
                manifest.artifact_type in _ARTIFACTS
                and manifest.subject is not None
                and manifest.subject == subject
            ):
                for layer in manifest.layers:
                    if layer.media_type == media_type:
                        return source.read_blob(layer.digest, max_bytes=SBOM_BYTES)
    raise UndecidedError(
        f"{path} carries no SBOM for {what}",
        why="no artifact in it is one about this image",
        mend="build the image with `staunch build` into an OCI layout or archive",
    )


def _referrers(source: ImageSource) -> tuple[Digest, ...]:
    """What the layout's index names; by an annotation, in its order."""
    text = dict(source.annotations).get(oci.REFERRERS, "")
    try:
        return tuple(Digest.parse(word) for word in text.split())
    except SpecError as error:
        raise UntrustedError(
            f"cannot read the list of artifacts in {source.path}",
            why=f"index.json, annotation {oci.REFERRERS}: {error.what}",
            mend="build the image again",
        ) from error

"""An image's SBOM beside it: an artifact whose subject is the image (image-spec, "Referrers")."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.formats import file_list, oci, spdx
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor, PlatformImage
from staunch.model.platform import Platform
from staunch.ports import Store

if TYPE_CHECKING:
    from staunch.publish.read import ImageSource, SourceImage

EMPTY: Final = b"{}"  # image-spec, manifest.md, "Guidance for an Empty Descriptor"
MEDIA_EMPTY: Final = "application/vnd.oci.empty.v1+json"
SBOM_BYTES = 256 * limits.MIB


def attach_sbom(
    store: Store, image: PlatformImage, document: bytes, files: bytes = b""
) -> Descriptor:
    """Keep the SBOM (and the list of files) in the store as an artifact about ``image``.

    Returns:
        The artifact's manifest, for ``write_layout``'s ``referrers``.
    """
    config = Descriptor(MEDIA_EMPTY, store.put(EMPTY), len(EMPTY))
    layers = [Descriptor(spdx.MEDIA_TYPE, store.put(document), len(document))]
    if files:
        layers.append(Descriptor(file_list.MEDIA_TYPE, store.put(files), len(files)))
    data = oci.manifest(config, layers, artifact_type=spdx.MEDIA_TYPE, subject=image.manifest)
    return Descriptor(oci.MEDIA_MANIFEST, store.put(data), len(data))


def read_sbom(
    path: Path, platform: Platform | None = None, *, media_type: str = spdx.MEDIA_TYPE
) -> bytes:
    """The SBOM that a build put beside the image at ``path``, checked against its digest.

    Args:
        path: an OCI layout directory or archive.
        platform: which image; may be left out when there is one.
        media_type: another document of the same artifact (the list of files).

    Raises:
        SpecError: no image there, or none for that platform.
        UndecidedError: the image has no SBOM.
        UntrustedError: it is damaged, or is about another image.
    """
    from staunch.publish.read import open_image

    with open_image(path) as source:
        image = source.image(platform)
        for digest in _referrers(source):
            data = source.read_blob(digest, max_bytes=oci.DOCUMENT_BYTES)
            manifest = oci.parse_manifest(data)
            if manifest.artifact_type == spdx.MEDIA_TYPE and _about(manifest, image):
                for layer in manifest.layers:
                    if layer.media_type == media_type:
                        return source.read_blob(layer.digest, max_bytes=SBOM_BYTES)
    raise UndecidedError(
        f"{path} carries no SBOM for {image.platform}",
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


def _about(manifest: oci.Manifest, image: SourceImage) -> bool:
    return (
        manifest.subject is not None
        and image.manifest is not None
        and manifest.subject == image.manifest.digest
    )

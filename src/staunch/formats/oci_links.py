"""What a manifest of any kind names, and lists of referrers (image-spec and distribution-spec 1.1).

Documents of media types that nobody here knows pass through a copy untouched; only the descriptors
in them are looked at, under the names that image-spec gives them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from staunch.errors import UntrustedError
from staunch.formats import oci, strict_json
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.ports import Referrer

__all__ = [
    "MANIFEST_TYPES",
    "SCHEMA_1",
    "Child",
    "Links",
    "is_manifest",
    "media_type_of",
    "parse_links",
    "parse_referrers",
    "referrers_index",
    "referrers_tag",
]

_DOCKER = "application/vnd.docker.distribution.manifest"
MANIFEST_TYPES = (
    oci.MEDIA_INDEX,
    oci.MEDIA_MANIFEST,
    f"{_DOCKER}.list.v2+json",
    f"{_DOCKER}.v2+json",
    "application/vnd.oci.artifact.manifest.v1+json",  # of a draft of image-spec 1.1
)
SCHEMA_1 = frozenset({f"{_DOCKER}.v1+json", f"{_DOCKER}.v1+prettyjws"})
_INDEXES = (oci.MEDIA_INDEX, f"{_DOCKER}.list.v2+json")
_MOST = 4096  # descriptors in one document; more do not fit 4 MiB with digests of their own
_MEND = "take the image from where it was built, or report it to whoever offers it"


@dataclass(frozen=True, slots=True)
class Child:
    """A manifest that an index names; ``platform`` as ``os/architecture[/variant]``, or ""."""

    descriptor: Descriptor
    platform: str


@dataclass(frozen=True, slots=True)
class Links:
    """What a manifest names: ``blobs`` (config first), the manifests of an index, its subject."""

    media_type: str
    artifact_type: str = ""
    blobs: tuple[Descriptor, ...] = ()
    children: tuple[Child, ...] = ()
    subject: Descriptor | None = None
    annotations: tuple[tuple[str, str], ...] = ()


def is_manifest(media_type: str) -> bool:
    """Whether it is kept under ``manifests/``."""
    return media_type in MANIFEST_TYPES


def is_index(media_type: str) -> bool:
    """Whether it names manifests."""
    return media_type in _INDEXES


def parse_links(data: bytes, media_type: str = "") -> Links:
    """Read a manifest.

    Args:
        data: the document.
        media_type: what it was said to be; the document's own ``mediaType`` must not differ.

    Raises:
        UntrustedError: it is no such document, or names too much.
    """
    known = media_type in MANIFEST_TYPES or not media_type
    try:
        return _parse(data, media_type)
    except UntrustedError:
        if known:
            raise
        return Links(media_type)


def _parse(data: bytes, media_type: str) -> Links:
    top = strict_json.read(data, what="the manifest", mend=_MEND, max_bytes=oci.DOCUMENT_BYTES)
    own = top["mediaType"].text(default="")
    if own and media_type and own != media_type:
        # image-spec, "mediaType": a reader must not take one kind of document for another
        top["mediaType"].fail(f"it says {own[:100]!r}, and is offered as {media_type[:100]!r}")
    for one, other in (("manifests", "layers"), ("manifests", "config")):
        if top[one].present and top[other].present:
            top.fail(f"it has both `{one}` and `{other}`, so it could be read in two ways")
    config = (_descriptor(top["config"]),) if top["config"].present else ()
    layers = (*_all(top["layers"]), *_all(top["blobs"]))
    artifact_type = top["artifactType"].text(default="") or (config[0].media_type if config else "")
    return Links(
        own or media_type or (oci.MEDIA_INDEX if top["manifests"].present else oci.MEDIA_MANIFEST),
        artifact_type,
        (*config, *layers),
        top["manifests"].items(_child, most=_MOST),
        _descriptor(top["subject"]) if top["subject"].present else None,
        _annotations(top),
    )


def media_type_of(data: bytes) -> str:
    """What a manifest says it is, or what it must be by its fields; raises as ``parse_links``."""
    return parse_links(data).media_type


def parse_referrers(data: bytes) -> tuple[Referrer, ...]:
    """An index of referrers; raises as ``parse_links``."""
    top = strict_json.read(
        data, what="the list of referrers", mend=_MEND, max_bytes=oci.DOCUMENT_BYTES
    )
    return top["manifests"].items(
        lambda node: Referrer(_descriptor(node), node["artifactType"].text(default="")), most=_MOST
    )


def referrers_index(referrers: Iterable[Referrer]) -> bytes:
    """Such an index, sorted by digest (distribution-spec, "Referrers Tag Schema")."""
    entries = []
    for each in sorted(referrers, key=lambda each: each.descriptor.digest):
        entry: dict[str, object] = {
            "mediaType": each.descriptor.media_type,
            "digest": str(each.descriptor.digest),
            "size": each.descriptor.size,
        }
        if each.artifact_type:
            entry["artifactType"] = each.artifact_type
        if each.descriptor.annotations:
            entry["annotations"] = dict(each.descriptor.annotations)
        entries.append(entry)
    return strict_json.canonical(
        {"schemaVersion": 2, "mediaType": oci.MEDIA_INDEX, "manifests": entries}
    )


def referrers_tag(subject: Digest) -> str:
    """``sha256-<hex>``."""
    return f"sha256-{subject.hex}"


def _all(node: strict_json.Node) -> tuple[Descriptor, ...]:
    return node.items(_descriptor, most=_MOST)


def _descriptor(node: strict_json.Node) -> Descriptor:
    return Descriptor(
        node["mediaType"].text(default=""),
        node["digest"].digest(),
        node["size"].number(),
        _annotations(node),
    )


def _annotations(node: strict_json.Node) -> tuple[tuple[str, str], ...]:
    return tuple((name, each.text()) for name, each in node["annotations"].members())


def _child(node: strict_json.Node) -> Child:
    platform = node["platform"]
    words: list[str] = []
    if platform.present:
        words = [platform[name].text(default="") for name in ("os", "architecture", "variant")]
    return Child(_descriptor(node), "/".join(word for word in words if word))

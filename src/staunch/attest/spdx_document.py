"""A bill of materials as an SPDX document."""

from __future__ import annotations

import re

from staunch.formats.spdx import (
    DOCUMENT_ID,
    FILE_LIST,
    NOASSERTION,
    ExternalRef,
    ExtractedLicence,
    Relationship,
    SpdxDocument,
    SpdxPackage,
    element_id,
)
from staunch.model.sbom import Component, ComponentKind, Link, Sbom, Supplier

__all__ = ["spdx_document"]

_PURPOSES = {
    ComponentKind.IMAGE: "CONTAINER",
    ComponentKind.FILES: "FILE",
    ComponentKind.LIBRARY: "LIBRARY",
    ComponentKind.MERGED: "LIBRARY",
    ComponentKind.PROJECT: "LIBRARY",
    ComponentKind.SOURCE: "SOURCE",
}
_HOST = re.compile(
    r"https?://[a-z0-9]+(?:[-.][a-z0-9]+){0,50}\.[a-z]{2,5}(?::[0-9]{1,5})?(?:/|\Z)", re.IGNORECASE
)
_LINKS = {
    Link.CONTAINS: "CONTAINS",
    Link.BUNDLES: "CONTAINS",  # SPDX 2.3 has no word of its own; the comment says it
    Link.DEPENDS_ON: "DEPENDS_ON",
    Link.GENERATED_FROM: "GENERATED_FROM",
}


def spdx_document(bom: Sbom) -> SpdxDocument:
    """Every component as a package; files are in a list of their own."""
    everything = (bom.root, *bom.components)
    bundled = {each.target for each in bom.relations if each.link is Link.BUNDLES}
    relationships = [Relationship(DOCUMENT_ID, "DESCRIBES", _id(bom.root.ref))]
    relationships += [
        Relationship(_id(each.source), _LINKS[each.link], _id(each.target))
        for each in bom.relations
    ]
    licences = {text for each in everything for text in each.licence.texts}
    comment = "Packages are those the image was assembled from; licences concluded by nobody."
    if bom.file_list is not None:
        comment += f" The list of files has digest {bom.file_list}."
    return SpdxDocument(
        name=bom.name,
        namespace=f"https://staunch.dev/spdx/{element_id(bom.name)[8:]}/{bom.seed.hex}",
        created=bom.created,
        creators=(f"Tool: staunch-{bom.staunch_version}",),
        packages=tuple(_package(each, bom, bundled=each.ref in bundled) for each in everything),
        relationships=tuple(relationships),
        licences=tuple(sorted(ExtractedLicence(ref, text) for ref, text in licences)),
        comment=comment,
    )


def _id(ref: str) -> str:
    return f"SPDXRef-{ref}"


def _package(component: Component, bom: Sbom, *, bundled: bool) -> SpdxPackage:
    return SpdxPackage(
        id=_id(component.ref),
        name=component.name,
        version=component.version or NOASSERTION,
        file_name=component.file_name,
        supplier=_supplier(component.supplier),
        download=_address(component.download) or NOASSERTION,
        homepage=_address(component.homepage),
        summary=component.summary,
        licence_declared=component.licence.expression or NOASSERTION,
        source_info=component.source_info,
        comment=_comment(component, bundled=bundled),
        purpose=_PURPOSES.get(component.kind, ""),
        checksums=(("SHA256", component.digest.hex),) if component.digest else (),
        refs=tuple(_refs(component, bom)),
    )


def _address(url: str) -> str:
    """Left out where SPDX's validator takes no such host: without a dot, or of a long last part."""
    return url if _HOST.match(url) else ""


def _supplier(supplier: Supplier | None) -> str:
    if supplier is None:
        return NOASSERTION
    kind = "Organization" if supplier.organisation else "Person"
    return f"{kind}: {supplier.name}" + (f" ({supplier.mail})" if supplier.mail else "")


def _refs(component: Component, bom: Sbom) -> list[ExternalRef]:
    refs = []
    if component.purl is not None and component.kind is ComponentKind.SOURCE:
        # a purl proper would make scanners count the source as installed
        refs.append(ExternalRef("OTHER", "source-purl", str(component.purl)))
    elif component.purl is not None:
        refs.append(ExternalRef("PACKAGE-MANAGER", "purl", str(component.purl)))
    if component is bom.root and bom.file_list is not None:
        refs.append(ExternalRef("OTHER", FILE_LIST, str(bom.file_list)))
    return refs


def _comment(component: Component, *, bundled: bool) -> str:
    """What SPDX has no field for."""
    words = list(component.remarks)
    if bundled:
        words.append(f"bundled: {component.paths[0]}")
    if component.known_by:
        what = "version" if component.version else "name; the version is not known"
        words.append(f"known by {component.known_by} ({what})")
    words += [f"{name}: {value}" for name, value in component.facts]
    return "; ".join(words)

"""The bill of materials of a finished tree, made of the same parts and entries as its layers.

Packages are what the build took in, with the digest of the file as downloaded. SPDX lists no files,
CycloneDX does; both name the digest of ``file_list`` (docs/adr/0013-two-sboms.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from staunch.attest.dependencies import Dependencies, control
from staunch.attest.spdx_document import spdx_document
from staunch.attest.suppliers import person
from staunch.attest.wheel_metadata import homepage, licence_of, metadata, supplier_of
from staunch.ecosystems.bundled import Bundled
from staunch.errors import SpecError
from staunch.formats.cyclonedx import write_cyclonedx
from staunch.formats.file_list import write_file_list
from staunch.formats.spdx import element_id, write_spdx
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind
from staunch.model.image import Assembled
from staunch.model.licence import NOTHING_DECLARED, Licence
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.model.purl import Purl
from staunch.model.sbom import (
    Component,
    ComponentKind,
    Foreign,
    Link,
    ListedFile,
    Relation,
    Sbom,
    Supplier,
)

__all__ = ["PartFacts", "bill", "cyclonedx", "file_list", "index_bill", "sbom", "spdx"]

_METADATA_PATH = re.compile(
    r"(?P<folder>.*/)(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-/]+)"
    r"(\.dist-info/METADATA|(-py\d[\d.]*)?\.egg-info(/PKG-INFO)?)"
)
_ADDRESS = re.compile(
    r"https?://(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})+"
    r"(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
_SITE = ("/dist-packages/", "/site-packages/")


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What was read of a part's files for its bill (``flows.describe``).

    ``licence`` is a Debian package's, from its copyright file. ``bundled`` are the libraries in a
    wheel; ``merged`` pairs the path of each SBOM that it carries with the components told there;
    ``unread`` pairs the path of one that could not be read with the reason.
    """

    licence: Licence = NOTHING_DECLARED
    bundled: tuple[Bundled, ...] = ()
    merged: tuple[tuple[str, tuple[Foreign, ...]], ...] = ()
    unread: tuple[tuple[str, str], ...] = ()


def sbom(
    assembled: Assembled,
    *,
    name: str,
    created: datetime,
    seed: Digest,
    staunch_version: str,
    file_names: Mapping[str, str] | None = None,
) -> bytes:
    """The SPDX document of ``bill`` with nothing read of any file; for callers that have no store."""
    return spdx(
        bill(
            assembled, name=name, created=created, seed=seed, staunch_version=staunch_version,
            file_names=file_names,
        )
    )  # fmt: skip


def spdx(bom: Sbom) -> bytes:
    """SPDX 2.3, JSON."""
    return write_spdx(spdx_document(bom))


def cyclonedx(bom: Sbom) -> bytes:
    """CycloneDX 1.6, JSON."""
    return write_cyclonedx(bom)


def file_list(assembled: Assembled) -> bytes:
    """Every path of the image, sorted (``formats.file_list``)."""
    return write_file_list(assembled.entries)


def bill(
    assembled: Assembled,
    *,
    name: str,
    created: datetime,
    seed: Digest,
    staunch_version: str,
    file_names: Mapping[str, str] | None = None,
    downloads: Mapping[str, str] | None = None,
    facts: Mapping[str, PartFacts] | None = None,
    supplier: str = "",
    listed: bytes | None = None,
) -> Sbom:
    """One platform's bill. A function of its arguments alone.

    Args:
        assembled: the tree that the layers were made from.
        name: the image's name.
        created: the lock's ``created``.
        seed: digest of the image's manifest; makes the documents' names unique.
        staunch_version: of what made it.
        file_names: of parts as downloaded, by ``Part.id``, where known.
        downloads: URLs of these files, likewise.
        facts: what was read of their files, likewise.
        supplier: the organisation that supplies the image (its vendor label), "" where unknown.
        listed: ``file_list(assembled)``, if it is at hand.

    Raises:
        UntrustedError: a package's own metadata cannot be read.
    """
    owner = Supplier(supplier, organisation=True) if supplier else None
    made = _Making(
        assembled, owner, staunch_version, file_names or {}, downloads or {}, facts or {}
    )
    root = _root(assembled.platform, name, seed, owner)
    components, relations = made.everything(root)
    return Sbom(
        name, created, seed, staunch_version, root, components, relations,
        tuple(made.files()),
        Digest.of(file_list(assembled) if listed is None else listed),
    )  # fmt: skip


def index_bill(
    images: Iterable[tuple[Platform, Digest]],
    *,
    name: str,
    created: datetime,
    seed: Digest,
    staunch_version: str,
    supplier: str = "",
) -> Sbom:
    """The bill of an index: the image of each platform, by the digest of its manifest."""
    owner = Supplier(supplier, organisation=True) if supplier else None
    root = Component(
        _ref("image"), ComponentKind.IMAGE, name, str(seed),
        Purl.make("oci", "", name.lower(), str(seed)), owner, digest=seed,
    )  # fmt: skip
    parts = tuple(
        replace(_root(platform, name, digest, owner), ref=_ref("image", *str(platform).split("/")))
        for platform, digest in sorted(images)
    )
    relations = tuple(Relation(root.ref, Link.CONTAINS, part.ref) for part in parts)
    return Sbom(name, created, seed, staunch_version, root, parts, relations)


def _ref(*parts: str) -> str:
    return element_id(*parts).removeprefix("SPDXRef-")


def _root(platform: Platform, name: str, manifest: Digest, supplier: Supplier | None) -> Component:
    return Component(
        _ref("image"),
        ComponentKind.IMAGE,
        name,
        str(manifest),
        Purl.make("oci", "", name.lower(), str(manifest), arch=platform.architecture),
        supplier,
        digest=manifest,
        facts=(("platform", str(platform)),),
    )


class _Making:
    """One bill in the making."""

    def __init__(
        self,
        assembled: Assembled,
        supplier: Supplier | None,
        version: str,
        file_names: Mapping[str, str],
        downloads: Mapping[str, str],
        facts: Mapping[str, PartFacts],
    ) -> None:
        self._assembled, self._supplier, self._version = assembled, supplier, version
        self._names, self._downloads, self._facts = file_names, downloads, facts
        self._present = _paths_by_owner(assembled.entries)
        self._refs = {part.id: _ref(*part.id.split(":")) for part in assembled.parts}
        self._components: dict[str, Component] = {}
        self._relations: set[Relation] = set()

    def everything(self, root: Component) -> tuple[tuple[Component, ...], tuple[Relation, ...]]:
        dependencies = Dependencies(self._assembled)
        for part in self._assembled.parts:
            if part.kind is PartKind.PACK:
                continue  # byte code: its files count to the part that they were compiled from
            component = self._part(part)
            self._add(component, root.ref, Link.CONTAINS)
            self._inner(part, component)
            for other in dependencies.of(part):
                self._relate(component.ref, Link.DEPENDS_ON, self._refs[other.id])
        components = tuple(self._components[ref] for ref in sorted(self._components))
        return components, tuple(sorted(self._relations, key=_order))

    def files(self) -> Iterator[ListedFile]:
        digests = {entry.path: entry.digest for entry in self._assembled.entries}
        for entry in self._assembled.entries:
            digest = digests.get(entry.link) if entry.kind is Kind.HARDLINK else entry.digest
            if digest is not None:
                owner = entry.owner.removeprefix("pyc:")
                yield ListedFile(self._refs.get(owner, "staunch"), entry.path, digest)

    def _add(self, component: Component, parent: str, link: Link) -> None:
        there = self._components.setdefault(component.ref, component)
        if there != component:
            raise SpecError(
                "the SBOM cannot be written",
                why=f"two components are called {component.ref!r}",
                mend="report this, with the lock, to the project",
            )
        self._relate(parent, link, component.ref)

    def _relate(self, source: str, link: Link, target: str) -> None:
        self._relations.add(Relation(source, link, target))

    def _part(self, part: Part) -> Component:
        present = self._present.get(part.id, {})
        base = Component(
            self._refs[part.id],
            ComponentKind.FILES,
            part.name,
            part.version,
            part.purl,
            digest=part.digest,
            file_name=self._names.get(part.id, ""),
            download=self._downloads.get(part.id, ""),
            remarks=tuple(_remarks(part, present)),
        )
        match part.kind:
            case PartKind.DEB:
                return self._deb(part, base)
            case PartKind.WHEEL:
                return self._wheel(part, base, present)
            case PartKind.STAUNCH:
                own = Supplier("Staunch", organisation=True)
                return replace(base, version=self._version, supplier=own)
            case PartKind.FILES | PartKind.PACK:
                listed = write_file_list(present[path] for path in sorted(present))
                return replace(base, version=str(Digest.of(listed)), supplier=self._supplier)

    def _deb(self, part: Part, base: Component) -> Component:
        fields = control(part)
        name, version = _source(fields.get("Source") or "", part)
        supplier = person(fields.get("Maintainer") or "")
        source = Component(
            _ref("source", name, version),
            ComponentKind.SOURCE,
            name,
            version,
            _source_purl(part, name, version),
            supplier,
        )
        self._components.setdefault(source.ref, source)
        self._relate(base.ref, Link.GENERATED_FROM, source.ref)
        facts = self._facts.get(part.id, PartFacts())
        return replace(
            base,
            kind=ComponentKind.DEB,
            supplier=supplier,
            licence=facts.licence,
            homepage=_url(fields.get("Homepage") or ""),
            summary=(fields.get("Description") or "").split("\n", 1)[0].strip(),
            source_info=f"built package from: {name} {version}",
        )

    def _wheel(self, part: Part, base: Component, present: Mapping[str, Entry]) -> Component:
        message = metadata(part)
        unread = self._facts.get(part.id, PartFacts()).unread
        facts = [*_records(part, present)]
        facts += [("unread-sbom", f"{path}: {why}") for path, why in unread]
        return replace(
            base,
            kind=ComponentKind.WHEEL,
            supplier=supplier_of(message),
            licence=licence_of(message, part.name),
            homepage=_url(homepage(message)),
            summary=str(message.get("Summary", "")).split("\n", 1)[0].strip(),
            facts=tuple(sorted(facts)),
        )

    def _inner(self, part: Part, outer: Component) -> None:
        """What lies inside a part: projects with metadata, libraries, what its own SBOMs tell."""
        for component in _carried(part, outer, self._present.get(part.id, {})):
            self._add(component, outer.ref, Link.CONTAINS)
        facts = self._facts.get(part.id, PartFacts())
        present = self._present.get(part.id, {})
        for found in facts.bundled:
            component = _library(part, outer, found, present[found.path].digest)
            self._add(component, outer.ref, Link.BUNDLES)
        for path, components in facts.merged:
            for told in components:
                if not _is_itself(told, part):
                    self._add(_merged(outer, path, told), outer.ref, Link.BUNDLES)


def _order(relation: Relation) -> tuple[str, str, str]:
    return relation.source, relation.link.value, relation.target


def _paths_by_owner(entries: Iterable[Entry]) -> dict[str, dict[str, Entry]]:
    owned: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        if entry.kind is not Kind.DIR:
            owned.setdefault(entry.owner, {})[entry.path] = entry
    return owned


def _remarks(part: Part, present: Mapping[str, Entry]) -> Iterator[str]:
    """What a reader should know of what became of the package."""
    published = {entry.path for entry in part.entries if entry.kind is not Kind.DIR}
    published.update(part.left_out.paths if part.left_out is not None else ())
    gone = len(published - present.keys())
    if gone and part.kind in {PartKind.DEB, PartKind.WHEEL}:
        yield f"{gone} of {len(published)} paths as published are not in the image"


def _records(part: Part, present: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    record = part.member("RECORD")
    if record is None:
        return
    yield "record-as-published", str(Digest.of(record))
    for path, entry in sorted(present.items()):
        if path.endswith(".dist-info/RECORD") and entry.digest is not None:
            yield "record-in-image", str(entry.digest)


def _carried(part: Part, outer: Component, present: Mapping[str, Entry]) -> Iterator[Component]:
    """Python projects that lie inside a package under their own metadata.

    setuptools and pip carry others along (``_vendor``); Debian's modules of Python bring theirs.
    Name and version are those of the metadata's folder (PEP 376, PEP 427).
    """
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(present):
        match = _METADATA_PATH.fullmatch(path) if "-info" in path else None
        if match is None or (part.kind is PartKind.WHEEL and match["folder"].endswith(_SITE)):
            continue
        name = re.sub(r"[-_.]+", "-", match["name"]).lower()
        found.setdefault((name, match["version"].replace("_", "-")), []).append(path)
    for (name, version), paths in found.items():
        yield Component(
            _ref("carried", *part.id.split(":"), name, version),
            ComponentKind.PROJECT,
            name,
            version,
            Purl.make("pypi", "", name, version),
            outer.supplier,
            paths=tuple(paths),
            known_by="metadata",
            remarks=(f"carried inside {part.name}: {', '.join(paths)}",),
        )


def _library(part: Part, outer: Component, found: Bundled, digest: Digest | None) -> Component:
    """CUDA's libraries have the version of the wheel that NVIDIA ships them in, where none is told."""
    version, known_by = found.version, found.known_by
    if not version and found.kind == "cuda-library" and part.name.startswith("nvidia-"):
        version, known_by = part.version, "package"
    facts = [("kind", found.kind), ("soname", found.soname), ("build-id", found.build_id)]
    return Component(
        _ref("library", *part.id.split(":"), found.path),
        ComponentKind.LIBRARY,
        found.name,
        version,
        replace(found.purl, version=version),
        outer.supplier,
        digest=digest,
        paths=(found.path,),
        known_by=known_by,
        facts=tuple(sorted((key, value) for key, value in facts if value)),
    )


def _is_itself(told: Foreign, part: Part) -> bool:
    """Whether a wheel's SBOM speaks of the wheel, or of a module in it."""
    plain = re.split(r"[?#]", told.purl)[0].replace("_", "-").lower()
    return plain == f"pkg:pypi/{part.name}@{part.version}".replace("_", "-").lower()


def _merged(outer: Component, path: str, told: Foreign) -> Component:
    """The purl stays as it is where it is one; its licence, which is somebody's word, is a fact."""
    facts = [("licence", told.licence), ("told-digest", told.digest)]
    purl: Purl | None = None
    if told.purl:
        try:
            purl = Purl.parse(told.purl.partition("#")[0])
        except SpecError:
            facts.append(("told-purl", told.purl))
    words = (path, told.name, told.version, told.purl, told.licence, told.digest)
    key = Digest.of("\0".join(words).encode("utf-8", "surrogateescape")).hex[:16]
    return Component(
        _ref("merged", outer.ref, told.name, key),
        ComponentKind.MERGED,
        told.name,
        told.version,
        purl,
        outer.supplier,
        paths=(path,),
        known_by="pep770",
        facts=tuple(sorted((name, value) for name, value in facts if value)),
    )


def _source(field: str, part: Part) -> tuple[str, str]:
    """Name and version of the source package (deb-control(5), "Source")."""
    name, _, version = (field or part.name).partition(" ")
    return name, version.strip("( )") or part.version


def _source_purl(part: Part, name: str, version: str) -> Purl | None:
    if part.purl is None:
        return None
    distro = part.purl.qualifier("distro")
    return Purl.make("deb", part.purl.namespace, name, version, arch="source", distro=distro)


def _url(text: str) -> str:
    """A web address that is one in every character (RFC 3986), else ""."""
    return text if _ADDRESS.fullmatch(text) else ""

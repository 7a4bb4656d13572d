"""The SBOM of a finished tree, made of the same parts and entries as its layers.

Packages are what the build took in, with the digest of the file as downloaded. SPDX 2.3 wants a
SHA-1 of every file it lists (clause 8.4), which nothing else here needs: the document lists no
files, and names the digest of ``file_list`` instead (docs/adr/0006-sbom-files.md).
"""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from email.message import Message

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from staunch.errors import UntrustedError
from staunch.formats.deb822 import Stanza, parse_stanza
from staunch.formats.file_list import write_file_list
from staunch.formats.relations import parse_relations
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
    write_spdx,
)
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind
from staunch.model.image import Assembled
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.model.purl import Purl

_PERSON = re.compile(r"\s*(?P<name>[^<>()]*?)\s*<(?P<mail>[^<>()\s]+)>\s*")
_METADATA_PATH = re.compile(
    r"(?P<folder>.*/)(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-/]+)"
    r"(\.dist-info/METADATA|(-py\d[\d.]*)?\.egg-info(/PKG-INFO)?)"
)
_SITE = ("/dist-packages/", "/site-packages/")
_LICENCE_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
_PYTHON = re.compile(r"python(3\.[0-9]+)-minimal")
_TEAM = ("team", "group", "maintainers", "developers", "project", "packagers", "debian", "ubuntu")
_CLASSIFIERS = {  # those that name one licence of the SPDX list and no other
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
}


def sbom(
    assembled: Assembled,
    *,
    name: str,
    created: datetime,
    seed: Digest,
    staunch_version: str,
    file_names: Mapping[str, str] | None = None,
    files: Digest | None = None,
) -> bytes:
    """The SPDX 2.3 document, as JSON, of one platform's image. A function of its arguments alone.

    Args:
        assembled: the tree that the layers were made from.
        name: the image's name.
        created: the lock's ``created``.
        seed: digest of the image's manifest; makes the namespace unique.
        staunch_version: of what made it.
        file_names: of parts as downloaded, by ``Part.id``, where known.
        files: digest of ``file_list(assembled)``, where it was made already.

    Raises:
        UntrustedError: a package's own metadata cannot be read.
    """
    files = files or Digest.of(file_list(assembled))
    root = _root(assembled.platform, name, seed, files)
    described = [part for part in assembled.parts if part.kind is not PartKind.PACK]
    dependencies = _Dependencies(assembled)
    packages = [root]
    licences: list[ExtractedLicence] = []
    relationships = [Relationship(DOCUMENT_ID, "DESCRIBES", root.id)]
    present = _paths_by_owner(assembled.entries)
    for part in described:
        package = _package(part, present.get(part.id, {}), (file_names or {}).get(part.id, ""))
        packages.append(package)
        relationships.append(Relationship(root.id, "CONTAINS", package.id))
        for inner in _carried(part, present.get(part.id, {})):
            packages.append(inner)
            relationships.append(Relationship(package.id, "CONTAINS", inner.id))
        relationships += [
            Relationship(package.id, "DEPENDS_ON", _id(other)) for other in dependencies.of(part)
        ]
        licences += [
            ExtractedLicence(ref, f"See the licence texts that {part.name} carries in the image.")
            for ref in _LICENCE_REF.findall(package.licence_declared)
        ]
    return write_spdx(
        SpdxDocument(
            name=name,
            namespace=f"https://staunch.dev/spdx/{element_id(name)[8:]}/{seed.hex}",
            created=created,
            creators=(f"Tool: staunch-{staunch_version}",),
            packages=tuple(packages),
            relationships=tuple(relationships),
            licences=tuple(licences),
            comment=(
                "Packages are those the image was assembled from; licences concluded by nobody. "
                f"The list of files has digest {files}."
            ),
        )
    )


def file_list(assembled: Assembled) -> bytes:
    """Every path of the image, sorted (``formats.file_list``)."""
    return write_file_list(assembled.entries)


def _root(platform: Platform, name: str, manifest: Digest, files: Digest) -> SpdxPackage:
    purl = Purl.make("oci", "", name.lower(), str(manifest), arch=platform.architecture)
    return SpdxPackage(
        id=element_id("image"),
        name=name,
        version=str(manifest),
        purpose="CONTAINER",
        checksums=(("SHA256", manifest.hex),),
        refs=(
            ExternalRef("PACKAGE-MANAGER", "purl", str(purl)),
            ExternalRef("OTHER", FILE_LIST, str(files)),
        ),
    )


def _id(part: Part) -> str:
    return element_id(*part.id.split(":"))


def _paths_by_owner(entries: Iterable[Entry]) -> dict[str, dict[str, Entry]]:
    owned: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        if entry.kind is not Kind.DIR:
            owned.setdefault(entry.owner, {})[entry.path] = entry
    return owned


def _package(part: Part, present: Mapping[str, Entry], file_name: str) -> SpdxPackage:
    checksums = (("SHA256", part.digest.hex),) if part.digest is not None else ()
    refs: tuple[ExternalRef, ...] = ()
    if part.purl is not None:
        refs = (ExternalRef("PACKAGE-MANAGER", "purl", str(part.purl)),)
    package = SpdxPackage(
        id=_id(part),
        name=part.name,
        version=part.version,
        file_name=file_name,
        checksums=checksums,
        refs=refs,
        comment="; ".join(_remarks(part, present)),
    )
    match part.kind:
        case PartKind.DEB:
            return _deb(part, package)
        case PartKind.WHEEL:
            return _wheel(part, package)
        case PartKind.FILES | PartKind.STAUNCH | PartKind.PACK:
            return replace(package, purpose="FILE")


def _remarks(part: Part, present: Mapping[str, Entry]) -> Iterator[str]:
    """What a reader of the SBOM should know of what became of the package."""
    published = {entry.path for entry in part.entries if entry.kind is not Kind.DIR}
    published.update(part.left_out.paths if part.left_out is not None else ())
    gone = len(published - present.keys())
    if gone and part.kind in {PartKind.DEB, PartKind.WHEEL}:
        yield f"{gone} of {len(published)} paths as published are not in the image"
    record = part.member("RECORD")
    if record is not None:
        yield f"RECORD as published: {Digest.of(record)}"
        for path, entry in sorted(present.items()):
            if path.endswith(".dist-info/RECORD") and entry.digest is not None:
                yield f"RECORD in the image: {entry.digest}"
    bundled = sorted(path for path in present if "/" in path and _is_bundled(path))
    if part.kind is PartKind.WHEEL and bundled:
        yield "bundled libraries: " + ", ".join(bundled)
    documents = sorted(path for path in present if ".dist-info/sboms/" in path)
    if documents:
        yield "its own SBOMs (PEP 770): " + ", ".join(documents)


def _carried(part: Part, present: Mapping[str, Entry]) -> Iterator[SpdxPackage]:
    """Python projects that lie inside a package under their own metadata.

    setuptools and pip carry others along (``_vendor``); Debian's modules of Python bring theirs.
    Name and version are those of the metadata's folder (PEP 376, PEP 427).
    """
    for path in sorted(present):
        found = _METADATA_PATH.fullmatch(path)
        if found is None or (part.kind is PartKind.WHEEL and found["folder"].endswith(_SITE)):
            continue
        name = re.sub(r"[-_.]+", "-", found["name"]).lower()
        version = found["version"].replace("_", "-")
        yield SpdxPackage(
            id=element_id("carried", *part.id.split(":"), name, version),
            name=name,
            version=version,
            refs=(
                ExternalRef("PACKAGE-MANAGER", "purl", str(Purl.make("pypi", "", name, version))),
            ),
            comment=f"carried inside {part.name}: {path}",
        )


def _is_bundled(path: str) -> bool:
    """Whether auditwheel put it there: ``<name>.libs/lib….so…``."""
    folder, _, name = path.rpartition("/")
    return folder.endswith(".libs") and ".so" in name


def _deb(part: Part, package: SpdxPackage) -> SpdxPackage:
    fields = _control(part)
    source, version = _source(fields, part)
    summary = (fields.get("Description") or "").split("\n", 1)[0].strip()
    return replace(
        package,
        supplier=_supplier(fields.get("Maintainer") or ""),
        homepage=_url(fields.get("Homepage") or ""),
        summary=summary,
        source_info=f"built package from: {source} {version}",
    )


def _control(part: Part) -> Stanza:
    data = part.member("control")
    return Stanza() if data is None else parse_stanza(data, what=f"{part.id}: control")


def _source(fields: Stanza, part: Part) -> tuple[str, str]:
    """Name and version of the source package (deb-control(5), "Source")."""
    name, _, version = (fields.get("Source") or part.name).partition(" ")
    return name, version.strip("( )") or part.version


def _supplier(maintainer: str) -> str:
    match = _PERSON.fullmatch(maintainer)
    if match is None or not match["name"]:
        return NOASSERTION
    name = match["name"].strip('"')
    kind = "Organization" if any(word in name.lower() for word in _TEAM) else "Person"
    return f"{kind}: {name} ({match['mail']})"


def _url(text: str) -> str:
    return text if re.fullmatch(r"https?://[!-~]+", text) else ""


def _wheel(part: Part, package: SpdxPackage) -> SpdxPackage:
    message = _metadata(part)
    return replace(
        package,
        summary=str(message.get("Summary", "")).split("\n", 1)[0].strip(),
        licence_declared=_licence(message),
        homepage=_url(str(message.get("Home-page", "")).strip()),
    )


def _metadata(part: Part) -> Message:
    """A wheel's METADATA: headers only, the description is left alone."""
    data = part.member("METADATA") or b""
    head = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    parser = email.parser.HeaderParser(policy=email.policy.compat32)
    return parser.parsestr(head.decode("utf-8", "replace"))


def _licence(message: Message) -> str:
    """The licence expression that the wheel declares (PEP 639), or NOASSERTION.

    ``License`` is taken only where it is an expression by itself, a classifier only where it is
    the one licence classifier and names one licence.
    """
    for field in ("License-Expression", "License"):
        text = str(message.get(field, "")).strip()
        if text and len(text) < 1000:
            try:
                return str(canonicalize_license_expression(text))
            except InvalidLicenseExpression:
                continue
    named = [
        str(each).rsplit(" :: ", 1)[-1]
        for each in message.get_all("Classifier", [])
        if str(each).startswith("License :: ") and str(each).count(" :: ") > 1
    ]
    return _CLASSIFIERS.get(named[0], NOASSERTION) if len(named) == 1 else NOASSERTION


class _Dependencies:
    """Which part depends on which other part of the same image, as their metadata say."""

    def __init__(self, assembled: Assembled) -> None:
        self._platform = assembled.platform
        self._debs: dict[str, Part] = {}
        self._wheels: dict[str, Part] = {}
        python = "3"
        for part in assembled.parts:
            if part.kind is PartKind.WHEEL:
                self._wheels[canonicalize_name(part.name)] = part
            elif part.kind is PartKind.DEB:
                self._debs[part.name] = part
                if match := _PYTHON.fullmatch(part.name):
                    python = match[1]
        for part in assembled.parts:
            if part.kind is PartKind.DEB:
                for provided in self._relations(part, "Provides"):
                    self._debs.setdefault(provided, part)
        self._environment = {
            "extra": "",
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": assembled.platform.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": "linux",
        }

    def of(self, part: Part) -> list[Part]:
        """Sorted by id, without itself."""
        found: dict[str, Part] = {}
        if part.kind is PartKind.DEB:
            for field in ("Pre-Depends", "Depends"):
                for name in self._relations(part, field):
                    if name in self._debs:
                        found[self._debs[name].id] = self._debs[name]
        elif part.kind is PartKind.WHEEL:
            for name in self._required(part):
                if name in self._wheels:
                    found[self._wheels[name].id] = self._wheels[name]
        found.pop(part.id, None)
        return [found[key] for key in sorted(found)]

    def _relations(self, part: Part, field: str) -> Iterator[str]:
        text = _control(part).get(field) or ""
        groups = parse_relations(text, architecture=self._platform.deb, what=f"{part.id}: {field}")
        for group in groups:
            yield from (each.name for each in group)

    def _required(self, part: Part) -> Iterator[str]:
        for each in _metadata(part).get_all("Requires-Dist", []):
            try:
                requirement = Requirement(str(each))
                wanted = requirement.marker is None or requirement.marker.evaluate(
                    self._environment
                )
            except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName) as error:
                raise UntrustedError(
                    f"{part.id} has a requirement that cannot be read",
                    why=f"Requires-Dist: {str(each)[:200]}: {str(error)[:100]}",
                    mend="take another release of it, and report it to its authors",
                ) from error
            if wanted:
                yield canonicalize_name(requirement.name)

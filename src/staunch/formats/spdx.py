"""SPDX 2.3 documents as JSON (spdx.github.io/spdx-spec/v2.3, JSON schema), exact to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from staunch.errors import SpecError, UntrustedError
from staunch.formats import strict_json
from staunch.formats.strict_json import Node
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.sbom import Foreign

MEDIA_TYPE: Final = "application/spdx+json"
VERSION: Final = "SPDX-2.3"
DOCUMENT_ID: Final = "SPDXRef-DOCUMENT"
NOASSERTION: Final = "NOASSERTION"
NONE: Final = "NONE"
FILE_LIST: Final = "staunch-file-list"  # type of the reference to the list of files

_ID = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")
_NOT_ID = re.compile(r"[^A-Za-z0-9.-]")
PACKAGES = 20_000  # of one document of others
_DOCUMENT_BYTES = 256 * limits.MIB


@dataclass(frozen=True, slots=True, order=True)
class ExternalRef:
    """Where more is known of a package (clause 7.21): ``category`` is PACKAGE-MANAGER, OTHER, …."""

    category: str
    type: str
    locator: str


@dataclass(frozen=True, slots=True)
class SpdxPackage:
    """A package (clause 7). Files are never analysed here, so it has no verification code.

    ``checksums`` pairs algorithm (``SHA256``) and hex value; ``purpose`` is CONTAINER, LIBRARY, ….
    Empty texts are left out of the document.
    """

    id: str
    name: str
    version: str = ""
    file_name: str = ""
    supplier: str = NOASSERTION
    download: str = NOASSERTION
    homepage: str = ""
    summary: str = ""
    licence_declared: str = NOASSERTION
    source_info: str = ""
    comment: str = ""
    purpose: str = ""
    checksums: tuple[tuple[str, str], ...] = ()
    refs: tuple[ExternalRef, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Relationship:
    """``source`` ``type`` ``target`` (clause 11), such as A DEPENDS_ON B."""

    source: str
    type: str
    target: str


@dataclass(frozen=True, slots=True, order=True)
class ExtractedLicence:
    """A licence that SPDX does not list (clause 10); ``id`` starts with ``LicenseRef-``."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class SpdxDocument:
    """A whole document; ``creators`` are ``Tool: …`` or ``Organization: …``."""

    name: str
    namespace: str
    created: datetime
    creators: tuple[str, ...]
    packages: tuple[SpdxPackage, ...]
    relationships: tuple[Relationship, ...]
    licences: tuple[ExtractedLicence, ...] = ()
    comment: str = ""


def element_id(*parts: str) -> str:
    """An identifier made of ``parts``; any other character becomes its code."""
    words = (_NOT_ID.sub(lambda match: f".{ord(match[0]):x}.", part) for part in parts)
    return "SPDXRef-" + "-".join(words)


def write_spdx(document: SpdxDocument) -> bytes:
    """The document's bytes: keys, packages and relationships sorted, two blanks of indent.

    Raises:
        SpecError: an identifier is not one, stands twice, or names nothing.
    """
    known = {DOCUMENT_ID}
    for package in document.packages:
        if not _ID.fullmatch(package.id) or package.id in known:
            raise _wrong(f"{package.id!r} is no identifier, or stands twice")
        known.add(package.id)
    for each in document.relationships:
        if each.source not in known or each.target not in known:
            raise _wrong(f"{each.source} {each.type} {each.target} names what is not there")
    top: dict[str, object] = {
        "spdxVersion": VERSION,
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT_ID,
        "name": document.name,
        "documentNamespace": document.namespace,
        "creationInfo": {
            "created": document.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": sorted(document.creators),
        },
        "packages": [_package(each) for each in sorted(document.packages, key=lambda p: p.id)],
        "relationships": [
            {
                "spdxElementId": each.source,
                "relationshipType": each.type,
                "relatedSpdxElement": each.target,
            }
            for each in sorted(set(document.relationships))
        ],
    }
    if document.licences:
        top["hasExtractedLicensingInfos"] = [
            {"licenseId": each.id, "extractedText": each.text}
            for each in sorted(set(document.licences))
        ]
    if document.comment:
        top["comment"] = document.comment
    return json.dumps(top, ensure_ascii=False, sort_keys=True, indent=2).encode() + b"\n"


def _package(package: SpdxPackage) -> dict[str, object]:
    item: dict[str, object] = {
        "SPDXID": package.id,
        "name": package.name,
        "supplier": package.supplier,
        "downloadLocation": package.download,
        "filesAnalyzed": False,
        "licenseConcluded": NOASSERTION,
        "licenseDeclared": package.licence_declared,
        "copyrightText": NOASSERTION,
    }
    optional = {
        "versionInfo": package.version,
        "packageFileName": package.file_name,
        "homepage": package.homepage,
        "summary": package.summary,
        "sourceInfo": package.source_info,
        "comment": package.comment,
        "primaryPackagePurpose": package.purpose,
    }
    item.update((key, value) for key, value in optional.items() if value)
    if package.checksums:
        item["checksums"] = [
            {"algorithm": algorithm, "checksumValue": value}
            for algorithm, value in sorted(package.checksums)
        ]
    if package.refs:
        item["externalRefs"] = [
            {
                "referenceCategory": each.category,
                "referenceType": each.type,
                "referenceLocator": each.locator,
            }
            for each in sorted(package.refs)
        ]
    return item


def parse_packages(data: bytes, *, what: str) -> tuple[Foreign, ...]:
    """The packages of somebody else's document in JSON, each once, sorted.

    Raises:
        UntrustedError: it is no SPDX 2 document in JSON, or over a limit.
    """
    mend = "take another release of the package, and report it to its authors"
    top = strict_json.read(data, what=what, mend=mend, max_bytes=limits.METADATA_BYTES)
    if not top["spdxVersion"].text().startswith("SPDX-2."):
        top["spdxVersion"].fail("wanted SPDX 2")
    return tuple(sorted(set(top["packages"].items(_foreign, most=PACKAGES))))


def _foreign(package: Node) -> Foreign:
    if not package["name"].text().strip():
        package["name"].fail("wanted a name")
    refs = package["externalRefs"].items(lambda node: node, most=1000)
    purls = [
        ref["referenceLocator"].text() for ref in refs if ref["referenceType"].text() == "purl"
    ]
    sums = package["checksums"].items(lambda node: node, most=100)
    digests = [each["checksumValue"].text().lower() for each in sums if each["algorithm"].text() == "SHA256"]  # fmt: skip
    if digests and not re.fullmatch(r"[0-9a-f]{64}", digests[0]):
        package["checksums"].fail("wanted 64 hexadecimal digits")
    licence = package["licenseDeclared"].text(default=NOASSERTION)
    return Foreign(
        package["name"].text()[:500],
        package["versionInfo"].text(default="")[:500],
        purls[0][:4000] if purls else "",
        "" if licence in (NOASSERTION, NONE) else licence[:500],
        digests[0] if digests else "",
    )


def package_purls(data: bytes) -> tuple[str, ...]:
    """The purls of all packages of a document in JSON, sorted.

    Raises:
        UntrustedError: it is no SPDX 2 document.
    """
    return _references(data, "purl")


def file_list_digest(data: bytes) -> Digest | None:
    """The digest of the image's list of files, where the document names exactly one.

    Raises:
        UntrustedError: it is no SPDX 2 document, or what it names is no digest.
    """
    found = set(_references(data, FILE_LIST))
    if len(found) != 1:
        return None
    try:
        return Digest.parse(found.pop())
    except SpecError as error:
        raise _unread(f"{FILE_LIST}: {error.what}") from error


def _references(data: bytes, kind: str) -> tuple[str, ...]:
    """Locators of all external references of one type, sorted."""
    if len(data) > _DOCUMENT_BYTES:
        raise _unread(f"it has {len(data)} bytes, the limit is {_DOCUMENT_BYTES}")
    try:
        top = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _unread(f"it is not JSON: {str(error)[:100]}") from error
    if not isinstance(top, dict) or not str(top.get("spdxVersion", "")).startswith("SPDX-2."):
        raise _unread("it does not say that it is SPDX 2")
    found = [
        ref.get("referenceLocator")
        for package in _objects(top.get("packages"))
        for ref in _objects(package.get("externalRefs"))
        if ref.get("referenceType") == kind
    ]
    return tuple(sorted(each for each in found if isinstance(each, str)))


def _objects(value: object) -> Iterable[dict[str, object]]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _unread("a list of objects was wanted")
    return value


def _wrong(why: str) -> SpecError:
    return SpecError(
        "the SBOM cannot be written",
        why=why,
        mend="report this, with the lock, to the project",
    )


def _unread(why: str) -> UntrustedError:
    return UntrustedError(
        "the SBOM cannot be read", why=why, mend="build the image again, or fetch it again"
    )

"""The inventory that an SBOM tells: SPDX 2.2 and 2.3, CycloneDX 1.4 to 1.6, as JSON.

SPDX clauses 7.1 to 7.24; CycloneDX, ``#/definitions/component``. A document is read element by element,
so its size costs time, not memory; how many packages it may have is limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from staunch.errors import SpecError, UntrustedError
from staunch.formats.json_stream import items
from staunch.model import limits
from staunch.model.inventory import Confidence, Distribution, FoundPackage, Gap, Inventory
from staunch.model.purl import Purl
from staunch.scan.tree import shown

__all__ = ["PACKAGES", "SBOM_BYTES", "inventory_of_sbom"]

SBOM_BYTES = 1 * limits.GIB
PACKAGES = 200_000  # a machine's packages and modules; each is kept

_SPDX = ("SPDX-2.2", "SPDX-2.3")
_CYCLONE = ("1.4", "1.5", "1.6")
_BUILT_FROM = re.compile(r"built package from: (?P<name>\S+) (?P<version>\S+)")
_NO_PACKAGES = {"CONTAINER", "FILE", "OPERATING-SYSTEM", "OPERATING_SYSTEM", "SOURCE", "DEVICE"}
_NO_COMPONENTS = {"file", "container", "device", "data", "cryptographic-asset"}
_DEPTH = 16  # components in components


def inventory_of_sbom(chunks: Iterable[bytes], *, target: str) -> Inventory:
    """What a document lists; files and their owners are not known of it.

    Raises:
        UntrustedError: no SBOM of these versions, damaged, or with too many packages.
    """
    document = _Document()
    for name, value in items(chunks, what=f"the SBOM {target[:200]}", max_bytes=SBOM_BYTES):
        document.take(name, value)
    if not document.known():
        raise _refused(
            target,
            f"it says {document.says()}, wanted {', '.join(_SPDX)} or CycloneDX {', '.join(_CYCLONE)}",
        )
    packages = document.packages
    distribution = document.distribution or _of_packages(packages)
    return Inventory(
        target,
        tuple(sorted(packages, key=lambda each: str(each.purl))),
        gaps=tuple(sorted(set(document.gaps))),
        distribution=distribution,
    )


class _Document:
    """What was read of a document so far; which kind it is may be told at its end."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self.packages: list[FoundPackage] = []
        self.gaps: list[Gap] = []
        self.distribution: Distribution | None = None

    def take(self, name: str, value: object) -> None:
        if name in ("spdxVersion", "bomFormat", "specVersion") and isinstance(value, str):
            self._told[name] = value[:40]
        elif name == "packages":
            self._add(_spdx(value))
        elif name == "components":
            for component in _flat(value):
                if isinstance(component, dict) and component.get("type") == "operating-system":
                    self.distribution = _system(component)
                else:
                    self._add(_cyclone(component))

    def _add(self, found: FoundPackage | Gap | None) -> None:
        if isinstance(found, Gap):
            if len(self.gaps) < 10_000:
                self.gaps.append(found)
        elif found is not None:
            if len(self.packages) >= PACKAGES:
                raise UntrustedError(
                    "the SBOM is too large",
                    why=f"it lists more than {PACKAGES:,} packages",
                    mend="scan the image itself, or divide the SBOM by image",
                )
            self.packages.append(found)

    def known(self) -> bool:
        if self._told.get("spdxVersion") in _SPDX:
            return True
        return (
            self._told.get("bomFormat") == "CycloneDX" and self._told.get("specVersion") in _CYCLONE
        )

    def says(self) -> str:
        return ", ".join(f"{k} {v!r}" for k, v in sorted(self._told.items())) or "no version"


def _flat(value: object, depth: int = 0) -> Iterator[object]:
    """A component and those inside it."""
    yield value
    inner = value.get("components") if isinstance(value, dict) else None
    if isinstance(inner, list) and depth < _DEPTH:
        for each in inner:
            yield from _flat(each, depth + 1)


def _spdx(value: object) -> FoundPackage | Gap | None:
    if not isinstance(value, dict):
        return Gap("sbom", "packages", "a package is no object")
    name, version = _text(value, "name"), _text(value, "versionInfo")
    refs = value.get("externalRefs")
    purls = [
        _text(ref, "referenceLocator")
        for ref in (refs if isinstance(refs, list) else [])
        if isinstance(ref, dict) and ref.get("referenceType") == "purl"
    ]
    purpose = _text(value, "primaryPackagePurpose")
    if purpose in _NO_PACKAGES or any(each.startswith("pkg:oci/") for each in purls):
        return None
    source = _BUILT_FROM.search(_text(value, "sourceInfo"))
    return _package(name, version, purls[0] if purls else "", source)


def _cyclone(value: object) -> FoundPackage | Gap | None:
    if not isinstance(value, dict):
        return Gap("sbom", "components", "a component is no object")
    if value.get("type") in _NO_COMPONENTS:
        return None
    return _package(_text(value, "name"), _text(value, "version"), _text(value, "purl"), None)


def _package(
    name: str, version: str, text: str, source: re.Match[str] | None
) -> FoundPackage | Gap:
    confidence = Confidence.HIGH
    if text:
        try:
            purl = Purl.parse(text.partition("#")[0])  # a subpath is a place inside the package
        except SpecError as fault:
            return Gap("sbom", shown(name or text), f"its purl {shown(text)[:200]!r}: {fault.why}")
    elif name:
        purl, confidence = Purl.make("generic", "", name, version), Confidence.LOW
    else:
        return Gap("sbom", "packages", "a package has neither name nor purl")
    qualifiers = dict(purl.qualifiers)
    distribution = _release(qualifiers.get("distro", ""))
    upstream, _, upstream_version = qualifiers.get("upstream", "").partition("@")
    version = version or purl.version
    if purl.type == "rpm" and qualifiers.get("epoch") and not version.partition(":")[1]:
        version = f"{qualifiers['epoch']}:{version}"
    system = purl.type in ("deb", "apk", "rpm")
    if source is not None:
        upstream, upstream_version = source["name"], source["version"]
    return FoundPackage(
        purl,
        name or purl.name,
        version,
        "sbom",
        architecture=qualifiers.get("arch", ""),
        source=upstream or (purl.name if purl.type in ("deb", "apk") else ""),
        source_version=upstream_version or (version if system and purl.type != "rpm" else ""),
        distribution=distribution,
        confidence=confidence,
    )


def _release(text: str) -> Distribution | None:
    """``debian-12`` of a purl's ``distro``."""
    id_, _, version = text.partition("-")
    return Distribution(id_, version) if id_ else None


def _system(value: dict[str, object]) -> Distribution:
    return Distribution(_text(value, "name").lower(), _text(value, "version"))


def _of_packages(packages: list[FoundPackage]) -> Distribution | None:
    """That of the packages, where they agree."""
    found = {each.distribution for each in packages if each.distribution is not None}
    return found.pop() if len(found) == 1 else None


def _text(value: dict[str, object], key: str) -> str:
    text = value.get(key)
    return shown(text) if isinstance(text, str) else ""


def _refused(target: str, why: str) -> UntrustedError:
    return UntrustedError(
        f"{target[:200]} is no SBOM that can be read",
        why=why,
        mend="write it as SPDX 2.3 or CycloneDX 1.6 JSON",
    )

"""CycloneDX 1.6 documents as JSON (cyclonedx.org, "bom-1.6.schema.json"), exact to the byte.

Also reads the components of such documents that others wrote, as wheels carry them (PEP 770).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC
from typing import Final

from staunch.errors import SpecError
from staunch.formats import strict_json
from staunch.formats.strict_json import Node
from staunch.model import limits
from staunch.model.sbom import Component, ComponentKind, Foreign, Link, ListedFile, Sbom

__all__ = ["MEDIA_TYPE", "bom_link", "parse_components", "write_cyclonedx"]

MEDIA_TYPE: Final = "application/vnd.cyclonedx+json"
SPEC_VERSION: Final = "1.6"
COMPONENTS = 20_000  # of one document of others
DEPTH = 16

_TYPES: Final = {
    ComponentKind.IMAGE: "container",
    ComponentKind.FILES: "file",
    ComponentKind.DEB: "library",
    ComponentKind.WHEEL: "library",
    ComponentKind.PROJECT: "library",
    ComponentKind.LIBRARY: "library",
    ComponentKind.MERGED: "library",
    ComponentKind.SOURCE: "library",
}
_TECHNIQUES: Final = {  # how a version or name was known -> technique, confidence
    "version-string": ("binary-analysis", 0.8),
    "soname": ("binary-analysis", 0.5),
    "file-name": ("filename", 0.5),
    "package": ("manifest-analysis", 0.9),
    "metadata": ("manifest-analysis", 1.0),
    "pep770": ("manifest-analysis", 0.9),
}


def write_cyclonedx(bom: Sbom) -> bytes:
    """The document's bytes: sorted names, one component a line.

    What a component contains or bundles lies inside it; what it was generated from is its pedigree.
    Files stand inside the component that they came with.
    """
    return "".join(_document(bom)).encode("utf-8", "surrogateescape")


def bom_link(bom: Sbom) -> str:
    """How other documents refer to this one (CycloneDX, "BOM-Link")."""
    return f"urn:cdx:{_serial(bom)}/1"


def _serial(bom: Sbom) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://staunch.dev/cyclonedx/{bom.seed.hex}"))


def _document(bom: Sbom) -> Iterator[str]:
    inside: dict[str, list[str]] = {}
    made_from: dict[str, list[str]] = {}
    depends: dict[str, list[str]] = {}
    nested: set[str] = set()
    for each in sorted(bom.relations, key=lambda each: (each.source, each.link.value, each.target)):
        match each.link:
            case Link.CONTAINS | Link.BUNDLES:
                if each.source == bom.root.ref:
                    depends.setdefault(each.source, []).append(each.target)
                else:
                    inside.setdefault(each.source, []).append(each.target)
                    nested.add(each.target)
            case Link.DEPENDS_ON:
                depends.setdefault(each.source, []).append(each.target)
            case Link.GENERATED_FROM:
                made_from.setdefault(each.source, []).append(each.target)
    by_ref = {each.ref: each for each in bom.components}
    if len(by_ref) != len(bom.components) or bom.root.ref in by_ref:
        raise _wrong("a component stands in it twice")
    files: dict[str, list[ListedFile]] = {}
    for file in bom.files:
        files.setdefault(file.owner, []).append(file)
    unknown = {ref for refs in (*inside.values(), *made_from.values(), *depends.values()) for ref in refs} | files.keys()  # fmt: skip
    if missing := sorted(unknown - by_ref.keys() - {bom.root.ref}):
        raise _wrong(f"{missing[0]!r} names no component")

    def rendered(ref: str) -> str:
        parts = [rendered(other) for other in inside.get(ref, ())]
        parts += map(_file, files.get(ref, ()))
        ancestors = [_ancestor(by_ref[other]) for other in made_from.get(ref, ())]
        return _component(by_ref[ref], ancestors, parts)

    yield '{"bomFormat":"CycloneDX","components":[\n'
    top = sorted(
        each.ref
        for each in bom.components
        if each.ref not in nested and each.kind is not ComponentKind.SOURCE
    )
    yield ",\n".join(map(rendered, top))
    yield '\n],"dependencies":[\n'
    refs = sorted(each.ref for each in bom.components if each.kind is not ComponentKind.SOURCE)
    yield ",\n".join(
        _dump({"ref": ref, "dependsOn": found} if (found := depends.get(ref)) else {"ref": ref})
        for ref in sorted([bom.root.ref, *refs])
    )
    yield f'\n],"metadata":{_dump(_metadata(bom))},\n'
    yield f'"serialNumber":"urn:uuid:{_serial(bom)}","specVersion":"{SPEC_VERSION}","version":1}}\n'


def _metadata(bom: Sbom) -> dict[str, object]:
    tool = {"type": "application", "name": "staunch", "version": bom.staunch_version}
    found: dict[str, object] = {
        "timestamp": bom.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [tool]},
        "component": _fields(bom.root, []),
    }
    if bom.root.supplier is not None:
        found["supplier"] = {"name": bom.root.supplier.name}
    if bom.file_list is not None:
        found["properties"] = [{"name": "staunch:file-list", "value": str(bom.file_list)}]
    return found


def _component(component: Component, ancestors: list[dict[str, object]], parts: list[str]) -> str:
    text = _dump(_fields(component, ancestors))
    if not parts:
        return text
    inner = ",\n".join(parts)
    return f'{text[:-1]},"components":[\n{inner}\n]}}'


def _file(file: ListedFile) -> str:
    """As ``_dump`` would give it; written out, since there are a hundred thousand."""
    return f'{{"hashes":[{{"alg":"SHA-256","content":"{file.digest.hex}"}}],"name":{_text(file.path)},"type":"file"}}'


def _fields(component: Component, ancestors: list[dict[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {
        "type": _TYPES[component.kind],
        "bom-ref": component.ref,
        "name": component.name,
    }
    optional = {
        "version": component.version,
        "purl": str(component.purl) if component.purl else "",
        "description": component.summary,
    }
    found.update((key, value) for key, value in optional.items() if value)
    if component.supplier is not None:
        found["supplier"] = _supplier(component)
    if component.digest is not None:
        found["hashes"] = [{"alg": "SHA-256", "content": component.digest.hex}]
    if licences := _licences(component):
        found["licenses"] = licences
    references = [
        {"type": kind, "url": url}
        for kind, url in (("distribution", component.download), ("website", component.homepage))
        if url
    ]
    if references:
        found["externalReferences"] = references
    if ancestors:
        found["pedigree"] = {"ancestors": ancestors}
    if component.known_by or component.paths:
        found["evidence"] = _evidence(component)
    if properties := list(_properties(component)):
        found["properties"] = properties
    return found


def _supplier(component: Component) -> dict[str, object]:
    supplier = component.supplier
    assert supplier is not None  # noqa: S101 - for mypy
    found: dict[str, object] = {"name": supplier.name}
    if supplier.mail:
        found["contact"] = [{"email": supplier.mail}]
    return found


def _licences(component: Component) -> list[dict[str, object]]:
    """One expression; or one licence with its text, where it is the whole declaration."""
    licence = component.licence
    if not licence.expression:
        return []
    texts = dict(licence.texts)
    if licence.expression in texts:
        text = {"contentType": "text/plain", "content": texts[licence.expression]}
        named = {"name": licence.expression, "acknowledgement": "declared", "text": text}
        return [{"license": named}]
    return [{"expression": licence.expression, "acknowledgement": "declared"}]


def _evidence(component: Component) -> dict[str, object]:
    found: dict[str, object] = {}
    if component.known_by:
        technique, confidence = _TECHNIQUES.get(component.known_by, ("other", 0.5))
        method = {"technique": technique, "confidence": confidence, "value": component.known_by}
        field = "version" if component.version else "name"
        found["identity"] = [{"field": field, "confidence": confidence, "methods": [method]}]
    if component.paths:
        found["occurrences"] = [{"location": _clean(path)} for path in component.paths]
    return found


def _properties(component: Component) -> Iterator[dict[str, str]]:
    if component.file_name:
        yield {"name": "staunch:file-name", "value": component.file_name}
    if not component.version:
        yield {"name": "staunch:version", "value": "unknown"}
    for name, value in component.facts:
        yield {"name": f"staunch:{name}", "value": _clean(value)}
    texts = dict(component.licence.texts)
    if component.licence.expression not in texts:
        for name in sorted(texts):
            yield {"name": f"staunch:licence-text:{name}", "value": texts[name]}
    for remark in component.remarks:
        yield {"name": "staunch:remark", "value": _clean(remark)}


def _ancestor(source: Component) -> dict[str, object]:
    found: dict[str, object] = {"type": "library", "name": source.name, "version": source.version}
    if source.purl is not None:
        found["purl"] = str(source.purl)
    return found


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _text(text: str) -> str:
    return json.dumps(_clean(text), ensure_ascii=False)


def _clean(text: str) -> str:
    """Bytes of a path that are no UTF-8 made visible."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _wrong(why: str) -> SpecError:
    return SpecError(
        "the SBOM cannot be written", why=why, mend="report this, with the lock, to the project"
    )


# -- documents of others


_MEND = "take another release of the package, and report it to its authors"
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME, _PURL = 500, 4000  # characters that are kept


def parse_components(data: bytes, *, what: str) -> tuple[Foreign, ...]:
    """The components of a document, nested ones among them, each once, sorted.

    The one that the document is about is left out, files are, too.

    Raises:
        UntrustedError: it is no CycloneDX document in JSON, or over a limit.
    """
    top = strict_json.read(data, what=what, mend=_MEND, max_bytes=limits.METADATA_BYTES)
    top["bomFormat"].constant("CycloneDX")
    found: set[Foreign] = set()
    level = [top["components"], top["metadata"]["component"]["components"]]
    for _ in range(DEPTH):
        below: list[Node] = []
        for each in level:
            for component in each.items(lambda node: node, most=COMPONENTS):
                if component["type"].text(default="library") not in ("file", "container"):
                    found.add(_foreign(component))
                below.append(component["components"])
        level = [each for each in below if each.present]
    if level:
        level[0].fail(f"components are nested more than {DEPTH} deep")
    if len(found) > COMPONENTS:
        top.fail(f"it names {len(found)} components; the limit is {COMPONENTS}")
    return tuple(sorted(found))


def _foreign(component: Node) -> Foreign:
    if not component["name"].text().strip():
        component["name"].fail("wanted a name")
    digest = ""
    for each in component["hashes"].items(lambda node: node, most=100):
        if each["alg"].text() == "SHA-256":
            digest = each["content"].text().lower()
            if not _HEX.fullmatch(digest):
                each["content"].fail("wanted 64 hexadecimal digits")
    return Foreign(
        component["name"].text()[:_NAME],
        component["version"].text(default="")[:_NAME],
        component["purl"].text(default="")[:_PURL],
        " AND ".join(component["licenses"].items(_licence, most=100))[:_NAME],
        digest,
    )


def _licence(choice: Node) -> str:
    """An expression, or a licence's name on the SPDX list or elsewhere."""
    if choice["expression"].present:
        return choice["expression"].text()
    licence = choice["license"]
    return licence["id"].text(default="") or licence["name"].text(default="")

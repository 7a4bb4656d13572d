"""VEX in CycloneDX documents, 1.4 to 1.6 (``vulnerabilities[].analysis``).

``affects[].ref`` names a component of the same document, or one of another by a BOM-Link
(``urn:cdx:…#ref``), whose ref is of use where it is a purl. What a statement says about a component
is said of it *inside* the document's own subject (``metadata.component``), so a subject that cannot
be recognised makes a statement that matches nothing: never one that matches everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote
from uuid import NAMESPACE_URL, uuid5

from staunch.errors import SpecError, UntrustedError
from staunch.formats import strict_json
from staunch.formats.openvex import VEX_BYTES, named
from staunch.formats.strict_json import Node
from staunch.model.vex import Named, Product, VexDocument, VexStatement

__all__ = ["is_cyclonedx", "parse_cyclonedx_vex", "write_cyclonedx_vex"]

_COMPONENTS = 1_000_000
_DEPTH = 30
_SHORT = 2000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{2,127}")
_LINK = re.compile(r"urn:cdx:[0-9a-fA-F-]{36}(?:/[0-9]+)?#(.+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_STATES: Final[Mapping[str, str]] = {
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "exploitable": "affected",
    "in_triage": "under_investigation",
    "false_positive": "not_affected",
    "not_affected": "not_affected",
}
_JUSTIFICATIONS: Final[Mapping[str, str]] = {
    "code_not_present": "vulnerable_code_not_present",
    "code_not_reachable": "vulnerable_code_not_in_execute_path",
    "requires_configuration": "vulnerable_code_not_in_execute_path",
    "requires_dependency": "vulnerable_code_not_in_execute_path",
    "requires_environment": "vulnerable_code_not_in_execute_path",
    "protected_by_compiler": "inline_mitigations_already_exist",
    "protected_at_runtime": "inline_mitigations_already_exist",
    "protected_at_perimeter": "inline_mitigations_already_exist",
    "protected_by_mitigating_control": "inline_mitigations_already_exist",
}
_WRITTEN: Final[Mapping[str, str]] = {
    "fixed": "resolved",
    "affected": "exploitable",
    "under_investigation": "in_triage",
    "not_affected": "not_affected",
}
_WORDS: Final[Mapping[str, str]] = {
    "component_not_present": "code_not_present",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "requires_environment",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
_MEND = "ask its author for a document that holds to the CycloneDX schema"


def is_cyclonedx(data: bytes) -> bool:
    """Whether the beginning looks like it, before anything is parsed."""
    return b'"bomFormat"' in data[:4096]


def parse_cyclonedx_vex(data: bytes, *, source: str) -> VexDocument:
    """Read the statements; vulnerabilities without an analysis say nothing and are passed over.

    Raises:
        UntrustedError: it is no CycloneDX JSON, or over a limit.
    """
    top = strict_json.read(data, what=f"the VEX document {source}", mend=_MEND, max_bytes=VEX_BYTES)
    top["bomFormat"].constant("CycloneDX")
    metadata = top["metadata"]
    subject = _subject(metadata["component"]) if metadata["component"].present else None
    components: dict[str, Named] = {}
    _collect(top["components"], components, _DEPTH)
    if subject is not None:
        components.setdefault(metadata["component"]["bom-ref"].text(default=""), subject)
    author = _author(metadata)
    stamp = metadata["timestamp"].text(default="")[:64]
    statements: list[VexStatement] = []
    faults: list[str] = []

    def one(node: Node) -> None:
        if not node["analysis"]["state"].present:
            return
        try:
            statements.append(_statement(node, subject, components, author, stamp, source))
        except UntrustedError as e:
            faults.append(e.why)

    top["vulnerabilities"].items(one, most=_COMPONENTS)
    return VexDocument(
        top["serialNumber"].text(default=""), author, stamp, tuple(statements), tuple(faults)
    )


def _author(metadata: Node) -> str:
    names = metadata["authors"].items(lambda each: each["name"].text(default=""), most=1000)
    supplier = metadata["supplier"]["name"].text(default="")
    return ", ".join(filter(None, names)) or supplier


def _subject(node: Node) -> Named:
    """The document's own subject; an image's version is its digest."""
    version = node["version"].text(default="")
    digest = version if _DIGEST.fullmatch(version) else ""
    return named(
        node["purl"].text(default="") or node["name"].text(default=""),
        digest=digest.removeprefix("sha256:"),
    )


def _collect(node: Node, into: dict[str, Named], depth: int) -> None:
    def one(each: Node) -> None:
        purl = each["purl"].text(default="")
        ref = each["bom-ref"].text(default="")
        if ref:
            into[ref] = named(purl or each["name"].text(default=ref))
        if each["components"].present and depth:
            _collect(each["components"], into, depth - 1)

    node.items(one, most=_COMPONENTS)


def _statement(
    node: Node,
    subject: Named | None,
    components: Mapping[str, Named],
    author: str,
    stamp: str,
    source: str,
) -> VexStatement:
    analysis = node["analysis"]
    id_ = node["id"].text()
    if not _ID.fullmatch(id_):
        node["id"].fail(f"{id_[:80]!r} is no id of a vulnerability")
    state = _STATES[analysis["state"].constant(*_STATES)]
    word = analysis["justification"].text(default="")
    if word and word not in _JUSTIFICATIONS:
        analysis["justification"].fail(f"{word[:80]!r} is none of CycloneDX's")
    detail = analysis["detail"].text(default="")[:_SHORT]
    references = node["references"].items(lambda each: each["id"].text(), most=10_000)
    products = node["affects"].items(
        lambda each: _product(each, subject, components), least=1, most=_COMPONENTS
    )
    return VexStatement(
        id_,
        state,
        tuple(each for each in products if each is not None),
        tuple(sorted({each for each in references if _ID.fullmatch(each)} - {id_})),
        _JUSTIFICATIONS.get(word, ""),
        "; ".join(filter(None, (f"CycloneDX: {word}" if word else "", detail))),
        author=author,
        timestamp=analysis["lastUpdated"].text(default="") or stamp,
        source=source,
    )


def _product(node: Node, subject: Named | None, components: Mapping[str, Named]) -> Product | None:
    ref = node["ref"].text()
    link = _LINK.fullmatch(ref)
    found = components.get(ref)
    if link:
        inside = unquote(link[1])
        found, subject = components.get(inside) or named(inside), None
    if found is None:
        node["ref"].fail(f"{ref[:80]!r} names no component of the document")
    if node["versions"].present:
        node["versions"].fail("versions and ranges are not read; name the component by a purl")
    if subject is None or found == subject:
        return Product(found)
    return Product(subject, (found,))


# -- writing


def write_cyclonedx_vex(document: VexDocument) -> bytes:
    """The document as CycloneDX 1.6. Its subject is the product of the first statement.

    Statements about another product go into a document of their own; witnesses stand in
    ``properties`` (``staunch:witness``), as JSON.

    Raises:
        SpecError: the statements are about several products.
    """
    subjects = {each.named for statement in document.statements for each in statement.products}
    if len(subjects) > 1:
        raise SpecError(
            "the statements do not fit one CycloneDX document",
            why=f"they are about {len(subjects)} products; a document has one subject",
            mend="write OpenVEX, or one document for each product",
        )
    components: dict[str, Named] = {
        component.id: component
        for statement in document.statements
        for product in statement.products
        for component in product.components
    }
    content: dict[str, object] = {
        "metadata": {
            "timestamp": document.timestamp,
            "authors": [{"name": document.author}],
            **({"component": _written_subject(next(iter(subjects)))} if subjects else {}),
        },
        "components": [_written_component(each) for _, each in sorted(components.items())],
        "vulnerabilities": [_written(each) for each in document.statements],
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }
    return (json.dumps(bom, indent=2, ensure_ascii=False) + "\n").encode()


def _written_subject(subject: Named) -> dict[str, object]:
    purl = subject.purls[0] if subject.purls else None
    return {
        "type": "container",
        "bom-ref": "subject",
        "name": purl.name if purl else subject.id,
        **({"version": purl.version, "purl": str(purl)} if purl and purl.version else {}),
    }


def _written_component(component: Named) -> dict[str, object]:
    purl = component.purls[0] if component.purls else None
    return {
        "type": "library",
        "bom-ref": component.id,
        "name": purl.name if purl else component.id,
        **({"version": purl.version} if purl and purl.version else {}),
        **({"purl": str(purl)} if purl else {}),
    }


def _written(statement: VexStatement) -> dict[str, object]:
    refs = [each.id for product in statement.products for each in product.components]
    word = _WORDS.get(statement.justification)
    analysis: dict[str, object] = {"state": _WRITTEN[statement.status]}
    if word and statement.status == "not_affected":
        analysis["justification"] = word
    if statement.impact:
        analysis["detail"] = statement.impact
    content: dict[str, object] = {"id": statement.vulnerability, "analysis": analysis}
    if statement.aliases:
        content["references"] = [
            {"id": each, "source": {"name": each.partition("-")[0]}} for each in statement.aliases
        ]
    content["affects"] = [{"ref": each} for each in refs or ["subject"]]
    if statement.witness is not None:
        looks = [
            {
                "kind": each.kind,
                "pattern": each.pattern,
                "within": each.within,
                "wanted": each.wanted,
            }
            for each in statement.witness.looks
        ]
        value = json.dumps({"rule": statement.witness.rule, "looks": looks}, sort_keys=True)
        content["properties"] = [{"name": "staunch:witness", "value": value}]
    return content

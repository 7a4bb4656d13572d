"""OpenVEX documents (openvex.dev/ns/v0.2.0; v0.0.1 is read as well).

A statement that breaks a rule of the specification is not used, and named in ``faults``: one bad
statement must not take the good ones with it, nor disappear.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from staunch.errors import SpecError, UntrustedError
from staunch.formats import strict_json
from staunch.formats.strict_json import Node
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.purl import Purl
from staunch.model.vex import (
    JUSTIFICATIONS,
    STATUSES,
    Look,
    Named,
    Product,
    VexDocument,
    VexStatement,
    Witness,
)

__all__ = [
    "MEDIA_TYPE",
    "PREDICATE_TYPE",
    "VEX_BYTES",
    "document_id",
    "named",
    "parse_openvex",
    "write_openvex",
]

CONTEXT: Final = "https://openvex.dev/ns/v0.2.0"
PREDICATE_TYPE: Final = "https://openvex.dev/ns/v0.2.0"
MEDIA_TYPE: Final = "application/vnd.openvex+json"
EXTENSION: Final = "x_staunch"  # readers of OpenVEX skip members that they do not know
VEX_BYTES: Final = 64 * limits.MIB
_STATEMENTS = 200_000
_PRODUCTS = 20_000
_SHORT = 2000
_CONTEXT = re.compile(r"https://openvex\.dev/ns(?:/v?0\.[0-2]\.[0-9]{1,3})?/?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{2,127}")
_KINDS = ("file", "symbol", "module", "needed", "text", "package")
_MEND = "ask its author for a document that holds to the OpenVEX specification"


def parse_openvex(data: bytes, *, source: str) -> VexDocument:
    """Read a document; ``source`` is how messages and statements call the place it came from.

    Raises:
        UntrustedError: it is no OpenVEX document, or over a limit.
    """
    top = strict_json.read(data, what=f"the VEX document {source}", mend=_MEND, max_bytes=VEX_BYTES)
    context = top["@context"].text()
    if not _CONTEXT.fullmatch(context):
        top["@context"].fail(f"wanted {CONTEXT}, got {context[:100]!r}")
    id_, author = top["@id"].text(default=""), top["author"].text(default="")
    stamp = _time(top["timestamp"])
    read = _kept(lambda node: _statement(node, id_, author, stamp, source))
    found = top["statements"].items(read, most=_STATEMENTS)
    return VexDocument(
        id_,
        author,
        stamp,
        tuple(each for each in found if isinstance(each, VexStatement)),
        tuple(each for each in found if isinstance(each, str)),
        top["role"].text(default=""),
    )


def named(identifier: str, *others: str, digest: str = "") -> Named:
    """A product by its identifiers; what is no purl stays a name that matches nothing."""
    purls = []
    for text in dict.fromkeys((identifier, *others)):
        try:
            purls.append(Purl.parse(text))
        except SpecError:
            continue
    return Named(identifier[:_SHORT], tuple(purls), digest=digest)


def _kept(
    read: Callable[[Node], VexStatement],
) -> Callable[[Node], VexStatement | str]:
    def one(node: Node) -> VexStatement | str:
        try:
            return read(node)
        except UntrustedError as e:
            return e.why

    return one


def _statement(node: Node, document: str, author: str, stamp: str, source: str) -> VexStatement:
    status = node["status"].constant(*STATUSES)
    justification = node["justification"].text(default="")
    impact = node["impact_statement"].text(default="")[:_SHORT]
    if justification and justification not in JUSTIFICATIONS:
        node["justification"].fail(f"{justification[:80]!r} is none of {', '.join(JUSTIFICATIONS)}")
    if status == "not_affected" and not justification and not impact:
        node.fail("`not_affected` needs a justification or an impact statement")
    name, aliases = _vulnerability(node["vulnerability"])
    products = node["products"].items(_product, least=1, most=_PRODUCTS)
    old = node["subcomponents"].items(_component, most=_PRODUCTS)  # v0.0.1: beside the products
    if old:
        products = tuple(Product(each.named, (*each.components, *old)) for each in products)
    extension = node[EXTENSION]
    return VexStatement(
        name,
        status,
        products,
        aliases,
        justification,
        impact,
        node["action_statement"].text(default="")[:_SHORT],
        author=author[:_SHORT],
        timestamp=_time(node["timestamp"]) or _time(node["last_updated"]) or stamp,
        expires=_time(extension["expires"]),
        id=node["@id"].text(default="")[:_SHORT],
        document=document[:_SHORT],
        source=source,
        judgement=extension["judgement"].boolean(),
        witness=_witness(extension["witness"]) if extension["witness"].present else None,
    )


def _vulnerability(node: Node) -> tuple[str, tuple[str, ...]]:
    """A text (v0.0.1) or an object with a name; ids are words, never paths or markup."""
    if node.is_text:
        return _word(node), ()
    name = node["name"] if node["name"].present else node["@id"]
    return _word(name), tuple(sorted(set(node["aliases"].items(_word, most=1000))))


def _word(node: Node) -> str:
    text = node.text()
    if not _ID.fullmatch(text):
        node.fail(f"{text[:80]!r} is no id of a vulnerability")
    return text


def _product(node: Node) -> Product:
    return Product(_component(node), _components(node))


def _components(node: Node) -> tuple[Named, ...]:
    if node.is_text:
        return ()
    return node["subcomponents"].items(_component, most=_PRODUCTS)


def _component(node: Node) -> Named:
    if node.is_text:
        return named(node.text())
    identifiers = node["identifiers"]
    hashes = node["hashes"]
    digest = hashes["sha-256"].text(default="") or hashes["sha256"].text(default="")
    purl = identifiers["purl"].text(default="")
    id_ = node["@id"].text(default="") or purl or digest
    if not id_:
        node.fail("it has neither `@id` nor an identifier")
    return named(id_, *([purl] if purl else []), digest=digest)


def _time(node: Node) -> str:
    text = node.text(default="")
    if text and not _TIME.fullmatch(text):
        node.fail(f"{text[:60]!r} is no time as RFC 3339 writes it")
    return text


def _witness(node: Node) -> Witness:
    return Witness(
        node["rule"].text()[:_SHORT],
        str(node["image"].digest()),
        node["looks"].items(_look, least=1, most=1000),
        node["sources"].items(lambda each: each.text()[:_SHORT], most=100),
    )


def _look(node: Node) -> Look:
    return Look(
        node["kind"].constant(*_KINDS),
        node["pattern"].text()[:_SHORT],
        node["within"].text(default="")[:_SHORT],
        node["wanted"].boolean(),
        node["found"].items(lambda each: each.text()[:_SHORT], most=100),
        node["searched"].number(),
    )


# -- writing


def write_openvex(document: VexDocument) -> bytes:
    """The document as JSON for people and programs: two blanks of indentation, a stable order."""
    content: dict[str, object] = {
        "@context": CONTEXT,
        "@id": document.id,
        "author": document.author,
        **({"role": document.role} if document.role else {}),
        "timestamp": document.timestamp,
        "version": document.version,
        "tooling": "staunch",
        "statements": [_written(each) for each in document.statements],
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def document_id(statements: tuple[VexStatement, ...]) -> str:
    """An id that follows from the statements: equal statements, equal id."""
    digest = Digest.of(strict_json.canonical([_written(each) for each in statements]))
    return f"https://staunch.dev/vex/{digest.hex}"


def _written(statement: VexStatement) -> dict[str, object]:
    vulnerability: dict[str, object] = {"name": statement.vulnerability}
    if statement.aliases:
        vulnerability["aliases"] = list(statement.aliases)
    content: dict[str, object] = {"vulnerability": vulnerability}
    if statement.id:
        content["@id"] = statement.id
    if statement.timestamp:
        content["timestamp"] = statement.timestamp
    content["products"] = [_written_product(each) for each in statement.products]
    content["status"] = statement.status
    said = {
        "justification": statement.justification,
        "impact_statement": statement.impact,
        "action_statement": statement.action,
    }
    content |= {key: value for key, value in said.items() if value}
    extension = _written_extension(statement)
    if extension:
        content[EXTENSION] = extension
    return content


def _written_product(product: Product) -> dict[str, object]:
    content = _written_named(product.named)
    if product.components:
        content["subcomponents"] = [_written_named(each) for each in product.components]
    return content


def _written_named(named_: Named) -> dict[str, object]:
    content: dict[str, object] = {"@id": named_.id}
    if named_.purls:
        content["identifiers"] = {"purl": str(named_.purls[0])}
    if named_.digest:
        content["hashes"] = {"sha-256": named_.digest}
    return content


def _written_extension(statement: VexStatement) -> dict[str, object]:
    content: dict[str, object] = {}
    if statement.judgement:
        content["judgement"] = True
    if statement.expires:
        content["expires"] = statement.expires
    witness = statement.witness
    if witness is not None:
        content["witness"] = {
            "rule": witness.rule,
            "image": witness.image,
            "looks": [_written_look(each) for each in witness.looks],
            "sources": list(witness.sources),
        }
    return content


def _written_look(look: Look) -> dict[str, object]:
    return {
        "kind": look.kind,
        "pattern": look.pattern,
        **({"within": look.within} if look.within else {}),
        "wanted": look.wanted,
        "found": list(look.found),
        "searched": look.searched,
    }

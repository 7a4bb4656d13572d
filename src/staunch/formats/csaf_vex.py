"""CSAF 2.0 documents read as VEX (section 4.5, profile 5), whoever publishes them.

What ``formats.csaf`` reads as a feed are Red Hat's facts about versions; here each product status is a
statement about the product that it names: by its purl, or as a component of a platform.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from staunch.errors import UntrustedError
from staunch.formats.csaf import ProductTree
from staunch.formats.feed_json import damaged, items, mapping, parse, text
from staunch.formats.openvex import VEX_BYTES, named
from staunch.model.vex import JUSTIFICATIONS, Named, Product, VexDocument, VexStatement

__all__ = ["is_csaf", "parse_csaf_vex"]

_STATUSES: Final[Mapping[str, str]] = {
    "fixed": "fixed",
    "first_fixed": "fixed",
    "known_affected": "affected",
    "first_affected": "affected",
    "last_affected": "affected",
    "known_not_affected": "not_affected",
    "under_investigation": "under_investigation",
}
_SHORT = 2000


def is_csaf(data: bytes) -> bool:
    """Whether the beginning looks like it, before anything is parsed."""
    return b'"csaf_version"' in data[:65536] or b'"csaf_vex"' in data[:65536]


def parse_csaf_vex(data: bytes, *, source: str) -> VexDocument:
    """Read the statements of a document.

    Raises:
        UntrustedError: it is no CSAF document, or over a limit.
    """
    what = f"the VEX document {source}"
    top = mapping(parse(data, what=what, max_bytes=VEX_BYTES))
    head = mapping(top.get("document"))
    tracking = mapping(head.get("tracking"))
    identifier = text(tracking.get("id"), most=200)
    entries = top.get("vulnerabilities")
    if not identifier or "csaf" not in text(head.get("category")) or not isinstance(entries, list):
        raise damaged(what, "it has no CSAF category, id or list of vulnerabilities")
    tree = ProductTree(mapping(top.get("product_tree")), what)
    author = text(mapping(head.get("publisher")).get("name"), most=200)
    stamp = text(tracking.get("current_release_date"), most=40)
    statements: list[VexStatement] = []
    faults: list[str] = []
    for number, each in enumerate(entries):
        try:
            statements += _statements(mapping(each), tree, identifier, author, stamp, source)
        except UntrustedError as e:
            faults.append(f"vulnerabilities[{number}]: {e.why}")
    return VexDocument(identifier, author, stamp, tuple(statements), tuple(faults))


def _statements(
    entry: Mapping[str, object],
    tree: ProductTree,
    document: str,
    author: str,
    stamp: str,
    source: str,
) -> Iterator[VexStatement]:
    """One for each status and ground, with all its products."""
    id_ = text(entry.get("cve"), most=100) or next(
        (text(mapping(each).get("text"), most=100) for each in items(entry.get("ids"))), ""
    )
    if not id_:
        raise damaged(document, "it names no vulnerability")
    flags = _by_product(entry, "flags", "label")
    impacts = _by_product(entry, "threats", "details", category="impact")
    groups: dict[tuple[str, str, str], dict[str, Product]] = defaultdict(dict)
    for word, status in _STATUSES.items():
        for each in items(mapping(entry.get("product_status")).get(word)):
            name = text(each, most=500)
            label = flags.get(name, "") if status == "not_affected" else ""
            ground = label if label in JUSTIFICATIONS else ""
            impact = impacts.get(name, "") if status == "not_affected" else ""
            groups[status, ground, impact][name] = _product(name, tree)
    for (status, justification, impact), products in groups.items():
        yield VexStatement(
            id_,
            status,
            tuple(products.values()),
            justification=justification,
            impact=impact[:_SHORT],
            author=author,
            timestamp=stamp,
            id=f"{document}#{id_}",
            document=document,
            source=source,
        )


def _by_product(
    entry: Mapping[str, object], list_: str, key: str, *, category: str = ""
) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in items(entry.get(list_)):
        row = mapping(each)
        if not category or row.get("category") == category:
            value = text(row.get(key), most=_SHORT)
            found.update((text(one, most=500), value) for one in items(row.get("product_ids")))
    return found


def _product(identifier: str, tree: ProductTree) -> Product:
    pair = tree.pair(identifier)
    if pair is None:
        return Product(_named(identifier, tree))
    component, platform = pair
    for _ in range(4):  # a component of a module of a platform
        outer = tree.pair(platform)
        if outer is None:
            break
        platform = outer[1]
    return Product(_named(platform, tree), (_named(component, tree),))


def _named(identifier: str, tree: ProductTree) -> Named:
    helper = tree.helper(identifier)
    found = named(text(helper.get("purl"), most=800) or identifier)
    return Named(found.id, found.purls, text(helper.get("cpe"), most=300))

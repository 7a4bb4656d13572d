"""Installed npm packages: ``package.json`` in a ``node_modules`` (npm-package-json)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from staunch.model.inventory import FoundPackage, Gap
from staunch.model.purl import Purl
from staunch.scan.content import Facts, Lost
from staunch.scan.tree import shown
from staunch.scan.view import Find, View

__all__ = ["NpmPackage", "find_npm", "parse_manifest"]


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """Name and version of a manifest; ``fault`` is what is wrong with it, "" if nothing."""

    name: str = ""
    version: str = ""
    licence: str = ""
    resolved: str = ""
    fault: str = ""


def parse_manifest(data: bytes) -> NpmPackage:
    """What an inventory needs of a manifest."""
    try:
        document = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as fault:
        return NpmPackage(fault=f"not JSON: {str(fault)[:100]}")
    if not isinstance(document, dict):
        return NpmPackage(fault="no object")

    def text(key: str) -> str:
        value = document.get(key)
        return shown(value)[:300] if isinstance(value, str) else ""

    return NpmPackage(text("name"), text("version"), text("license"), text("_resolved"))


def find_npm(view: View) -> Iterator[Find | Gap]:
    """Each package of each ``node_modules``, npm's own among them."""
    for path, leaf in view.of("npm"):
        if isinstance(leaf.content, Lost):
            yield Gap("npm", shown(path), leaf.content.why)
        if not isinstance(leaf.content, Facts) or not isinstance(leaf.content.value, NpmPackage):
            continue
        package, folder = leaf.content.value, path.rpartition("/")[0]
        if package.fault:
            yield Gap("npm", shown(path), package.fault)
            continue
        if not package.name or not package.version:
            if not package.name and not package.version:
                continue  # tells Node.js how to read a folder; no package
            yield Gap("npm", shown(path), "a package without name or version")
            continue
        scope, _, name = package.name.rpartition("/")
        facts = [("licence", package.licence), ("origin", package.resolved)]
        yield Find(
            FoundPackage(
                Purl.make("npm", scope, name, package.version),
                package.name,
                package.version,
                "npm",
                locations=(view.location(path, leaf),),
                facts=tuple(each for each in facts if each[1]),
            ),
            trees=(folder,),
        )

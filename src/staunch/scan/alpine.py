"""Installed packages of Alpine and Wolfi: ``lib/apk/db/installed`` (apk-tools, "apk v2 database")."""

from __future__ import annotations

from collections.abc import Iterator

from staunch.model.inventory import Distribution, FoundPackage, Gap, Location
from staunch.model.purl import Purl
from staunch.scan.distribution import distribution_of, release_of
from staunch.scan.tree import shown
from staunch.scan.view import Find, View, joined, kept

__all__ = ["find_apk"]


def find_apk(view: View) -> Iterator[Find | Gap]:
    """Every package of the database, with its origin and its files."""
    for item in kept(view, "apk", "apk"):
        if isinstance(item, Gap):
            yield item
            continue
        path, leaf, data = item
        root = path.removesuffix("lib/apk/db/installed").removesuffix("usr/")
        distribution = distribution_of(view, root)
        line = 1
        for block in data.decode("utf-8", "surrogateescape").split("\n\n"):
            if block.strip():
                package = _package(block, distribution, view.location(path, leaf))
                if isinstance(package, str):
                    yield Gap("apk", shown(path), f"line {line}: {package}")
                else:
                    yield Find(package, joined(root, _files(block)), system=True)
            line += block.count("\n") + 2


def _package(
    block: str, distribution: Distribution | None, location: Location
) -> FoundPackage | str:
    """The package of a block, or what is wrong with it. Capital fields are of the package."""
    fields: dict[str, str] = {}
    for line in block.strip("\n").split("\n"):
        key, colon, value = line.partition(":")
        if not colon or len(key) != 1:
            return f"neither a field nor a file: {shown(line)[:80]!r}"
        if key == "F":
            break  # files follow
        fields.setdefault(key, shown(value))
    name, version = fields.get("P", ""), fields.get("V", "")
    if not name or not version:
        return f"a package without {'version' if name else 'name'}: {name[:80]!r}"
    facts = [("licence", fields["L"])] if fields.get("L") else []
    facts += [("maintainer", fields["m"])] if fields.get("m") else []
    architecture = fields.get("A", "")
    return FoundPackage(
        Purl.make(
            "apk",
            distribution.id if distribution else "alpine",
            name,
            version,
            arch=architecture,
            distro=release_of(distribution),
        ),
        name,
        version,
        "apk",
        architecture=architecture,
        source=fields.get("o") or name,
        source_version=version,
        distribution=distribution,
        locations=(location,),
        facts=tuple(facts),
    )


def _files(block: str) -> Iterator[str]:
    """``F:`` names a folder, each ``R:`` below it a file in it."""
    folder = ""
    for line in block.split("\n"):
        if line.startswith("F:"):
            folder = line[2:]
        elif line.startswith("R:"):
            yield f"{folder}/{line[2:]}" if folder else line[2:]

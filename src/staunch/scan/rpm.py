"""Installed packages of rpm's databases, with what Red Hat's advisories need to know of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from staunch.formats.rpmdb import Damage, RpmPackage, read_rpmdb
from staunch.model.inventory import Confidence, Distribution, FoundPackage, Gap, Location
from staunch.model.purl import Purl
from staunch.scan.distribution import distribution_of, release_of
from staunch.scan.tree import shown
from staunch.scan.view import Find, View, joined, kept

__all__ = ["find_rpm"]

_PLACE = re.compile(r"(?P<root>.*?)(?:usr/lib|var/lib)/(?:rpm|sysimage/rpm)/[^/]+")
_SOURCE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)\.(?:no)?src\.rpm")
_NAMESPACES = {"rhel": "redhat", "sles": "suse"}
_KEYS = "gpg-pubkey"  # a key that rpm trusts is kept as a package without files


def find_rpm(view: View) -> Iterator[Find | Gap]:
    """Every package of a database, whichever of the three kinds it is."""
    for item in kept(view, "rpmdb", "rpmdb"):
        if isinstance(item, Gap):
            yield item
            continue
        path, leaf, data = item
        match = _PLACE.fullmatch(path)
        root = match["root"] if match else ""
        distribution = distribution_of(view, root)
        sets = _content_sets(view, root)
        yield from (each for each in sets if isinstance(each, Gap))
        names = " ".join(sorted({each for each in sets if isinstance(each, str)}))
        for row in read_rpmdb(data, wal=view.text(path + "-wal") or b""):
            if isinstance(row, Damage):
                yield Gap("rpmdb", shown(path), row.why)
            elif row.name != _KEYS:
                package = _package(row, distribution, names, view.location(path, leaf))
                yield Find(package, joined(root, row.files), system=True)


def _package(
    row: RpmPackage, distribution: Distribution | None, sets: str, location: Location
) -> FoundPackage:
    source = _SOURCE.fullmatch(row.source_rpm)
    id_ = distribution.id if distribution else ""
    facts = (
        ("content-sets", sets),
        ("licence", row.licence),
        ("modularity", row.modularity),
        ("vendor", row.vendor),
    )
    return FoundPackage(
        Purl.make(
            "rpm",
            _NAMESPACES.get(id_, id_),
            row.name,
            f"{row.version}-{row.release}",
            arch=row.architecture,
            distro=release_of(distribution),
            epoch="" if row.epoch is None else str(row.epoch),
        ),
        row.name,
        row.evr,
        "rpmdb",
        architecture=row.architecture,
        source=source["name"] if source else "",
        source_version=source["version"] if source else "",
        distribution=distribution,
        locations=(location,),
        confidence=Confidence.HIGH if row.checked else Confidence.MEDIUM,
        facts=tuple((key, shown(value)) for key, value in facts if value),
    )


def _content_sets(view: View, root: str) -> list[str | Gap]:
    """The repositories that Red Hat built the image from, and what could not be read of them."""
    found: list[str | Gap] = []
    for item in kept(view, "content-sets", "content-sets"):
        if isinstance(item, Gap):
            found.append(item)
            continue
        path, _, data = item
        if not path.startswith(root):
            continue
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as fault:
            found.append(Gap("content-sets", shown(path), f"not JSON: {str(fault)[:100]}"))
            continue
        sets = document.get("content_sets") if isinstance(document, dict) else None
        if isinstance(sets, list) and all(isinstance(each, str) for each in sets):
            found += sets
        else:
            found.append(Gap("content-sets", shown(path), "content_sets is no list of names"))
    return found

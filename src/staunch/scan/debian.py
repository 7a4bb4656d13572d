"""Debian's installed packages: ``status``, distroless ``status.d``, and who owns which file.

deb-control(5), dpkg(1) "INFORMATION ABOUT PACKAGES"; chisel, "Chisel Manifest".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from staunch.errors import UntrustedError
from staunch.formats.deb822 import Stanza, parse_stanza, stanza_ranges
from staunch.formats.stream import inflate
from staunch.model import limits
from staunch.model.inventory import Distribution, FoundPackage, Gap, Location
from staunch.model.purl import Purl
from staunch.scan.distribution import distribution_of, release_of
from staunch.scan.tree import Leaf, shown
from staunch.scan.view import Find, View, gap, joined, kept, root_of

__all__ = ["find_chisel", "find_dpkg"]

_STATUS = "var/lib/dpkg/status"
_INFO = [
    "list",
    "md5sums",
    "conffiles",
    "preinst",
    "postinst",
    "prerm",
    "postrm",
    "config",
    "templates",
    "shlibs",
    "symbols",
    "triggers",
]
_CHISEL = {"Package": "name", "Version": "version", "Architecture": "arch"}
_WALL_BYTES = 128 * limits.MIB
_ABSENT = {"not-installed", "config-files"}


def find_dpkg(view: View) -> Iterator[Find | Gap]:
    """Every package that dpkg's databases call installed, wholly or in part."""
    for item in kept(view, "dpkg-status", "dpkg"):
        if isinstance(item, Gap):
            yield item
            continue
        path, leaf, data = item
        root = root_of(path, _STATUS)
        yield from _status(view, path, leaf, data, root)
    for item in kept(view, "dpkg-status.d", "dpkg-status.d"):
        if isinstance(item, Gap):
            yield item
        elif not item[0].endswith(".md5sums"):
            yield from _single(view, *item)


def _status(view: View, path: str, leaf: Leaf, data: bytes, root: str) -> Iterator[Find | Gap]:
    distribution = distribution_of(view, root)
    line, before = 1, 0
    for start, end in stanza_ranges(data, "dpkg's status"):
        line += data.count(b"\n", before, start)
        before = start
        try:
            stanza = parse_stanza(data[start:end], what="dpkg's status", line=line)
        except UntrustedError as fault:
            yield gap("dpkg", path, fault)
            continue
        if (stanza.get("Status") or "").split(" ")[-1] in _ABSENT:
            continue
        package = _package(stanza, distribution, "dpkg", view.location(path, leaf))
        if isinstance(package, str):
            yield Gap("dpkg", shown(path), f"line {line}: {package}")
            continue
        yield Find(package, _files(view, root, package), system=True)


def _single(view: View, path: str, leaf: Leaf, data: bytes) -> Iterator[Find | Gap]:
    """One file of ``status.d``; beside it ``<name>.md5sums`` lists what the package owns."""
    root = path.partition("var/lib/dpkg/status.d/")[0]
    try:
        stanza = parse_stanza(data, what="a package's status")
    except UntrustedError as fault:
        yield gap("dpkg-status.d", path, fault)
        return
    package = _package(
        stanza, distribution_of(view, root), "dpkg-status.d", view.location(path, leaf)
    )
    if isinstance(package, str):
        yield Gap("dpkg-status.d", shown(path), package)
        return
    sums = view.text(path + ".md5sums")
    files = () if sums is None else joined(root, _md5sums(sums))
    if sums is None:
        yield Gap(
            "ownership", shown(path), "no list of files stands beside it; its files seem unowned"
        )
    yield Find(package, (*files, path, path + ".md5sums"), system=True)


def _package(
    stanza: Stanza, distribution: Distribution | None, found_by: str, location: Location
) -> FoundPackage | str:
    """The package of a stanza, or what is wrong with it."""
    name, version = stanza.get("Package") or "", stanza.get("Version") or ""
    architecture = stanza.get("Architecture") or ""
    if not name or not version:
        return f"a package without {'version' if name else 'name'}: {name[:100]!r}"
    source, _, rest = (stanza.get("Source") or name).partition(" ")
    source_version = rest.strip("() ") or version
    upstream = ""
    if (source, source_version) != (name, version):
        upstream = source if source_version == version else f"{source}@{source_version}"
    facts = [
        (key, value)
        for key, value in (
            ("maintainer", stanza.get("Maintainer") or ""),
            ("origin", stanza.get("Origin") or ""),
            ("status", stanza.get("Status") or ""),
        )
        if value and value != "install ok installed"
    ]
    return FoundPackage(
        Purl.make(
            "deb",
            distribution.id if distribution else "debian",
            name,
            version,
            arch=architecture,
            distro=release_of(distribution),
            upstream=upstream,
        ),
        name,
        version,
        found_by,
        architecture=architecture,
        source=source,
        source_version=source_version,
        distribution=distribution,
        locations=(location,),
        facts=tuple(facts),
    )


def _files(view: View, root: str, package: FoundPackage) -> tuple[str, ...]:
    """What ``info/<package>[:<architecture>].list`` names, and dpkg's own files of the package."""
    folder = f"{root}var/lib/dpkg/info/"
    for stem in (f"{package.name}:{package.architecture}", package.name):
        data = view.text(f"{folder}{stem}.list")
        if data is not None:
            listed = data.decode("utf-8", "surrogateescape").split("\n")
            own = (f"{folder}{stem}.{ending}" for ending in _INFO)
            return (*joined(root, (each for each in listed if each not in ("", "/."))), *own)
    return ()


def _md5sums(data: bytes) -> Iterator[str]:
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        _, blank, path = line.partition("  ")
        if blank:
            yield path


def find_chisel(view: View) -> Iterator[Find | Gap]:
    """Packages that chisel cut slices of, with the files that it took."""
    for item in kept(view, "chisel", "chisel"):
        if isinstance(item, Gap):
            yield item
            continue
        path, leaf, data = item
        root = root_of(path, "var/lib/chisel/manifest.wall")
        try:
            wall = b"".join(
                inflate([data], format="zst", max_bytes=_WALL_BYTES, what="chisel's manifest")
            )
        except UntrustedError as fault:
            yield gap("chisel", path, fault)
            continue
        yield from _wall(view, path, leaf, wall, root)


def _wall(view: View, path: str, leaf: Leaf, wall: bytes, root: str) -> Iterator[Find | Gap]:
    """One JSON object a line: ``package``, ``slice``, ``path`` and ``content``."""
    packages: list[dict[str, object]] = []
    files: dict[str, list[str]] = {}
    for number, line in enumerate(wall.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as fault:
            yield Gap("chisel", shown(path), f"line {number}: not JSON: {str(fault)[:100]}")
            continue
        if not isinstance(row, dict):
            yield Gap("chisel", shown(path), f"line {number}: no object")
        elif row.get("kind") == "package":
            packages.append(row)
        elif row.get("kind") == "path" and isinstance(row.get("slices"), list):
            for each in row["slices"]:
                files.setdefault(str(each).partition("_")[0], []).append(str(row.get("path")))
    distribution = distribution_of(view, root)
    for row in packages:
        stanza = Stanza(
            {
                field: shown(text)
                for field, key in _CHISEL.items()
                if isinstance(text := row.get(key), str)
            }
        )
        package = _package(stanza, distribution, "chisel", view.location(path, leaf))
        if isinstance(package, str):
            yield Gap("chisel", shown(path), package)
        else:
            # the manifest names no source package, which advisories are keyed by
            package = replace(package, source="", source_version="")
            yield Find(package, joined(root, files.get(package.name, ())), system=True)

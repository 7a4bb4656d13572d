"""Python projects that are installed: ``dist-info`` and ``egg-info`` (PEP 376, 610, 627)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from email.parser import HeaderParser
from email.policy import compat32

from staunch.model.inventory import Confidence, FoundPackage, Gap
from staunch.model.purl import Purl
from staunch.scan.tree import Leaf, shown
from staunch.scan.view import Find, View, kept

__all__ = ["find_python"]

_FOLDER = re.compile(r"(?P<name>[^/-]+)-(?P<version>[^/-]+)(-py\d[^/]*)?\.(dist|egg)-info")
_PINNED = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s#;]+)"
)
_MODULES = {"setuptools": "pkg_resources", "python_dateutil": "dateutil", "pyyaml": "yaml"}
_RECORD_LINES = 500_000


def find_python(view: View) -> Iterator[Find | Gap]:
    """Every project with metadata of its own, wherever it lies."""
    links = set(_linked(view))
    for item in kept(view, "python-metadata", "python"):
        if isinstance(item, Gap):
            yield item
            continue
        path, leaf, data = item
        folder = path if path.endswith(".egg-info") else path.rpartition("/")[0]
        if folder.endswith(".dist-info"):
            if path.endswith("/METADATA"):
                yield from _project(view, path, folder, leaf, data, "dist-info", links)
        else:
            yield from _project(view, path, folder, leaf, data, "egg-info", links)
    yield from _vendored(view)


def _project(
    view: View,
    path: str,
    folder: str,
    leaf: Leaf,
    data: bytes,
    found_by: str,
    links: set[str],
) -> Iterator[Find | Gap]:
    name, version, licence = _headers(data)
    known_by, confidence = "", Confidence.HIGH
    if not name or not version:
        match = _FOLDER.fullmatch(shown(folder.rpartition("/")[2]))
        missing = "Version" if name else "Name"
        if match is None:
            yield Gap(found_by, shown(path), f"its metadata has no {missing}")
            return
        name, version = name or match["name"], version or match["version"]
        known_by, confidence = "file-name", Confidence.LOW
        yield Gap(
            found_by, shown(path), f"its metadata has no {missing}; its folder's name was read"
        )
    origin = view.text(f"{folder}/direct_url.json")
    facts = [("licence", licence)] if licence else []
    if origin is not None:
        told = _direct_url(origin)
        if isinstance(told, Gap):
            yield Gap(found_by, shown(f"{folder}/direct_url.json"), told.why)
        else:
            url, uncertain = told
            facts.append(("direct-url", url))
            confidence = Confidence.LOW if uncertain else confidence
    project = folder.rpartition("/")[0]
    if project in links:
        facts.append(("direct-url", f"file:///{shown(project)}"))
        confidence = Confidence.LOW
    paths: tuple[str, ...] = ()
    record = view.text(f"{folder}/RECORD") if found_by == "dist-info" else None
    if record is not None:
        paths, why = _record(record, project)
        if why:
            yield Gap("ownership", shown(f"{folder}/RECORD"), why)
    yield Find(
        FoundPackage(
            Purl.make("pypi", "", re.sub(r"[-_.]+", "-", name).lower(), version),
            name,
            version,
            found_by,
            locations=(view.location(path, leaf),),
            known_by=known_by,
            confidence=confidence,
            facts=tuple(sorted(facts)),
        ),
        paths,
        (project if folder.endswith("/EGG-INFO") else folder,),
    )


def _linked(view: View) -> Iterator[str]:
    """Projects that an ``.egg-link`` makes importable where they are being worked on."""
    for item in kept(view, "python-egg-link", "egg-link"):
        if not isinstance(item, Gap):
            yield item[2].decode("utf-8", "surrogateescape").split("\n")[0].strip().strip("/")


def _vendored(view: View) -> Iterator[Find | Gap]:
    """What pip and old setuptools carry along, by their lists; only what is there is told."""
    for item in kept(view, "python-vendored", "python"):
        if isinstance(item, Gap):
            yield item
            continue
        path, leaf, data = item
        folder = path.rpartition("/")[0]
        there = set(view.tree.names(folder))
        for line in data.decode("utf-8", "replace").splitlines():
            match = _PINNED.match(line)
            if match is None:
                continue
            module = re.sub(r"[-.]", "_", match["name"].lower())
            modules = {module, f"{module}.py", _MODULES.get(module, module)}
            if modules & {each.lower() for each in there}:
                name = re.sub(r"[-_.]+", "-", match["name"]).lower()
                yield Find(
                    FoundPackage(
                        Purl.make("pypi", "", name, match["version"]),
                        match["name"],
                        match["version"],
                        "vendored",
                        locations=(view.location(path, leaf),),
                        known_by="vendor-list",
                        confidence=Confidence.MEDIUM,
                    )
                )


def _headers(data: bytes) -> tuple[str, str, str]:
    """Name, version and licence (core metadata); "" for what is missing or no single line."""
    head = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    message = HeaderParser(policy=compat32).parsestr(head.decode("utf-8", "replace"))
    name, version = (str(message.get(key, "")).strip() for key in ("Name", "Version"))
    licence = str(message.get("License-Expression") or message.get("License") or "").strip()
    if any("\n" in each or len(each) > 200 for each in (name, version)):
        return "", "", ""
    return name, version, licence if "\n" not in licence and len(licence) <= 200 else ""


def _direct_url(data: bytes) -> tuple[str, bool] | Gap:
    """Where it came from, and whether its version may lie: editable or from version control."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as fault:
        return Gap("", "", f"direct_url.json is not JSON: {str(fault)[:100]}")
    url = document.get("url") if isinstance(document, dict) else None
    if not isinstance(url, str):
        return Gap("", "", "direct_url.json names no url")
    folder = document.get("dir_info")
    editable = isinstance(folder, dict) and folder.get("editable") is True
    return shown(url), editable or "vcs_info" in document


def _record(data: bytes, site: str) -> tuple[tuple[str, ...], str]:
    """The paths of a RECORD as seen from the image's root, and what is wrong with it ("" if nothing)."""
    paths: list[str] = []
    text = data.decode("utf-8", "surrogateescape")
    try:
        for row in csv.reader(text.splitlines(), strict=True):
            if len(paths) >= _RECORD_LINES:
                return tuple(paths), f"it has more than {_RECORD_LINES} lines"
            if row and row[0]:
                paths.append(_below(site, row[0]))
    except csv.Error as fault:
        return tuple(paths), f"no CSV: {str(fault)[:100]}"
    return tuple(paths), ""


def _below(site: str, path: str) -> str:
    if path.startswith("/"):
        return path
    parts = site.split("/") if site else []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)

"""Packages of conda environments: ``conda-meta/*.json`` (conda, "package metadata")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from staunch.model.inventory import FoundPackage, Gap
from staunch.model.purl import Purl
from staunch.scan.content import Facts, Lost
from staunch.scan.tree import shown
from staunch.scan.view import Find, View

__all__ = ["CondaPackage", "find_conda", "parse_record"]


@dataclass(frozen=True, slots=True)
class CondaPackage:
    """One record; ``fault`` is what is wrong with it, "" if nothing."""

    name: str = ""
    version: str = ""
    build: str = ""
    channel: str = ""
    subdir: str = ""
    licence: str = ""
    files: tuple[str, ...] = ()
    fault: str = ""


def parse_record(data: bytes) -> CondaPackage:
    """What an inventory needs of a record."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as fault:
        return CondaPackage(fault=f"not JSON: {str(fault)[:100]}")
    if not isinstance(document, dict):
        return CondaPackage(fault="no object")

    def text(key: str) -> str:
        value = document.get(key)
        return shown(value)[:300] if isinstance(value, str) else ""

    files = document.get("files")
    return CondaPackage(
        text("name"),
        text("version"),
        text("build"),
        text("channel"),
        text("subdir"),
        text("license"),
        tuple(each for each in files if isinstance(each, str)) if isinstance(files, list) else (),
        "" if text("name") and text("version") else "a record without name or version",
    )


def find_conda(view: View) -> Iterator[Find | Gap]:
    """Each package of each environment; they own their files as a distribution's do."""
    for path, leaf in view.of("conda"):
        if isinstance(leaf.content, Lost):
            yield Gap("conda-meta", shown(path), leaf.content.why)
        if not isinstance(leaf.content, Facts) or not isinstance(leaf.content.value, CondaPackage):
            continue
        record = leaf.content.value
        if record.fault:
            yield Gap("conda-meta", shown(path), record.fault)
            continue
        root = path.rpartition("/")[0].removesuffix("conda-meta")
        yield Find(
            FoundPackage(
                Purl.make(
                    "conda",
                    "",
                    record.name,
                    record.version,
                    build=record.build,
                    channel=record.channel.rstrip("/").rpartition("/")[2],
                    subdir=record.subdir,
                ),
                record.name,
                record.version,
                "conda-meta",
                locations=(view.location(path, leaf),),
                facts=(("licence", record.licence),) if record.licence else (),
            ),
            (*(root + each for each in record.files), path),
            system=True,
        )

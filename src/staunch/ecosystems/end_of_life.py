"""When the support of a distribution's release ends, from data that ships with Staunch."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from staunch.model.inventory import Distribution, EndOfLife

# the columns of distro-info-data: the end of support by the project, by its volunteers, by vendors
_EXTENDED = {"debian": ("eol-lts", "eol-elts"), "ubuntu": ("eol-esm", "eol-legacy")}


def end_of_life(distribution: Distribution) -> EndOfLife | None:
    """When that release ends; None where it is not known."""
    return _releases().get((distribution.id, _release(distribution)))


def _release(distribution: Distribution) -> str:
    """The part of a version that has a lifecycle of its own."""
    parts = distribution.version.split(".")
    if distribution.id in ("debian", "rhel"):
        return parts[0]
    return ".".join(parts[:2])


@cache
def _releases() -> dict[tuple[str, str], EndOfLife]:
    found: dict[tuple[str, str], EndOfLife] = {}
    folder = files("staunch.ecosystems").joinpath("lifecycle")

    def rows(name: str) -> csv.DictReader[str]:
        return csv.DictReader(folder.joinpath(name).read_text("utf-8").splitlines())

    for id_, (longer, longest) in _EXTENDED.items():
        for row in rows(f"{id_}.csv"):
            if row["eol"]:
                version = row["version"].removesuffix(" LTS")
                extended = row[longest] or row[longer] or ""
                found[id_, version] = EndOfLife(row["eol"], row[longer] or "", extended)
    for row in rows("others.csv"):
        found[row["distribution"], row["version"]] = EndOfLife(row["eol"], "", row["extended"])
    return found

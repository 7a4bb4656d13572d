"""The catalogue: ready specs that ship with Staunch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from staunch.model.spec import Foundation, Profile

__all__ = ["CatalogueEntry", "names", "read"]


@dataclass(frozen=True, slots=True, order=True)
class CatalogueEntry:
    """What `staunch images` tells of one entry."""

    name: str
    summary: str
    foundation: Foundation
    profile: Profile
    extends: str


def names() -> tuple[str, ...]:
    """Every entry, found by listing the folder, sorted."""
    folder = files("staunch.catalogue")
    found = (item.name for item in folder.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def read(name: str) -> bytes:
    """The YAML of one entry; ``name`` is one of ``names()``."""
    return (files("staunch.catalogue") / f"{name}.yaml").read_bytes()

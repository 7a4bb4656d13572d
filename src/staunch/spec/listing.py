"""What the catalogue offers, read without the models: a list must come at once."""

from __future__ import annotations

from staunch.model.spec import Foundation, Profile
from staunch.spec.document import Mapping, Scalar
from staunch.spec.entries import CatalogueEntry, names
from staunch.spec.sources import join

__all__ = ["catalogue"]


def catalogue() -> tuple[CatalogueEntry, ...]:
    """Every entry, sorted by name."""
    return tuple(_entry(name) for name in names())


def _entry(name: str) -> CatalogueEntry:
    top = join(name).top
    distribution, _, release = _text(top, "foundation").partition(":")
    return CatalogueEntry(
        name,
        _text(top, "summary"),
        Foundation(distribution, release),
        Profile(_text(top, "profile") or "inference"),
        _text(top, "extend"),
    )


def _text(top: Mapping, key: str) -> str:
    value = top.get(key)
    return value.value if isinstance(value, Scalar) and isinstance(value.value, str) else ""

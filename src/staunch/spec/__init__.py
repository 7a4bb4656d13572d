"""The spec: YAML that a person wrote, to ``model.spec.ImageSpec``.

The names below are loaded when first asked for: most commands need none of them, and the models
take longer to import than such a command to run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from staunch.spec.entries import CatalogueEntry
    from staunch.spec.faults import FaultError, FaultsError
    from staunch.spec.inputs import inputs_digest
    from staunch.spec.listing import catalogue
    from staunch.spec.reading import load
    from staunch.spec.reference import describe
    from staunch.spec.schema import json_schema

__all__ = [
    "CatalogueEntry",
    "FaultError",
    "FaultsError",
    "catalogue",
    "describe",
    "inputs_digest",
    "json_schema",
    "load",
]

_HOMES = {
    "CatalogueEntry": "entries",
    "FaultError": "faults",
    "FaultsError": "faults",
    "catalogue": "listing",
    "describe": "reference",
    "inputs_digest": "inputs",
    "json_schema": "schema",
    "load": "reading",
}


def __getattr__(name: str) -> object:
    """A name of ``__all__``, from the module it lives in (PEP 562)."""
    if name in _HOMES:
        return getattr(import_module(f"staunch.spec.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

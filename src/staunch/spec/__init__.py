"""The spec: YAML that a person wrote, to ``model.spec.ImageSpec``."""

from staunch.spec.entries import CatalogueEntry
from staunch.spec.faults import FaultError, FaultsError
from staunch.spec.inputs import inputs_digest
from staunch.spec.reading import catalogue, load
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

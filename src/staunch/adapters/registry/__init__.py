"""Registries that speak the OCI distribution protocol: ``Registries`` opens their repositories."""

from staunch.adapters.registry.registries import Registries

__all__ = ["Registries"]

"""Advisories against an inventory: gives findings with their evidence. Import from the modules."""

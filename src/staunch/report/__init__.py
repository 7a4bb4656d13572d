"""Findings as documents that people and programs read. Import from the modules."""

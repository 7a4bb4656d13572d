"""Wiring, flags, rendering."""

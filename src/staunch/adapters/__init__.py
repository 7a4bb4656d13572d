"""Ports made real: http, store, processes, sandbox, clock, host configuration."""

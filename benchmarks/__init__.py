"""Figures of docs/benchmarks.md: each a ratio against an alternative, measured in the same run."""

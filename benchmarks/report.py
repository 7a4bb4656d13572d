"""Figures as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value against its budget. ``how`` names both sides of a ratio, with seconds."""

    what: str
    measured: str
    budget: str
    held: bool
    how: str


def render(figures: Sequence[Figure], *, machine: str, day: str) -> str:
    """A page with one table."""
    lines = [
        "# Measured",
        "",
        f"Written by `make bench` on {day}; {machine}. Both sides of each ratio ran in the same run.",
        "",
        "| what | measured | budget | held | how |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.what} | {each.measured} | {each.budget} | {'yes' if each.held else '**no**'} | {each.how} |"
        for each in figures
    ]
    return "\n".join([*lines, ""])

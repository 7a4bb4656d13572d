"""A part of a database that could not be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong, in words; the rest of the database was read on."""

    why: str

"""How bad something is. Apart from findings: a build that looks for secrets needs no more."""

from __future__ import annotations

from enum import Enum


class Level(Enum):
    """Severity in words, worst last (``rank``)."""

    UNKNOWN = "unknown"
    NEGLIGIBLE = "negligible"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (unknown) to 5 (critical)."""
        return list(Level).index(self)

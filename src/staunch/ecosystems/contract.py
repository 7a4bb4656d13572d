"""What each module of this package offers under the name ``ECOSYSTEM``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from staunch.errors import SpecError

VersionKey = tuple[object, ...]
"""A sort key: hashable, totally ordered among keys of one ecosystem, equal for equal versions."""


@dataclass(frozen=True, slots=True)
class Ecosystem:
    """One family of packages.

    ``purl_type`` is the type in package URLs. ``order`` gives the sort key of a version string as
    the ecosystem's own tools order it, and raises SpecError on one that they call invalid.
    """

    purl_type: str
    order: Callable[[str], VersionKey]


def invalid_version(version: str, tool: str, why: str) -> SpecError:
    """The error for a string that is no version."""
    shown = f"{version[:100]!r}{'…' if len(version) > 100 else ''}"
    return SpecError(
        f"not a version of {tool}: {shown}",
        why=why,
        mend="copy the version whole, as the package index or the installed package tells it",
    )


def number(digits: str) -> int:
    """An integer that orders like the decimal number, however long, and equals it when equal.

    The digits are read in base 16: the order is the same, and Python reads that in linear time and
    without a limit on their count.
    """
    return int(digits, 16)

"""Three answers: passed, refused, unknown (STYLE.md §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never


@dataclass(frozen=True, slots=True)
class Passed:
    """All rules held."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer is no, for these reasons."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """It could not be found out, for these reasons."""

    reasons: tuple[str, ...]


Verdict = Passed | Refused | Unknown


def admits(verdict: Verdict, *, admit_unknown: bool = False) -> bool:
    """Turn a verdict into the admission bit. Only this function may do so."""
    match verdict:
        case Passed():
            return True
        case Refused():
            return False
        case Unknown():
            return admit_unknown
        case _:
            assert_never(verdict)

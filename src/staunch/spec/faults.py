"""Faults of a spec, gathered so that all are reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from staunch.errors import SpecError
from staunch.model.spec import Place

__all__ = ["FaultError", "FaultsError", "nearest"]


class FaultError(SpecError):
    """One fault at one place; ``what`` begins with ``file:line:column``."""

    def __init__(self, place: Place, what: str, *, why: str, mend: str) -> None:
        """Keep the place apart, for programs and for sorting."""
        super().__init__(f"{place}: {what}", why=why, mend=mend)
        self.place = place


class FaultsError(SpecError):
    """Every fault of a spec (or another file); ``faults`` is sorted by place and never empty."""

    def __init__(
        self,
        faults: Sequence[FaultError],
        *,
        what: str = "the spec",
        schema: str = "`staunch schema` prints what a spec may hold",
    ) -> None:
        """Sort and count; ``str()`` gives all of them. ``schema`` says where the form is told."""
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.place, fault.what)))
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(
            f"{what} has {count}",
            why="; ".join(fault.what for fault in self.faults),
            mend=f"mend what is listed; {schema}",
        )

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that looks most like ``word``, or None."""
    folded = {each.lower().replace("_", "-"): each for each in reversed(known)}
    found = get_close_matches(word.lower().replace("_", "-")[:200], sorted(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None

"""A rule that may be applied while parts are read, before there is a tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Early"]


@dataclass(frozen=True, slots=True)
class Early:
    """What a rule takes out of wheels by path alone, whatever else is in the image.

    Its paths must not depend on links or diversions; below ``dist-packages`` there are none.
    ``identity`` changes whenever ``doomed`` does: what was left out is remembered under it.
    """

    rule: str
    identity: str
    doomed: Callable[[str], bool]

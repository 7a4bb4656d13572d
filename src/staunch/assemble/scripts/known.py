"""Scripts that are known whole, by the digest of their text: what they do, Staunch does itself.

Another text of the same script is followed command by command instead, and reported as
unreproduced where that fails: a changed script is never taken for the known one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """What is done instead; ``effect`` False when a fresh image needs nothing of it.

    ``digests`` are those of ``classify.normalised``.
    """

    digests: frozenset[str]
    why: str
    effect: bool = True


KNOWN: dict[tuple[str, str], Known] = {}

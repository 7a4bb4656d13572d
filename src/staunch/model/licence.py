"""Licences as packages declare them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Licence:
    """What a package's own metadata declare.

    ``expression`` is an SPDX licence expression (SPDX 2.3, Annex D), "" where nothing is declared.
    ``texts`` pairs each ``LicenseRef-…`` of it with the text, or with words about where it stands;
    sorted by name.
    """

    expression: str = ""
    texts: tuple[tuple[str, str], ...] = ()


NOTHING_DECLARED = Licence()

"""An inventory against a database: the one way from packages to findings."""

from __future__ import annotations

from datetime import datetime

from staunch.match.match import Matched
from staunch.match.match import match as matched
from staunch.model.inventory import Inventory
from staunch.ports import Advisories

__all__ = ["Matched", "match"]


def match(inventory: Inventory, db: Advisories, *, now: datetime) -> Matched:
    """Everything that ``db`` says of ``inventory``: findings, feeds and gaps.

    Raises:
        UntrustedError: the database is damaged.
    """
    return matched(inventory, db, now=now)

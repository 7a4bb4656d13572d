"""An inventory against a database: the one way from packages to findings."""

from __future__ import annotations

from datetime import datetime

from staunch.match.explain import Story
from staunch.match.explain import explain as explained
from staunch.match.match import Matched
from staunch.match.match import match as matched
from staunch.model.inventory import Inventory
from staunch.ports import Advisories

__all__ = ["Matched", "Story", "explain", "match"]


def match(inventory: Inventory, db: Advisories, *, now: datetime) -> Matched:
    """Everything that ``db`` says of ``inventory``: findings, feeds and gaps.

    Raises:
        UntrustedError: the database is damaged.
    """
    return matched(inventory, db, now=now)


def explain(identifier: str, inventory: Inventory, matched: Matched, db: Advisories) -> Story:
    """The whole story of one vulnerability there, or of why there is none."""
    return explained(identifier, inventory, matched, db)

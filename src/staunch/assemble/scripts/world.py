"""What all scripts of an image share, and how a script ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from staunch.assemble.payloads import Payloads
from staunch.assemble.scripts.accounts import Accounts
from staunch.assemble.scripts.alternatives import Alternatives
from staunch.assemble.tree import Diversion, Tree
from staunch.model.part import Part
from staunch.model.platform import Platform

OWNER = "staunch"
"""Of all that scripts make."""


class Unknowable(Exception):  # noqa: N818 (it never leaves this package)
    """The script cannot be followed further; ``str()`` says why."""


class Exit(Exception):  # noqa: N818
    """``exit``."""

    def __init__(self, status: int) -> None:
        self.status = status


class Return(Exception):  # noqa: N818
    """``return``."""

    def __init__(self, status: int) -> None:
        self.status = status


class Break(Exception):  # noqa: N818
    """``break``."""


class Continue(Exception):  # noqa: N818
    """``continue``."""


@dataclass(slots=True)
class World:
    """What all scripts of an image share and change."""

    tree: Tree
    payloads: Payloads | None
    platform: Platform
    accounts: Accounts
    alternatives: Alternatives
    diversions: list[Diversion] = field(default_factory=list)
    overrides: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    packages: dict[str, Part] = field(default_factory=dict)

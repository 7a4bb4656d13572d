"""Exceptions: findings that somebody accepted, where, why, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from staunch.model.digest import Digest
from staunch.model.purl import Purl
from staunch.model.spec import Place


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an exception holds; what is named must all fit.

    ``image`` is a name with ``*`` for any run of characters, as in ``registry.example.org/team/*``;
    "" is any. ``tier`` is a word of the user's own (``dev``, ``prod``). ``digest`` is one image.
    """

    image: str = ""
    tier: str = ""
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class AcceptedRisk:
    """One entry of an exceptions file.

    ``finding`` is an id ("" for any of the package); ``package`` a purl, with or without version
    (None for any package of the finding): at least one is given. ``expires`` is the last day on
    which it holds. ``signature`` is over ``signed`` by the approver's key.
    """

    place: Place
    finding: str
    package: Purl | None
    scope: Scope
    reason: str
    owner: str
    approver: str
    expires: date
    signature: bytes = b""
    signed: bytes = b""

    @property
    def about(self) -> str:
        """What it accepts, in words."""
        return " in ".join(filter(None, (self.finding, str(self.package or ""))))

"""VEX statements: what somebody says about a vulnerability in a product, and on what ground.

Words are OpenVEX's (openvex.dev/ns/v0.2.0); CSAF's and CycloneDX's are translated by their readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from staunch.model.purl import Purl

STATUSES: Final = ("not_affected", "affected", "fixed", "under_investigation")
JUSTIFICATIONS: Final = (
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
)


@dataclass(frozen=True, slots=True)
class Named:
    """A product or component as a document names it.

    ``purls`` are those of its identifiers that are package URLs; ``cpe`` is a platform's name
    (CSAF); where both are empty, ``id`` is all there is and nothing can be matched.
    """

    id: str
    purls: tuple[Purl, ...] = ()
    cpe: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """What a statement is about: a product, or only these components inside it."""

    named: Named
    components: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that a machine looked for in an image, and did or did not find.

    ``kind`` is ``file`` (a path pattern), ``symbol`` (of an ELF object's tables), ``module`` (of
    Python), ``needed`` (a library that objects link), ``text`` (bytes inside a file) or
    ``package`` (a binary package). ``pattern`` is what was looked for, ``within`` limits where
    ("" everywhere). ``wanted`` says whether it must be there for the statement to hold.
    ``found`` are the places, sorted (the first 20), ``searched`` how many places were looked at.
    """

    kind: str
    pattern: str
    within: str = ""
    wanted: bool = False
    found: tuple[str, ...] = ()
    searched: int = 0

    @property
    def holds(self) -> bool:
        """Whether what was found is what the statement needs."""
        return bool(self.found) == self.wanted


@dataclass(frozen=True, slots=True)
class Witness:
    """Why a ``not_affected`` holds, in a form that a machine replays.

    ``rule`` names the rule that asked, ``image`` is the manifest's digest it was answered for, and
    ``sources`` are pages where a person can read why the look decides.
    """

    rule: str
    image: str
    looks: tuple[Look, ...]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VexStatement:
    """One statement of a document.

    ``vulnerability`` and ``aliases`` are ids; ``timestamp`` and ``expires`` RFC 3339 or "";
    ``document`` is the id of the document, ``source`` where we read it. ``judgement`` marks what a
    person decided without a witness; ``signed`` that the document's signature was verified.
    ``refuted`` says why a replay of its witness failed, "" where it held or was not tried.
    """

    vulnerability: str
    status: str
    products: tuple[Product, ...]
    aliases: tuple[str, ...] = ()
    justification: str = ""
    impact: str = ""
    action: str = ""
    author: str = ""
    timestamp: str = ""
    expires: str = ""
    id: str = ""
    document: str = ""
    source: str = ""
    judgement: bool = False
    signed: bool = False
    refuted: str = ""
    witness: Witness | None = None


@dataclass(frozen=True, slots=True)
class VexDocument:
    """A VEX document. ``faults`` are statements that could not be used, each with its place."""

    id: str
    author: str
    timestamp: str
    statements: tuple[VexStatement, ...]
    faults: tuple[str, ...] = ()
    role: str = ""
    version: int = 1

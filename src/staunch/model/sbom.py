"""A bill of materials before it is written down in a format."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from staunch.model.digest import Digest
from staunch.model.licence import NOTHING_DECLARED, Licence
from staunch.model.purl import Purl


class ComponentKind(Enum):
    """What a component is."""

    IMAGE = "image"
    DEB = "deb"
    WHEEL = "wheel"
    PROJECT = "project"  # a Python project inside a package, known by its metadata
    LIBRARY = "library"  # a shared library inside a wheel
    MERGED = "merged"  # told by an SBOM that a wheel carries (PEP 770)
    SOURCE = "source"  # a source package: not in the image, but what is there was made from it
    FILES = "files"  # the spec's own, and what Staunch made itself


class Link(Enum):
    """How one component stands to another."""

    CONTAINS = "contains"
    BUNDLES = "bundles"
    DEPENDS_ON = "depends on"
    GENERATED_FROM = "generated from"


@dataclass(frozen=True, slots=True, order=True)
class Supplier:
    """Who supplies a component; ``organisation`` tells a team from a person."""

    name: str
    mail: str = ""
    organisation: bool = False


@dataclass(frozen=True, slots=True)
class Component:
    """One component; ``ref`` is unique in a document (letters, digits, ``.``, ``-``).

    ``version`` is "" where nothing tells it. ``digest`` is that of the file as downloaded (a library:
    as it is in the image), ``file_name`` that file's name, ``download`` where it can be had.
    ``paths`` are those in the image that it was known by; ``known_by`` says how, where no database
    tells. ``facts`` are further truths by name, sorted; ``remarks`` are for people.
    """

    ref: str
    kind: ComponentKind
    name: str
    version: str = ""
    purl: Purl | None = None
    supplier: Supplier | None = None
    licence: Licence = NOTHING_DECLARED
    summary: str = ""
    homepage: str = ""
    download: str = ""
    file_name: str = ""
    digest: Digest | None = None
    source_info: str = ""
    paths: tuple[str, ...] = ()
    known_by: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """``source`` stands in ``link`` to ``target``; both are refs."""

    source: str
    link: Link
    target: str


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A regular file of the image, and the component that it came with."""

    owner: str
    path: str
    digest: Digest


@dataclass(frozen=True, slots=True, order=True)
class Foreign:
    """A component that somebody else's document names; "" for what it does not tell.

    ``licence`` is an expression or a name as it stands there, ``digest`` a sha256 in hex.
    """

    name: str
    version: str
    purl: str = ""
    licence: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Sbom:
    """A whole bill. ``components`` do not hold ``root``.

    ``seed`` is the digest of what it is about (manifest or index); ``file_list`` that of the list of
    files, of which ``files`` are the regular ones.
    """

    name: str
    created: datetime
    seed: Digest
    staunch_version: str
    root: Component
    components: tuple[Component, ...]
    relations: tuple[Relation, ...]
    files: tuple[ListedFile, ...] = ()
    file_list: Digest | None = None

"""A part: one package's (or folder's) contribution to an image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from staunch.model.digest import Digest
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry
from staunch.model.purl import Purl


class PartKind(Enum):
    """Where a part's bytes come from."""

    DEB = "deb"
    WHEEL = "wheel"
    FILES = "files"  # the spec's `files:`
    PACK = "pack"  # byte code and other derived files that lie in the store
    STAUNCH = "staunch"  # made natively: passwd, ld.so.cache, CA bundle


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Files that a rule takes out by their path alone, left out before a tree was made.

    ``paths`` in archive order, ``bytes`` of their payloads together.
    """

    rule: str
    paths: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """One contribution to the tree.

    ``id`` is unique in an image and sorts stably: ``deb:libc6``, ``wheel:numpy``, ``files:0``,
    ``pyc:wheel:numpy`` (the byte code of a part), ``staunch``. ``digest`` is that of the package
    as downloaded, None where there is no such file. ``metadata`` holds text members by name:
    for a deb its control members (``control``, ``postinst``, ``md5sums``, ``triggers``, …), for a
    wheel its ``METADATA``, ``WHEEL``, ``RECORD``, ``entry_points.txt``. ``entries`` are those of
    the package as published, before rules, in archive order, without ancestors it does not list.
    ``elf`` pairs paths with facts; filled for debs, whose contents are read whole when first seen
    (a wheel's facts are gathered while its segment is written). ``damaged_elf`` pairs the paths of
    files that begin like ELF, but could not be read as such, with what is wrong: unknown, not fine.
    ``left_out`` are files of the package as published that ``entries`` lacks already.
    """

    id: str
    kind: PartKind
    name: str
    version: str
    purl: Purl | None = None
    digest: Digest | None = None
    size: int = 0
    metadata: tuple[tuple[str, bytes], ...] = ()
    entries: tuple[Entry, ...] = ()
    elf: tuple[tuple[str, ElfFacts], ...] = ()
    damaged_elf: tuple[tuple[str, str], ...] = ()
    left_out: LeftOut | None = None

    def member(self, name: str) -> bytes | None:
        """The metadata member of that name, or None."""
        return next((data for key, data in self.metadata if key == name), None)

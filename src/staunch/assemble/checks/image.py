"""What all closing checks look at, and where they put what they find."""

from __future__ import annotations

from dataclasses import dataclass, field

from staunch.assemble.tree import Tree
from staunch.errors import SpecError
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry
from staunch.model.part import Part
from staunch.model.spec import ImageSpec

MACHINES = {"amd64": (62, 64), "arm64": (183, 64)}


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something that is fine, but that a person may want to know: one path and what about it."""

    path: str
    why: str


@dataclass(slots=True)
class Image:
    """What all checks look at."""

    tree: Tree
    facts: dict[str, ElfFacts]
    parts: dict[str, Part]
    search: tuple[str, ...]
    triplet: str
    machine: tuple[int, int]
    spec: ImageSpec
    removed: dict[str, str]  # base name -> rule that took it out
    notes: set[Note] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def of(image: Image, path: str) -> str:
    """The owner of a path, in brackets, for messages."""
    entry = image.tree.get(path)
    return f" ({entry.owner})" if entry is not None and entry.owner else ""


def lookup(tree: Tree, path: str) -> Entry | None:
    """The entry at ``path``, links followed; None also where they run in a circle."""
    try:
        return tree.get(path.lstrip("/"), follow=True)
    except SpecError:  # links in a circle
        return None

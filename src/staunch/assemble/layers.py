"""Layers: a finished tree cut by rate of change (DESIGN.md §6).

A layer is the directories it needs, its segments' frames as they lie in the store, and an end mark.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from staunch.assemble.segment import SegmentPlan, plan_segment
from staunch.errors import SpecError
from staunch.formats import tarheader
from staunch.formats.encoder import Encoder
from staunch.model import limits
from staunch.model.entry import Entry, Kind, Member
from staunch.model.image import Assembled
from staunch.model.part import Part, PartKind

__all__ = ["GIANT_BYTES", "LayerPlan", "plan_layers"]

GIANT_BYTES = 64 * limits.MIB  # a wheel of this unpacked size gets a layer of its own
_FORMAT = b"staunch layer 1\n"
_INTERPRETER = re.compile(r"python3(\.\d+)?|python3-defaults")
_SOURCE = re.compile(rb"^Source:[ \t]*([^\s(]+)", re.MULTILINE)
_PYC = "pyc:"


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer: its directories (sorted), then its segments, in order.

    ``key`` is 64 hex digits over encoder id, directory headers and segment keys.
    """

    name: str
    encoder_id: str
    key: str
    directories: tuple[Entry, ...]
    segments: tuple[SegmentPlan, ...]


def plan_layers(assembled: Assembled, encoder: Encoder) -> tuple[LayerPlan, ...]:
    """Cut a finished tree: what changes seldom first, each rate of change by itself.

    ``foundation``, ``interpreter``, ``wheel-<name>`` for each giant wheel, ``wheels``, ``system``
    (what Staunch made), ``app``; empty ones are left out. Byte code lies with its part.

    Raises:
        SpecError: a directory is missing, or a part cannot be laid out (``plan_segment``).
    """
    parts = {part.id: part for part in assembled.parts}
    layer_of = _Cut(parts, assembled.entries).layer
    directories = {each.path: each for each in assembled.entries if each.kind is Kind.DIR}
    owned: dict[str, dict[str, list[Entry]]] = {}
    filled: set[str] = set()  # directories that hold something
    for entry in assembled.entries:
        filled.add(entry.path.rpartition("/")[0])
        if entry.kind is not Kind.DIR:
            owned.setdefault(layer_of(entry.owner), {}).setdefault(entry.owner, []).append(entry)
    needed = {name: _needed(owners) for name, owners in owned.items()}
    for path, entry in directories.items():
        if path and path not in filled:
            needed.setdefault(layer_of(entry.owner), set()).update((path, *_ancestors(path)))
    plans = []
    for name in sorted(needed, key=_rank):
        owners = owned.get(name, {})
        segments = tuple(
            plan_segment(owner, _archive_order(owners[owner], parts.get(owner)), encoder)
            for owner in sorted(owners, key=_beside)
        )
        below = tuple(_directory(path, directories) for path in sorted(needed[name]))
        plans.append(_plan(name, encoder, below, segments))
    return tuple(plans)


def _plan(
    name: str, encoder: Encoder, below: tuple[Entry, ...], segments: tuple[SegmentPlan, ...]
) -> LayerPlan:
    state = hashlib.sha256(_FORMAT + (encoder.id + encoder.form).encode() + b"\n")
    for entry in below:
        state.update(tarheader.header(entry))
    state.update(b"segments\n")
    for segment in segments:
        state.update(bytes.fromhex(segment.key))
    return LayerPlan(name, encoder.id, state.hexdigest(), below, segments)


class _Cut:
    """Which layer a part goes to."""

    def __init__(self, parts: dict[str, Part], entries: Iterable[Entry]) -> None:
        self._parts = parts
        self._layers: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        for entry in entries:
            if entry.kind is Kind.FILE:
                self._sizes[entry.owner] = self._sizes.get(entry.owner, 0) + entry.size

    def layer(self, owner: str) -> str:
        if owner not in self._layers:
            self._layers[owner] = self._of(owner)
        return self._layers[owner]

    def _of(self, owner: str) -> str:
        base = owner.removeprefix(_PYC)
        part = self._parts.get(base)
        kind = part.kind.value if part is not None else base.partition(":")[0]
        if kind == PartKind.WHEEL.value:
            name = base.partition(":")[2]
            return f"wheel-{name}" if self._sizes.get(base, 0) >= GIANT_BYTES else "wheels"
        if kind == PartKind.DEB.value:
            return "interpreter" if _is_interpreter(base, part) else "foundation"
        return "app" if kind == PartKind.FILES.value else "system"


def _is_interpreter(base: str, part: Part | None) -> bool:
    """Whether a package was built from the interpreter's source."""
    source = base.partition(":")[2].encode()
    control = part.member("control") if part is not None else None
    if control is not None and (found := _SOURCE.search(control)):
        source = found[1]
    return _INTERPRETER.fullmatch(source.decode("utf-8", "replace")) is not None


def _rank(name: str) -> tuple[int, str]:
    order = {"foundation": 0, "interpreter": 1, "wheels": 3, "system": 4, "app": 5}
    return order.get(name, 2), name


def _beside(owner: str) -> tuple[str, bool]:
    """Sort key that puts byte code behind its part."""
    return owner.removeprefix(_PYC), owner.startswith(_PYC)


def _archive_order(entries: list[Entry], part: Part | None) -> list[Entry]:
    """Entries with members of the part's archive in its order; unknown ones last, by path."""
    known = {
        each.body.name: number
        for number, each in enumerate(part.entries if part is not None else ())
        if isinstance(each.body, Member)
    }

    def position(entry: Entry) -> tuple[int, str]:
        name = entry.body.name if isinstance(entry.body, Member) else ""
        return known.get(name, len(known)), entry.path

    return sorted(entries, key=position)


def _needed(owners: dict[str, list[Entry]]) -> set[str]:
    folders = {entry.path.rpartition("/")[0] for entries in owners.values() for entry in entries}
    found: set[str] = set()
    for folder in folders:
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _ancestors(path: str) -> Iterator[str]:
    """Every folder above ``path``, nearest first; the root has no name and is left out."""
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


def _directory(path: str, known: dict[str, Entry]) -> Entry:
    found = known.get(path)
    if found is None:
        raise SpecError(
            f"cannot lay out {path!r}",
            why="files lie in it, and the tree has no such folder",
            mend="report this with the spec at the project's issue tracker",
        )
    return found

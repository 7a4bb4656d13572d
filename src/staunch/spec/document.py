"""YAML text to a tree of nodes that know where they stand.

The YAML 1.2 core schema is narrowed to what a spec needs: mappings, lists, ``true``/``false``,
``null`` and text. Whatever else YAML 1.1 would guess (``no``, ``1:30``, ``3.10``) stays the text
that was written, so a version never loses its last nought.

Events are read one by one instead of by ``yaml.compose``: the C composer recurses and dies of a
segmentation fault on deep nesting, and events let depth and size be limited while reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from staunch.model.spec import Place
from staunch.spec.faults import FaultError, FaultsError

__all__ = ["Items", "Mapping", "Node", "Scalar", "parse_document", "plain"]

MAX_DEPTH = 32
_BEGIN = "begin with `name:` and `foundation:`; `staunch init` writes a commented example"
MAX_NODES = 50_000
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_NULL = ("", "~", "null", "Null", "NULL")
_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, a boolean, or nothing. ``folder`` is where relative paths start."""

    value: str | bool | None
    place: Place
    folder: Path


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place
    folder: Path


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping; each pair is key, place of the key, value. Keys are unique."""

    pairs: tuple[tuple[str, Place, Node], ...]
    place: Place
    folder: Path

    def get(self, key: str) -> Node | None:
        """The value of ``key``, or None."""
        return next((value for name, _, value in self.pairs if name == key), None)

    def without(self, *keys: str) -> Mapping:
        """The same without these keys."""
        kept = tuple(pair for pair in self.pairs if pair[0] not in keys)
        return Mapping(kept, self.place, self.folder)


Node = Scalar | Items | Mapping
Plain = str | bool | dict[str, "Plain"] | list["Plain"] | None


def plain(node: Node) -> Plain:
    """The value without places; keys whose value is null are left out of mappings."""
    match node:
        case Scalar():
            return node.value
        case Items():
            return [plain(item) for item in node.items]
        case Mapping():
            return {
                key: plain(value)
                for key, _, value in node.pairs
                if not (isinstance(value, Scalar) and value.value is None)
            }


def parse_document(
    data: bytes, *, file: str, folder: Path, what: str = "spec", begin: str = _BEGIN
) -> Mapping:
    """Read one YAML document whose top is a mapping.

    Args:
        data: the file's bytes, UTF-8; their number is limited by the caller.
        file: how the file is named in messages.
        folder: where relative paths inside it start.
        what: the file's kind, for messages.
        begin: how to begin such a file.

    Raises:
        FaultsError: what is wrong, with line and column; duplicate keys all at once.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        column = e.start - (data.rfind(b"\n", 0, e.start) + 1) + 1
        raise FaultsError(
            [
                FaultError(
                    Place(file, line, column),
                    "not UTF-8 text",
                    why=f"byte 0x{data[e.start]:02x} begins no character ({e.reason})",
                    mend="save the file as UTF-8",
                )
            ]
        ) from e
    reader = _Reader(file, folder)
    try:
        top = reader.read(yaml.parse(text, Loader=yaml.CLoader))
    except yaml.reader.ReaderError as e:
        before = text.encode()[: e.position].decode(errors="ignore")  # it counts bytes
        place = Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        why = f"character U+{e.character:04X} may not stand in YAML: {e.reason}"
        fault = FaultError(place, "not YAML", why=why, mend="remove the character")
        raise FaultsError([fault]) from e
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        why = f"{e.context}: {e.problem}" if e.context else str(e.problem)
        mend = "check indentation, colons, quotes and brackets there and on the line above"
        raise FaultsError([FaultError(place, "not YAML", why=why, mend=mend)]) from e
    if reader.faults:
        raise FaultsError(reader.faults)
    if not isinstance(top, Mapping):
        raise FaultsError([_not_a_mapping(top, file, what, begin)])
    return top


def _not_a_mapping(top: Node | None, file: str, what: str, begin: str) -> FaultError:
    match top:
        case Items():
            found = "a list"
        case Scalar(value=value) if value is not None:
            found = "a single value"
        case _:
            found = "nothing"
    return FaultError(
        top.place if top else Place(file, 1, 1),
        f"a {what} is a mapping of keys to values",
        why=f"the file holds {found}",
        mend=begin,
    )


class _Reader:
    """Builds nodes from events; collects faults that do not stop the reading."""

    def __init__(self, file: str, folder: Path) -> None:
        self.file, self.folder = file, folder
        self.faults: list[FaultError] = []
        self._anchors: dict[str, tuple[Node, int]] = {}  # with its size in nodes
        self._count = 0

    def read(self, events: Iterator[yaml.Event]) -> Node | None:
        top: Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise FaultsError(
                        [
                            FaultError(
                                self._place(event),
                                "a second document",
                                why="a spec is one YAML document; `---` begins another",
                                mend="put the other image into a file of its own",
                            )
                        ]
                    )
            elif isinstance(event, yaml.NodeEvent):
                top = self._node(event, events, 0)
        return top

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        before = self._count
        self._grow(1, place)
        if depth > MAX_DEPTH:
            raise FaultsError(
                [
                    FaultError(
                        place,
                        "nested too deeply",
                        why=f"more than {MAX_DEPTH} levels; a spec needs 5",
                        mend="check for a forgotten closing bracket",
                    )
                ]
            )
        tag = event.tag if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) else None
        if tag is not None and tag not in _TAGS and tag != "!":
            self.faults.append(
                FaultError(
                    place,
                    f"the tag {tag[:80]!r} is not used in a spec",
                    why="a value's type follows from its key, and tags could name code",
                    mend="remove the tag",
                )
            )
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(_value(event), place, self.folder)
        elif isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(each := next(events), yaml.SequenceEndEvent):
                items.append(self._node(each, events, depth + 1))
            node = Items(tuple(items), place, self.folder)
        else:
            node = self._mapping(events, place, depth)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._anchors[event.anchor] = (node, self._count - before)
        return node

    def _alias(self, event: yaml.AliasEvent, place: Place) -> Node:
        name = event.anchor or ""
        known = self._anchors.get(name)
        if known is None:
            fault = FaultError(
                place,
                f"unknown alias *{name[:80]}",
                why="no finished anchor of that name stands before it",
                mend=f"write &{name[:80]} at the value meant, or quote the text",
            )
            raise FaultsError([fault])
        self._grow(known[1], place)
        return known[0]

    def _grow(self, amount: int, place: Place) -> None:
        self._count += amount
        if self._count > MAX_NODES:
            fault = FaultError(
                place,
                "too many values",
                why=f"with aliases written out there are more than {MAX_NODES:,}",
                mend="remove the aliases; `files:` copies whole folders",
            )
            raise FaultsError([fault])

    def _mapping(self, events: Iterator[yaml.Event], place: Place, depth: int) -> Mapping:
        pairs: list[tuple[str, Place, Node]] = []
        seen: dict[str, Place] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            at = self._place(event)
            key = self._node(event, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if not isinstance(key, Scalar) or not isinstance(event, yaml.ScalarEvent):
                why, mend = (
                    "a list, a mapping or an alias stands where a key should",
                    "write a word",
                )
                self.faults.append(FaultError(at, "a key must be a word", why=why, mend=mend))
                continue
            name = event.value
            if name in seen:
                self.faults.append(
                    FaultError(
                        at,
                        f"duplicate key `{name[:80]}`",
                        why=f"it stands at {seen[name]} already, and only one could count",
                        mend="join the two",
                    )
                )
                continue
            seen[name] = at
            pairs.append((name, at, value))
        return Mapping(tuple(pairs), place, self.folder)


def _value(event: yaml.ScalarEvent) -> str | bool | None:
    """Only plain, untagged scalars are anything but text (YAML 1.2.2, 10.3.2 "Tag Resolution")."""
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return None if text in _NULL else text

"""The file system that an image's layers add up to (image-spec, layer.md, "Applying Changesets").

Paths are followed inside the image alone: its root is its own parent, so no link and no ``..`` leads
out. Every loop is bounded: links on one way, parts of one path, paths in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from staunch.model import limits
from staunch.model.entry import Kind
from staunch.model.inventory import Gap
from staunch.scan.content import Content

__all__ = ["Change", "Leaf", "Tree"]

DEPTH = 256  # parts of a path
PATHS = limits.MEMBERS  # of one image
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


@dataclass(slots=True)
class Change:
    """One member of a layer: ``path`` as it stands there, ``content`` what was kept of a file."""

    path: str
    kind: Kind
    mode: int
    size: int = 0
    link: str = ""
    special: str = ""
    content: Content | None = None


@dataclass(slots=True, eq=False)
class Leaf:
    """What stands at a path and is no folder; two hard links are one leaf at two paths."""

    kind: Kind  # FILE or SYMLINK
    mode: int
    size: int
    link: str
    special: str
    layer: int
    content: Content | None


class _Folder:
    __slots__ = ("children", "content", "layer")

    def __init__(self) -> None:
        self.children: dict[str, _Folder | Leaf] = {}
        self.content: Content | None = None
        self.layer = -1  # no layer told of it: it was made for what is in it


_Node = _Folder | Leaf


class Tree:
    """Layers are applied lowest first; then it is asked."""

    def __init__(self) -> None:
        """An empty root."""
        self._root = _Folder()
        self._count = 0
        self._cache: dict[str, tuple[str, _Folder] | None] = {}
        self.gaps: list[Gap] = []

    # -- making

    def apply(self, changes: Iterable[Change], layer: int) -> None:
        """Put one layer on top: its whiteouts hide what is below, then its members stand."""
        members: list[Change] = []
        for change in changes:
            parts = self._parts(change.path)
            if parts is None:
                continue
            name = parts[-1] if parts else ""
            if name.startswith(WHITEOUT):
                self._whiteout(parts)
            else:
                members.append(change)
        self._cache.clear()
        for change in members:
            if self._count >= PATHS:
                self._gap(change.path, f"the image has more than {PATHS} paths; the rest is unread")
                return
            self._add(change, layer)
        self._cache.clear()

    def _whiteout(self, parts: list[str]) -> None:
        self._cache.clear()
        found = self._walk(parts[:-1])
        if found is None or not isinstance(found[1], _Folder):
            return
        if parts[-1] == OPAQUE:
            found[1].children.clear()
        elif not parts[-1].startswith(WHITEOUT + WHITEOUT):  # others of that kind are aufs's own
            found[1].children.pop(parts[-1].removeprefix(WHITEOUT), None)

    def _add(self, change: Change, layer: int) -> None:
        parts = self._parts(change.path)
        if not parts:
            return
        parent = self._parent(parts[:-1])
        if parent is None:
            self._gap(change.path, "a file, or links without end, stand where a folder must be")
            return
        name = parts[-1]
        there = parent.children.get(name)
        if change.kind is Kind.DIR:
            folder = there if isinstance(there, _Folder) else _Folder()
            folder.content, folder.layer = change.content, layer
            if folder is not there:
                self._replace(parent, name, there, folder)
            return
        if change.kind is Kind.HARDLINK:
            target = self._parts(change.link)
            found = self._walk(target, follow=False) if target else None
            if found is None or not isinstance(found[1], Leaf):
                self._gap(change.path, f"a hard link to {change.link[:200]!r}, which is no file")
                leaf = Leaf(Kind.FILE, change.mode, 0, "", "a hard link to nothing", layer, None)
            else:
                leaf = found[1]
        else:
            leaf = Leaf(
                change.kind,
                change.mode,
                change.size,
                change.link,
                change.special,
                layer,
                change.content,
            )
        self._replace(parent, name, there, leaf)

    def _replace(self, parent: _Folder, name: str, there: _Node | None, new: _Node) -> None:
        if there is None:
            self._count += 1
        elif isinstance(there, _Folder) or there.kind is Kind.SYMLINK:
            self._cache.clear()  # ways through it lead elsewhere now
        parent.children[name] = new

    def _parent(self, parts: list[str]) -> _Folder | None:
        key = "/".join(parts)
        if key in self._cache:
            cached = self._cache[key]
            return cached[1] if cached else None
        found = self._walk(parts, make=True)
        folder = found[1] if found is not None and isinstance(found[1], _Folder) else None
        if found is not None and folder is not None:
            self._cache[key] = ("", folder)
        return folder

    def _parts(self, path: str) -> list[str] | None:
        """The parts of a path, ``..`` resolved by text; None (and a gap) where it is hostile."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            self._gap(path, "its name leads out of the image (`..`); it was left out")
            return None
        if len(parts) > DEPTH or len(path) > limits.PATH_BYTES:
            self._gap(path, f"its name is over {DEPTH} parts or {limits.PATH_BYTES} bytes")
            return None
        return parts

    def _gap(self, path: str, why: str) -> None:
        if len(self.gaps) < 1000:
            self.gaps.append(Gap("layer", shown(path), why))

    # -- asking

    def _walk(
        self, parts: Iterable[str], *, make: bool = False, follow: bool = True
    ) -> tuple[list[str], _Node] | None:
        """Canonical parts and what stands there; None where the way ends or goes round.

        With ``make``, missing folders are made. A link at the end is followed unless told not to.
        """
        pending = list(parts)[::-1]
        way: list[tuple[str, _Folder]] = [("", self._root)]
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(way) > 1:
                    way.pop()
                continue
            here = way[-1][1]
            child = here.children.get(name)
            if child is None:
                if not make:
                    return None
                child = _Folder()
                self._replace(here, name, None, child)
            if isinstance(child, _Folder):
                if len(way) > 2 * DEPTH:
                    return None
                way.append((name, child))
                continue
            if child.kind is Kind.SYMLINK and (pending or follow):
                links += 1
                target = child.link.split("/")
                if links > limits.LINK_DEPTH or len(pending) + len(target) > 4 * DEPTH:
                    return None
                if child.link.startswith("/"):
                    del way[1:]
                pending.extend(reversed(target))
                continue
            if any(part not in ("", ".") for part in pending):
                return None
            return [each for each, _ in way[1:]] + [name], child
        return [each for each, _ in way[1:]], way[-1][1]

    def canonical(self, path: str) -> str | None:
        """Where a path really stands: links on the way are followed, one at its end is not.

        None where nothing stands there.
        """
        folder, _, name = path.strip("/").rpartition("/")
        if name in ("", ".", ".."):
            return None
        if folder not in self._cache:
            found = self._walk(folder.split("/"))
            self._cache[folder] = (
                ("/".join(found[0]), found[1])
                if found is not None and isinstance(found[1], _Folder)
                else None
            )
        cached = self._cache[folder]
        if cached is None or name not in cached[1].children:
            return None
        return f"{cached[0]}/{name}" if cached[0] else name

    def get(self, path: str) -> tuple[str, Leaf] | None:
        """The file at a path, all links followed: its canonical path, and the leaf."""
        found = self._walk(path.split("/"))
        if found is None or not isinstance(found[1], Leaf):
            return None
        return "/".join(found[0]), found[1]

    def is_folder(self, path: str) -> bool:
        """Whether a folder stands there, links followed."""
        found = self._walk(path.split("/"))
        return found is not None and isinstance(found[1], _Folder)

    def is_folder_at(self, canonical: str) -> bool:
        """Whether a folder stands at a canonical path; links are not followed."""
        folder, _, name = canonical.rpartition("/")
        cached = self._cache.get(folder)
        return cached is not None and isinstance(cached[1].children.get(name), _Folder)

    def names(self, path: str) -> tuple[str, ...]:
        """What a folder holds, sorted; nothing where there is none."""
        found = self._walk(path.split("/"))
        if found is None or not isinstance(found[1], _Folder):
            return ()
        return tuple(sorted(found[1].children))

    def leaves(self) -> Iterator[tuple[str, Leaf]]:
        """Every path that is no folder, sorted by parts."""
        pending: list[tuple[str, _Node]] = [("", self._root)]
        while pending:
            path, node = pending.pop()
            if isinstance(node, Leaf):
                yield path, node
                continue
            prefix = path + "/" if path else ""
            pending.extend(
                (prefix + name, node.children[name]) for name in sorted(node.children, reverse=True)
            )

    def folders(self) -> Iterator[tuple[str, Content | None, int]]:
        """Every folder but the root, sorted by parts: path, content and number of its layer.

        The number is -1 for one that no layer told of.
        """
        pending = [("", self._root)]
        while pending:
            path, folder = pending.pop()
            if path:
                yield path, folder.content, folder.layer
            prefix = path + "/" if path else ""
            pending.extend(
                (prefix + name, child)
                for name, child in sorted(folder.children.items(), reverse=True)
                if isinstance(child, _Folder)
            )


def shown(path: str) -> str:
    """A path for people: bytes and halves of characters that are no text made visible, cut."""
    try:
        text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # JSON may hold half a surrogate pair
        text = path.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 300 else text[:300] + "…"

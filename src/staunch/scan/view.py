"""What cataloguers see of a target: its finished tree, the files kept of it, its distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from staunch.errors import StaunchError
from staunch.model.digest import Digest
from staunch.model.inventory import Distribution, FoundPackage, Gap, Location
from staunch.scan.content import Deferred, Facts, Kept, Lost
from staunch.scan.tree import Leaf, Tree, shown

__all__ = ["Cataloguer", "Find", "View"]


@dataclass(frozen=True, slots=True)
class Find:
    """A package, and the paths that its own database says it owns.

    ``paths`` are as the database has them (a leading slash or not), links not yet followed;
    ``trees`` are folders it owns with all that is in them. ``system``: it is the distribution's.
    """

    package: FoundPackage
    paths: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    system: bool = False


@dataclass(slots=True)
class View:
    """A finished tree, and its files by role; both complete before the first cataloguer runs."""

    tree: Tree
    layers: tuple[Digest, ...] = ()
    distribution: Distribution | None = None
    _roles: dict[str, list[tuple[str, Leaf]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Sort what was kept by role."""
        for path, leaf in self.tree.leaves():
            if leaf.content is not None:
                self._roles.setdefault(leaf.content.role, []).append((path, leaf))

    def of(self, role: str) -> Iterator[tuple[str, Leaf]]:
        """Canonical path and leaf of every file kept in that role, sorted by path."""
        yield from self._roles.get(role, ())

    def read_deferred(self, wanted: Callable[[str, Leaf], bool]) -> int:
        """Read those left alone that are wanted after all; how many stay unread."""
        left = 0
        for path, leaf in self._roles.pop("deferred", []):
            if not isinstance(leaf.content, Deferred):
                continue  # another name of a file that was read just now
            if not wanted(path, leaf):
                left += 1
                continue
            leaf.content = leaf.content.read()
            if leaf.content is not None:
                self._roles.setdefault(leaf.content.role, []).append((path, leaf))
        return left

    def location(self, path: str, leaf: Leaf) -> Location:
        """A path, and the layer that brought what stands there."""
        layer = self.layers[leaf.layer] if leaf.layer < len(self.layers) else None
        return Location(shown(path), layer)

    def text(self, path: str) -> bytes | None:
        """The kept bytes of the file at a path, links followed; None where nothing was kept."""
        found = self.tree.get(path)
        if found is None or not isinstance(found[1].content, Kept):
            return None
        return found[1].content.data()


Cataloguer = Callable[[View], Iterator["Find | Gap"]]


def kept(view: View, role: str, what: str) -> Iterator[tuple[str, Leaf, bytes] | Gap]:
    """Each file of a role with its bytes, or a gap where they were not kept."""
    for path, leaf in view.of(role):
        match leaf.content:
            case Kept():
                yield path, leaf, leaf.content.data()
            case Lost():
                yield Gap(what, shown(path), leaf.content.why)
            case Facts() | Deferred() | None:
                pass


def gap(what: str, path: str, fault: StaunchError) -> Gap:
    """A reader's error as a gap."""
    return Gap(what, shown(path), fault.why)


def root_of(path: str, inside: str) -> str:
    """The root that a path of a database belongs to: "" or a folder with its slash."""
    return path.removesuffix(inside) if path.endswith(inside) else ""


def joined(root: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Paths of a database below its root."""
    return tuple(root + path.lstrip("/") for path in paths)

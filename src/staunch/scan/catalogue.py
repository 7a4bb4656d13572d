"""Run every cataloguer over a finished tree, and settle who owns which file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from staunch.model.entry import Kind
from staunch.model.inventory import FoundPackage, Gap
from staunch.scan.alpine import find_apk
from staunch.scan.debian import find_chisel, find_dpkg
from staunch.scan.python import find_python
from staunch.scan.rpm import find_rpm
from staunch.scan.tree import Tree, shown
from staunch.scan.view import Cataloguer, Find, View

__all__ = ["Catalogue", "catalogue"]

SYSTEM: tuple[Cataloguer, ...] = (find_dpkg, find_chisel, find_apk, find_rpm)
LANGUAGES: tuple[Cataloguer, ...] = (find_python,)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was found in a tree; each part sorted, as ``Inventory`` has it."""

    packages: tuple[FoundPackage, ...]
    gaps: tuple[Gap, ...]
    unowned: tuple[str, ...]
    unowned_executables: tuple[str, ...]


def catalogue(view: View) -> Catalogue:
    """All packages of a view, and the paths that none of them owns."""
    finds: list[Find] = []
    gaps: list[Gap] = list(view.tree.gaps)
    for cataloguer in (*SYSTEM, *LANGUAGES):
        for item in cataloguer(view):
            if isinstance(item, Gap):
                gaps.append(item)
            else:
                finds.append(item)
    owners = _Owners(view.tree)
    counts = [owners.claim(find) for find in finds]
    packages = [
        replace(find.package, files=count, owner="" if find.system else owners.system(find.package))
        for find, count in zip(finds, counts, strict=True)
    ]
    unowned, executables = owners.rest()
    return Catalogue(
        tuple(sorted(packages, key=_order)), tuple(sorted(set(gaps))), unowned, executables
    )


def _order(package: FoundPackage) -> tuple[str, tuple[str, ...]]:
    return str(package.purl), tuple(each.path for each in package.locations)


class _Owners:
    """Which canonical path belongs to whom."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._system: dict[str, str] = {}
        self._owned: set[str] = set()
        self._trees: set[str] = set()

    def claim(self, find: Find) -> int:
        """Note what a package owns; how many of these paths are there, folders left out."""
        purl = str(find.package.purl)
        count = 0
        for path in self._there(find.paths):
            count += 1
            self._owned.add(path)
            if find.system:
                self._system.setdefault(path, purl)
        self._trees.update(tree.strip("/") for tree in find.trees)
        return count

    def _there(self, paths: Iterable[str]) -> Iterable[str]:
        for path in paths:
            canonical = self._tree.canonical(path)
            if canonical is not None and not self._tree.is_folder_at(canonical):
                yield canonical

    def system(self, package: FoundPackage) -> str:
        """The purl of the distribution's package that owns the place a package was read from."""
        for location in package.locations:
            owner = self._system.get(location.path)
            if owner:
                return owner
        return ""

    def rest(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Paths without owner, and those of them that can be run; sorted."""
        unowned: list[str] = []
        executables: list[str] = []
        for path, leaf in self._tree.leaves():
            if path in self._owned or self._in_tree(path) or self._derived(path):
                continue
            unowned.append(shown(path))
            if leaf.kind is Kind.FILE and leaf.mode & 0o111 and not leaf.special:
                executables.append(shown(path))
        return tuple(sorted(unowned)), tuple(sorted(executables))

    def _in_tree(self, path: str) -> bool:
        at = path.rfind("/")
        while at > 0:
            if path[:at] in self._trees:
                return True
            at = path.rfind("/", 0, at)
        return path in self._trees

    def _derived(self, path: str) -> bool:
        """Byte code that Python wrote beside a file that has an owner (PEP 3147)."""
        folder, _, name = path.rpartition("/")
        if not name.endswith(".pyc") or not folder.endswith("/__pycache__"):
            return False
        return f"{folder[: -len('__pycache__')]}{name.partition('.')[0]}.py" in self._owned

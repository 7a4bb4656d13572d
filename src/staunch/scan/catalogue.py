"""Run every cataloguer over a finished tree, and settle who owns which file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from staunch.model.entry import Kind
from staunch.model.inventory import Confidence, FoundPackage, Gap
from staunch.scan.alpine import find_apk
from staunch.scan.conda import find_conda
from staunch.scan.debian import find_chisel, find_dpkg
from staunch.scan.java import find_jars
from staunch.scan.models import find_models
from staunch.scan.native import find_native, find_told_by_wheels, least_driver
from staunch.scan.npm import find_npm
from staunch.scan.programs import find_programs
from staunch.scan.python import find_python
from staunch.scan.reach import Start, unreached
from staunch.scan.rpm import find_rpm
from staunch.scan.tree import Tree, shown
from staunch.scan.view import Cataloguer, Find, View

__all__ = ["Catalogue", "catalogue"]

PACKAGES = 200_000  # of one target

SYSTEM: tuple[Cataloguer, ...] = (find_dpkg, find_chisel, find_apk, find_rpm, find_conda)
LANGUAGES: tuple[Cataloguer, ...] = (find_python, find_told_by_wheels, find_npm)
CONTENTS: tuple[Cataloguer, ...] = (find_jars, find_programs, find_native, find_models)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was found in a tree; each part sorted, as ``Inventory`` has it."""

    packages: tuple[FoundPackage, ...]
    gaps: tuple[Gap, ...]
    unowned: tuple[str, ...]
    unowned_executables: tuple[str, ...]
    unopened: int


def catalogue(view: View, start: Start | None = None) -> Catalogue:
    """All packages of a view, and the paths that none of them owns.

    With ``start``, what the image starts with, distribution packages that it does not reach are
    marked (``reach.unreached``).
    """
    gaps: list[Gap] = list(view.tree.gaps)
    owners = _Owners(view.tree)
    finds: list[tuple[Find, int]] = []

    def run(cataloguers: Iterable[Cataloguer]) -> None:
        for cataloguer in cataloguers:
            for item in cataloguer(view):
                if isinstance(item, Gap):
                    gaps.append(item)
                elif len(finds) < PACKAGES:
                    finds.append((item, owners.claim(item)))
                else:
                    why = f"more than {PACKAGES:,} packages; the rest is not listed"
                    gaps.append(Gap("catalogue", "", why))
                    return

    run((*SYSTEM, *LANGUAGES))
    unopened = view.read_deferred(lambda path, _: not owners.has(path))
    run(CONTENTS)
    apart = unreached(view.tree, owners.files, start) if start and not unopened else frozenset()
    packages = [
        replace(
            _marked(find.package, apart) if find.system else owners.dated(find.package),
            files=count,
            owner="" if find.system else owners.system(find.package),
        )
        for find, count in finds
    ]
    unowned, executables = owners.rest()
    return Catalogue(
        tuple(sorted(packages, key=_order)),
        tuple(sorted(set(gaps))),
        unowned,
        executables,
        unopened,
    )


def _marked(package: FoundPackage, apart: frozenset[str]) -> FoundPackage:
    if not apart or str(package.purl) not in apart:
        return package
    return replace(package, facts=tuple(sorted((*package.facts, ("reachable", "no")))))


def _order(package: FoundPackage) -> tuple[str, tuple[str, ...]]:
    return str(package.purl), tuple(each.path for each in package.locations)


class _Owners:
    """Which canonical path belongs to whom."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._system: dict[str, str] = {}
        self._owned: set[str] = set()
        self._trees: set[str] = set()
        self._carriers: dict[str, FoundPackage] = {}

    def claim(self, find: Find) -> int:
        """Note what a package owns; how many of these paths are there, folders left out."""
        purl = str(find.package.purl)
        count = 0
        for path in self._there(find.paths):
            count += 1
            self._owned.add(path)
            if find.system:
                self._system.setdefault(path, purl)
            elif ".so" in path and find.package.version:
                self._carriers.setdefault(path, find.package)
        self._trees.update(tree.strip("/") for tree in find.trees)
        return count

    @property
    def files(self) -> Mapping[str, str]:
        """The purl of the distribution's package that owns a canonical path."""
        return self._system

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

    def dated(self, package: FoundPackage) -> FoundPackage:
        """A CUDA library of a wheel that NVIDIA makes for it alone has the wheel's version."""
        if package.found_by != "cuda-library" or package.version or not package.locations:
            return package
        carrier = self._carriers.get(package.locations[0].path)
        if carrier is None or not carrier.purl.name.startswith("nvidia-"):
            return package
        driver = least_driver(package.name, carrier.version)
        facts = {**dict(package.facts), **({"driver": driver} if driver else {})}
        return replace(
            package,
            purl=replace(package.purl, version=carrier.version),
            version=carrier.version,
            known_by="wheel",
            confidence=Confidence.MEDIUM,
            facts=tuple(sorted(facts.items())),
        )

    def rest(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Paths without owner, and those of them that can be run; sorted."""
        unowned: list[str] = []
        executables: list[str] = []
        for path, leaf in self._tree.leaves():
            if self.has(path):
                continue
            unowned.append(shown(path))
            if leaf.kind is Kind.FILE and leaf.mode & 0o111 and not leaf.special:
                executables.append(shown(path))
        return tuple(sorted(unowned)), tuple(sorted(executables))

    def has(self, path: str) -> bool:
        """Whether any package owns a canonical path."""
        return path in self._owned or self._in_tree(path) or self._derived(path)

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

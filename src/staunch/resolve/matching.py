"""Which packages meet a relation, and in which order they are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from staunch.ecosystems.deb import ECOSYSTEM
from staunch.formats.packages import Binary, PackageIndex
from staunch.formats.relations import Group, Relation

_PRIORITIES = ("required", "important", "standard", "optional", "extra")
_HOLDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<<": lambda have, want: have < want,
    "<=": lambda have, want: have <= want,
    "=": lambda have, want: have == want,
    ">=": lambda have, want: have >= want,
    ">>": lambda have, want: have > want,
}


@lru_cache(maxsize=1 << 17)
def version_key(version: str) -> Any:  # noqa: ANN401 - opaque, comparable with its like
    """Debian's version order as a sort key (``ecosystems.deb``), remembered."""
    return ECOSYSTEM.order(version)


def version_holds(version: str, relation: Relation) -> bool:
    """Whether ``version`` stands in the relation's range; any does where it names none."""
    if not relation.operator:
        return True
    return _HOLDS[relation.operator](version_key(version), version_key(relation.version))


def satisfies(package: Binary, relation: Relation) -> bool:
    """Whether ``package`` meets a positive relation, itself or by ``Provides``.

    ``:any`` is met by ``Multi-Arch: allowed`` alone, ``:native`` by any, an architecture by its own.
    """
    if relation.qualifier == "any" and package.multi_arch != "allowed":
        return False
    return _of_architecture(package, relation) and _named(package, relation)


def excludes(package: Binary, relation: Relation) -> bool:
    """Whether a negative relation (Conflicts, Breaks) of another package is about ``package``."""
    return _of_architecture(package, relation) and _named(package, relation)


def candidates(index: PackageIndex, group: Group, prefer: Mapping[str, str]) -> tuple[Binary, ...]:
    """All that can meet ``group``, in the order to try them, each once.

    Alternatives as written; for each the real package (newest first), then providers by priority,
    then name. Whatever ``prefer`` (name to version) holds comes before all else.
    """
    found: dict[Binary, None] = {}
    for relation in group:
        real = [each for each in index.packages(relation.name) if satisfies(each, relation)]
        for each in newest_first(real):
            found[each] = None
        provided = [each for each in index.providers(relation.name) if satisfies(each, relation)]
        for each in sorted(newest_first(provided), key=_provider_rank):
            found[each] = None
    return tuple(sorted(found, key=lambda each: prefer.get(each.name) != each.version))


def newest_first(packages: list[Binary]) -> list[Binary]:
    """Sort by version, highest first; of equal ones that of the earlier suite stays, alone."""
    unique: dict[tuple[str, str], Binary] = {}
    for each in packages:
        unique.setdefault((each.name, each.version), each)
    return sorted(unique.values(), key=lambda each: version_key(each.version), reverse=True)


def _provider_rank(package: Binary) -> tuple[bool, int, str]:
    priority = package.priority
    rank = _PRIORITIES.index(priority) if priority in _PRIORITIES else len(_PRIORITIES)
    return not package.essential, rank, package.name


def _of_architecture(package: Binary, relation: Relation) -> bool:
    return relation.qualifier in ("", "any", "native", package.target)


def _named(package: Binary, relation: Relation) -> bool:
    if package.name == relation.name and version_holds(package.version, relation):
        return True
    return any(
        each.name == relation.name
        and (
            not relation.operator
            or (each.operator == "=" and version_holds(each.version, relation))
        )
        for each in package.provides
    )

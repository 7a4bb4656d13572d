"""Why a set of requests has no solution, in terms of the spec's own lines."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from staunch.formats.packages import Binary, PackageIndex
from staunch.formats.relations import Group, Relation
from staunch.resolve.matching import newest_first
from staunch.resolve.search import Bar, Clause, Node, Root, Wish

_MAX_LINES = 12


def explain(clause: Clause, index: PackageIndex) -> str:
    """The derivation of an empty clause as a few clauses of prose, joined by semicolons.

    What holds for several versions of a package is said of the first one tried.
    """
    lines: dict[tuple[object, ...], str] = {}
    for key, line in _lines(clause, index, set()):
        lines.setdefault(key, line)
        if len(lines) > _MAX_LINES:
            return "; ".join([*list(lines.values())[:_MAX_LINES], "…"])
    return "; ".join(lines.values())


def nearest(name: str, index: PackageIndex, *, count: int = 3) -> tuple[str, ...]:
    """Package names most like ``name``, best first; ``lib`` and ``python3-`` may be missing."""
    known: dict[str, list[str]] = {}
    for full in sorted(index.names()):
        for prefix in ("", "python3-", "lib"):
            short = full.removeprefix(prefix)
            if full.startswith(prefix) and abs(len(short) - len(name)) <= max(3, len(name) // 2):
                known.setdefault(short, []).append(full)
    close = get_close_matches(name, known, n=count, cutoff=0.7)
    found = [full for short in close for full in known[short]]
    found += sorted(each for each in known if each.startswith(name))
    return tuple(dict.fromkeys(found))[:count]


def group_text(group: Group) -> str:
    """A group as a control file writes it."""
    return " | ".join(str(each) for each in group)


def versions_text(name: str, index: PackageIndex) -> str:
    """The versions there are, newest first, with their suites; at most five."""
    found = newest_first(list(index.packages(name)))
    return ", ".join(f"{each.version} ({each.suite})" for each in found[:5])


def _lines(
    clause: Clause, index: PackageIndex, seen: set[int]
) -> Iterator[tuple[tuple[object, ...], str]]:
    """Each line with a key that is the same for other versions of the same packages."""
    if id(clause) in seen:
        return
    seen.add(id(clause))
    wanted, needs = _wanted(clause), _name(clause.node)
    if not clause.bars:
        yield (needs, clause.group), f"{wanted}: {_missing(clause.group, index)}"
    for bar in clause.bars:
        if bar.clause is None:
            key = (needs, clause.group, bar.kind, bar.candidate.name, _name(bar.by[0]))
            yield key, f"{wanted}, but {_because(bar, clause)}"
    for bar in clause.bars:
        if bar.clause is not None:
            yield from _lines(bar.clause, index, seen)


def _name(node: Node) -> str:
    match node:
        case Root():
            return node.text
        case Wish():
            return node.package.name
        case Binary():
            return node.name


def _wanted(clause: Clause) -> str:
    match clause.node:
        case Root() as root:
            return root.text
        case Wish() as wish:
            return f"{wish.package} recommends {group_text(clause.group)}"
        case Binary() as package:
            return f"{_chain(package, clause)} depends on {group_text(clause.group)}"


def _chain(package: Binary, clause: Clause) -> str:
    nodes = clause.chains.get(package, (package,))
    return " → ".join(_node(each) for each in nodes)


def _node(node: Node) -> str:
    match node:
        case Root():
            return node.text
        case Wish():
            return "(recommends)"
        case Binary():
            return str(node)


def _because(bar: Bar, clause: Clause) -> str:
    other = bar.by[0]
    chain = _chain(other, clause) if isinstance(other, Binary) else _node(other)
    if bar.kind == "version":
        return f"{bar.candidate} cannot stand beside {chain}"
    verb = {"Conflicts": "conflicts with", "Breaks": "breaks"}[bar.kind]
    if bar.owner == bar.candidate:
        return f"{bar.candidate} {verb} {bar.relation}, which is {chain}"
    return f"{chain} {verb} {bar.relation}, which is {bar.candidate}"


def _missing(group: Group, index: PackageIndex) -> str:
    return ", ".join(_one_missing(each, index) for each in group)


def _one_missing(relation: Relation, index: PackageIndex) -> str:
    have = versions_text(relation.name, index)
    if have:
        return f"of {relation.name} there is only {have}"
    providers = sorted({each.name for each in index.providers(relation.name)})
    if providers:
        return f"{relation.name} is only provided, without a fitting version, by {', '.join(providers[:5])}"
    return f"there is no package {relation.name}"

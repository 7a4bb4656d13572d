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
    """The derivation of an empty clause as a few clauses of prose, joined by semicolons."""
    lines: list[str] = []
    for line in _lines(clause, index, set()):
        if line not in lines:
            lines.append(line)
        if len(lines) == _MAX_LINES:
            lines.append("…")
            break
    return "; ".join(lines)


def nearest(name: str, index: PackageIndex, *, count: int = 3) -> tuple[str, ...]:
    """Package names most like ``name``, best first."""
    known = [each for each in index.names() if abs(len(each) - len(name)) <= max(3, len(name) // 2)]
    starts = sorted(each for each in known if each.startswith(name))[:count]
    close = get_close_matches(name, known, n=count, cutoff=0.6)
    return tuple(dict.fromkeys([*close, *starts]))[:count]


def group_text(group: Group) -> str:
    """A group as a control file writes it."""
    return " | ".join(str(each) for each in group)


def versions_text(name: str, index: PackageIndex) -> str:
    """The versions there are, newest first, with their suites; at most five."""
    found = newest_first(list(index.packages(name)))
    return ", ".join(f"{each.version} ({each.suite})" for each in found[:5])


def _lines(clause: Clause, index: PackageIndex, seen: set[int]) -> Iterator[str]:
    if id(clause) in seen:
        return
    seen.add(id(clause))
    inner = [bar.clause for bar in clause.bars if bar.clause is not None]
    wanted = _wanted(clause)
    if not clause.bars:
        yield f"{wanted}: {_missing(clause.group, index)}"
    elif len(inner) == len(clause.bars) and not isinstance(clause.node, Binary):
        pass  # what follows starts from the same request
    for bar in clause.bars:
        if bar.clause is None:
            yield f"{wanted}, but {_because(bar, clause)}"
    for each in inner:
        yield from _lines(each, index, seen)


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

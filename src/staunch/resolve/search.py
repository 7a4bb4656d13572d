"""The solver: choose greedily as apt does, learn from each dead end, start over.

A choice is right until a package's dependency has no candidate left. Each candidate is then
barred by choices made before; together with the package that depends they form a *clause*: not
all of these at once. Clauses are consequences of the relations alone, so they hold for good. The
next pass goes the same way and leaves out what a clause forbids. A clause without members means
that there is no solution, and its derivation is the explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from staunch.errors import UndecidedError
from staunch.formats.packages import Binary, PackageIndex
from staunch.formats.relations import Group, Relation
from staunch.resolve.matching import candidates, excludes, satisfies

MAX_PASSES = 2000


@dataclass(frozen=True, slots=True)
class Root:
    """Something that must be: a request (``choices`` in the order to try), or an essential name."""

    text: str
    choices: tuple[Binary, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """A recommendation: followed unless that leads nowhere."""

    package: Binary
    group: Group


Node = Root | Binary | Wish


@dataclass(frozen=True, slots=True)
class Bar:
    """Why a candidate cannot be chosen now: another version, a conflict, or a clause.

    ``by`` are the choices that bar it; ``kind`` is ``version``, ``Conflicts``, ``Breaks`` or
    ``clause``; ``owner`` has the relation that says so.
    """

    candidate: Binary
    kind: str
    by: tuple[Node, ...]
    owner: Binary | None = None
    relation: Relation | None = None
    clause: Clause | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    """``members`` cannot all be chosen, for ``node`` needs ``group`` and every candidate is barred.

    ``chains`` leads from a root to each package named, as it was then.
    """

    members: frozenset[Binary | Wish]
    node: Node
    group: Group
    bars: tuple[Bar, ...]
    chains: Mapping[Binary, tuple[Node, ...]]


class UnsolvableError(Exception):
    """There is no solution; ``clause`` says why."""

    def __init__(self, clause: Clause) -> None:
        super().__init__(clause)
        self.clause = clause


@dataclass
class Search:
    """One problem. ``run`` gives the chosen packages in the order of their choice.

    Args:
        index: all there is.
        prefer: name to version: tried before all else.
        recommends: whether recommendations are followed.
        dropped: package (``*``: any) to the names whose groups are not followed.
    """

    index: PackageIndex
    prefer: Mapping[str, str]
    recommends: bool
    dropped: Mapping[str, frozenset[str]] = field(default_factory=dict)
    clauses: list[Clause] = field(default_factory=list)
    _by_member: dict[Node, list[Clause]] = field(default_factory=dict)
    _groups: dict[Group, tuple[Binary, ...]] = field(default_factory=dict)

    def run(self, roots: Sequence[Root]) -> list[Binary]:
        """Solve.

        Raises:
            UnsolvableError: there is no solution.
            UndecidedError: none was found within the limit.
        """
        for _ in range(MAX_PASSES):
            found = _Pass(self).run(roots)
            if not isinstance(found, Clause):
                return found
            if not found.members:
                raise UnsolvableError(found)
            self.clauses.append(found)
            for member in found.members:
                self._by_member.setdefault(member, []).append(found)
        raise UndecidedError(
            "the packages could not be resolved",
            why=f"no solution and no contradiction was found in {MAX_PASSES:,} attempts",
            mend="pin versions or name fewer alternatives under `packages:`, to leave less to choose",
        )

    def choices(self, group: Group) -> tuple[Binary, ...]:
        """Candidates of a group, remembered."""
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = candidates(self.index, group, self.prefer)
        return found

    def wanted(self, package: Binary) -> list[tuple[Node, Group]]:
        """The groups to follow, in order, with the node that needs them."""
        everywhere: frozenset[str] = frozenset()
        barred = self.dropped.get(package.name, everywhere) | self.dropped.get("*", everywhere)
        needed: list[tuple[Node, Group]] = [
            (package, group)
            for group in package.depends
            if not any(each.name in barred for each in group)
        ]
        if self.recommends:
            needed += [(Wish(package, group), group) for group in package.recommends]
        return needed

    def clauses_of(self, node: Node) -> Iterable[Clause]:
        """Clauses that ``node`` is a member of."""
        return self._by_member.get(node, ())


class _Pass:
    """One greedy attempt."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._chosen: dict[str, Binary] = {}
        self._active: set[Node] = set()
        self._parents: dict[Node, Node] = {}
        self._names: dict[str, list[Binary]] = {}  # real and provided names -> chosen packages
        self._against: dict[str, list[tuple[Binary, str, Relation]]] = {}

    def run(self, roots: Sequence[Root]) -> list[Binary] | Clause:
        for root in roots:
            clause = self._choose(root, (), root.choices)
            if clause is not None:
                return clause
        stack: list[tuple[Binary, int, list[tuple[Node, Group]]]] = [
            (package, 0, self._search.wanted(package))
            for package in reversed(self._chosen.values())
        ]
        while stack:
            package, at, wanted = stack.pop()
            while at < len(wanted):
                node, group = wanted[at]
                at += 1
                if self._met(group):
                    continue
                if isinstance(node, Wish):
                    if not self._wishable(node, group):
                        continue
                    self._activate(node, package)
                before = len(self._chosen)
                clause = self._choose(node, group, self._search.choices(group))
                if clause is not None:
                    return clause
                if len(self._chosen) > before:
                    newest = next(reversed(self._chosen.values()))
                    stack.append((package, at, wanted))
                    package, at, wanted = newest, 0, self._search.wanted(newest)
        return list(self._chosen.values())

    def _met(self, group: Group) -> bool:
        return any(
            satisfies(each, relation)
            for relation in group
            for each in self._names.get(relation.name, ())
        )

    def _wishable(self, wish: Wish, group: Group) -> bool:
        if not self._search.choices(group):
            return False
        return not any(
            all(other in self._active for other in clause.members if other != wish)
            for clause in self._search.clauses_of(wish)
        )

    def _choose(self, node: Node, group: Group, choices: Sequence[Binary]) -> Clause | None:
        """Take the first candidate that nothing bars; a clause when there is none."""
        bars = []
        for each in choices:
            if self._chosen.get(each.name) == each:
                return None
            bar = self._barred(each)
            if bar is None:
                self._chosen[each.name] = each
                self._activate(each, node)
                for name in {each.name, *(provided.name for provided in each.provides)}:
                    self._names.setdefault(name, []).append(each)
                for kind, relation in each.negative:
                    self._against.setdefault(relation.name, []).append((each, kind, relation))
                return None
            bars.append(bar)
        members = {node, *(by for bar in bars for by in bar.by)}
        named = {each for each in members if isinstance(each, Binary)}
        return Clause(
            frozenset(each for each in members if not isinstance(each, Root)),
            node,
            group,
            tuple(bars),
            {each: self._chain(each) for each in named},
        )

    def _activate(self, node: Node, parent: Node) -> None:
        self._active.add(node)
        self._parents[node] = parent

    def _chain(self, node: Node) -> tuple[Node, ...]:
        chain = [node]
        while (parent := self._parents.get(chain[-1])) is not None:
            chain.append(parent)
        return tuple(reversed(chain))

    def _barred(self, each: Binary) -> Bar | None:
        other = self._chosen.get(each.name)
        if other is not None:
            return Bar(each, "version", (other,))
        for kind, relation in each.negative:
            for chosen in self._names.get(relation.name, ()):
                if excludes(chosen, relation):
                    return Bar(each, kind, (chosen,), each, relation)
        for name in {each.name: None} | {provided.name: None for provided in each.provides}:
            for chosen, kind, relation in self._against.get(name, ()):
                if excludes(each, relation):
                    return Bar(each, kind, (chosen,), chosen, relation)
        for clause in self._search.clauses_of(each):
            others = tuple(member for member in clause.members if member != each)
            if all(member in self._active for member in others):
                return Bar(each, "clause", tuple(sorted(others, key=_rank)), clause=clause)
        return None


def _rank(node: Node) -> tuple[int, str]:
    match node:
        case Binary():
            return node.position, ""
        case Wish():
            return node.package.position, str(node.group)
        case Root():
            return -1, node.text

"""From requests to a set of Debian packages that fit together (docs/resolving.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from staunch.errors import SpecError
from staunch.formats.packages import Binary, PackageIndex
from staunch.formats.relations import Group
from staunch.model.lock import LockedPackage
from staunch.model.spec import Place, Profile, Request
from staunch.resolve.explain import explain, group_text, nearest, versions_text
from staunch.resolve.matching import candidates, newest_first, satisfies, version_key
from staunch.resolve.requests import Wanted, parse_request
from staunch.resolve.search import Root, Search, UnsolvableError


@dataclass(frozen=True, slots=True)
class Solved:
    """One chosen package; ``reasons`` are the chosen packages that depend on it, or ``spec``."""

    package: Binary
    reasons: tuple[str, ...]

    def locked(self, profiles: tuple[Profile, ...]) -> LockedPackage:
        """As a lock keeps it.

        Raises:
            UntrustedError: the index describes its file wrongly.
        """
        each = self.package
        filename, size, digest = each.file
        source, source_version = each.source
        return LockedPackage(
            each.name,
            each.version,
            each.architecture,
            source,
            source_version,
            each.repository,
            each.suite,
            filename,
            size,
            digest,
            profiles,
            self.reasons,
        )


@dataclass(frozen=True, slots=True, order=True)
class Omission:
    """A dependency that was not followed, since only a maintainer script needs it."""

    package: str
    dependency: str
    why: str


@dataclass(frozen=True, slots=True, order=True)
class Lowered:
    """A package that could not have its newest version."""

    name: str
    got: str
    newest: str


class UnknownRequestsError(SpecError):
    """Several requests that no package meets; ``faults`` holds the error of each, by place."""

    def __init__(self, faults: Sequence[SpecError]) -> None:
        """Join what each says."""
        self.faults = tuple(faults)
        super().__init__(
            f"{len(faults)} package requests cannot be met",
            why="; ".join(f"{each.what} ({each.why})" for each in faults),
            mend="; ".join(dict.fromkeys(each.mend for each in faults)),
        )


@dataclass(frozen=True, slots=True)
class Solution:
    """Packages sorted by name, what was left out, and what is not the newest there is."""

    packages: tuple[Solved, ...]
    omitted: tuple[Omission, ...]
    lowered: tuple[Lowered, ...]


def solve(
    index: PackageIndex,
    requests: Sequence[Request],
    *,
    essential: bool = False,
    recommends: bool = False,
    prefer: Mapping[str, str] | None = None,
    upgrade: Collection[str] = (),
    exclude: Mapping[tuple[str, str], str] | None = None,
) -> Solution:
    """Choose packages that meet ``requests`` and all that these depend on.

    The order of ``requests`` does not matter. The newest version of each is taken, unless
    ``prefer`` holds it or the relations leave no other way.

    Args:
        index: every package there is, for one architecture.
        requests: lines of the spec, or of a profile.
        essential: whether packages that call themselves essential are requested, too.
        recommends: whether recommendations are followed, where that is possible.
        prefer: name to version of an earlier lock: kept as long as they fit.
        upgrade: names that are not kept, and with them all of the same source package.
        exclude: (package or ``*``, dependency) to the reason why that dependency is not followed;
            an alternative counts for the whole group.

    Raises:
        SpecError: the requests cannot be met; says why in terms of their places.
        UndecidedError: the search took too long.
    """
    exclude = exclude or {}
    wanted = sorted({parse_request(each) for each in requests}, key=lambda each: each.request)
    kept = _kept(index, prefer or {}, upgrade)
    dropped: dict[str, set[str]] = {}
    for package, dependency in exclude:
        dropped.setdefault(package, set()).add(dependency)
    while True:
        search = Search(
            index, kept, recommends, {name: frozenset(each) for name, each in dropped.items()}
        )
        roots = _roots(index, wanted, kept)
        if essential:
            roots += [_essential(index, name, kept) for name in index.essential()]
        try:
            chosen = search.run(roots)
        except UnsolvableError as error:
            raise _unsolvable(error, index, wanted) from None
        held = _holders(chosen, search, index, upgrade) & kept.keys()
        if not held:
            return _solution(index, chosen, wanted, exclude, recommends=recommends)
        kept = {name: version for name, version in kept.items() if name not in held}


def _kept(
    index: PackageIndex, prefer: Mapping[str, str], upgrade: Collection[str]
) -> dict[str, str]:
    sources = {each.source[0] for name in upgrade for each in index.packages(name)}
    return {
        name: version
        for name, version in prefer.items()
        if name not in upgrade
        and not any(each.source[0] in sources for each in index.packages(name))
    }


def _holders(
    chosen: Sequence[Binary], search: Search, index: PackageIndex, upgrade: Collection[str]
) -> set[str]:
    """Names whose kept version stands in the way of one that is to be upgraded."""
    holders: set[str] = set()
    for each in chosen:
        if each.name not in upgrade:
            continue
        newest = newest_first(list(index.packages(each.name)))[0]
        if newest.version == each.version:
            continue
        for clause in search.clauses_of(newest):
            holders.update(other.name for other in clause.members if isinstance(other, Binary))
    return holders


def _roots(index: PackageIndex, wanted: Sequence[Wanted], kept: Mapping[str, str]) -> list[Root]:
    roots: list[Root] = []
    faults: list[tuple[Place, SpecError]] = []
    for each in wanted:
        try:
            roots.append(Root(str(each), _choices(index, each, kept)))
        except SpecError as error:
            faults.append((each.request.place, error))
    if faults:
        told = [error for _, error in sorted(faults, key=lambda it: it[0])]
        raise told[0] if len(told) == 1 else UnknownRequestsError(told)
    return roots


def _choices(index: PackageIndex, wanted: Wanted, kept: Mapping[str, str]) -> tuple[Binary, ...]:
    """Candidates of a request, or the error that says why there is none."""
    name, place, text = wanted.relation.name, wanted.request.place, wanted.request.text
    have = index.packages(name)
    if have:
        found = [
            each
            for each in newest_first([each for each in have if _in_suite(each, wanted.suite)])
            if satisfies(each, wanted.relation)
        ]
        if found:
            return tuple(sorted(found, key=lambda each: kept.get(name) != each.version))
        raise SpecError(
            f"{place}: there is no {text!r}",
            why=f"of {name} there is {versions_text(name, index)}",
            mend=f"write `{name}` for the newest, or one of these versions; "
            "for one that the archive no longer has, set `snapshot:`",
        )
    provided = candidates(index, (wanted.relation,), kept)
    names = sorted({each.name for each in provided})
    if len(names) == 1 and not wanted.suite:
        return provided
    if names:
        raise SpecError(
            f"{place}: {name!r} is a virtual package",
            why=f"{', '.join(names)} provide it, and the choice is yours",
            mend=f"name one of them, for instance `{provided[0].name}`",
        )
    close = nearest(name, index)
    raise SpecError(
        f"{place}: there is no package {name!r} for {index.architecture}",
        why=f"the nearest names are {', '.join(close)}" if close else "nothing has a name like it",
        mend=f"write `{close[0]}`" if close else "check its name at packages.debian.org",
    )


def _in_suite(package: Binary, suite: str) -> bool:
    return not suite or suite in (package.suite, package.repository)


def _essential(index: PackageIndex, name: str, kept: Mapping[str, str]) -> Root:
    found = newest_first(list(index.packages(name)))
    ordered = sorted(found, key=lambda each: kept.get(name) != each.version)
    return Root(f"{name} (essential)", tuple(ordered))


def _unsolvable(error: UnsolvableError, index: PackageIndex, wanted: Sequence[Wanted]) -> SpecError:
    why = explain(error.clause, index)
    named = sorted((each for each in wanted if str(each) in why), key=lambda it: it.request.place)
    lines = ", ".join(str(each.request.place) for each in named)
    return SpecError(
        f"the requests cannot be met together ({lines})"
        if len(named) > 1
        else f"{lines or 'the request'}: {named[0].request.text if named else 'a package'} "
        "cannot be installed",
        why=why,
        mend="leave one of them out, or ask for another version",
    )


def _solution(
    index: PackageIndex,
    chosen: Sequence[Binary],
    wanted: Sequence[Wanted],
    exclude: Mapping[tuple[str, str], str],
    *,
    recommends: bool,
) -> Solution:
    by_name: dict[str, list[Binary]] = {}
    for each in chosen:
        for name in {each.name, *(provided.name for provided in each.provides)}:
            by_name.setdefault(name, []).append(each)

    def meeting(group: Group) -> set[Binary]:
        return {
            each
            for relation in group
            for each in by_name.get(relation.name, ())
            if satisfies(each, relation)
        }

    reasons: dict[Binary, set[str]] = {each: set() for each in chosen}
    omitted = set()
    for each in chosen:
        for group in each.depends:
            meets = meeting(group)
            for other in meets - {each}:
                reasons[other].add(each.name)
            why = next(
                (
                    why
                    for it in group
                    for package in (each.name, "*")
                    if (why := exclude.get((package, it.name)))
                ),
                None,
            )
            if not meets and why is not None:
                omitted.add(Omission(each.name, group_text(group), why))
        if recommends:
            for group in each.recommends:
                for other in meeting(group) - {each}:
                    reasons[other].add(each.name)
    for request in wanted:
        for each in meeting((request.relation,)):
            if each.name == request.relation.name or not index.packages(request.relation.name):
                reasons[each].add("spec")
    lowered = []
    for each in chosen:
        newest = newest_first(list(index.packages(each.name)))[0]
        if version_key(newest.version) > version_key(each.version):
            lowered.append(Lowered(each.name, each.version, newest.version))
    return Solution(
        tuple(
            Solved(each, tuple(sorted(reasons[each])) or ("essential",))
            for each in sorted(chosen, key=lambda each: each.name)
        ),
        tuple(sorted(omitted)),
        tuple(sorted(lowered)),
    )

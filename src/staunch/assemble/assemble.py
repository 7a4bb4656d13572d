"""Parts in, one finished tree out: what layers, SBOM and report are all made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace as changed

from staunch.assemble.debian import replaces_of
from staunch.assemble.globs import matcher
from staunch.assemble.installed import write_installed
from staunch.assemble.payloads import Payloads
from staunch.assemble.rules.base import Context
from staunch.assemble.rules.registry import active, run
from staunch.assemble.scripts.reproduce import diversions, linker_cache, prepare, reproduce
from staunch.assemble.tree import Tree
from staunch.assemble.wheel import rewrite_record
from staunch.errors import SpecError
from staunch.model.entry import Entry, Kind
from staunch.model.image import Assembled
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.model.spec import ImageSpec

CompileModules = Callable[[tuple[Entry, ...], Sequence[Part]], Sequence[Part]]

_ORDER = {
    PartKind.DEB: 0,
    PartKind.WHEEL: 1,
    PartKind.FILES: 2,
    PartKind.PACK: 3,
    PartKind.STAUNCH: 4,
}


def assemble(
    spec: ImageSpec,
    platform: Platform,
    parts: Sequence[Part],
    *,
    payloads: Payloads,
    direct: Collection[str] = (),
    omitted: Collection[str] = (),
    compile_modules: CompileModules | None = None,
) -> Assembled:
    """Assemble one platform's image.

    Args:
        spec: profile, rules, keep, user and certificates are read from it.
        platform: of the image.
        parts: Debian packages, wheels and files; each id once, in any order.
        payloads: reads small payloads of these parts.
        direct: normalised names of the wheels that the spec itself asks for.
        omitted: packages that only maintainer scripts need and that were left out on purpose.
        compile_modules: gives the byte-code parts of the hardened tree.

    Returns:
        Parts (byte code among them) sorted by id, entries sorted by path with every ancestor.

    Raises:
        SpecError: parts that do not go together, rules that contradict the spec, a part twice.
        UntrustedError: a payload is not what was promised.

    Not checked here: what ``assemble.checks`` does.
    """
    active(spec)  # a misspelt rule is told before any work is done
    parts = _ordered(parts)
    tree = Tree()
    prepare(tree, spec.foundation, platform)
    diverted = diversions(parts)
    for diversion in diverted:
        tree.divert(diversion)
    replaces = replaces_of(parts)
    for part in parts:
        if part.kind is PartKind.FILES:
            _add_files(tree, part)
        else:
            tree.add_part(part, replaces=replaces)
    scripts = reproduce(
        tree,
        parts,
        payloads=payloads,
        profile=spec.profile,
        foundation=spec.foundation,
        platform=platform,
        certificates=spec.certificates,
        user=spec.user,
    )
    context = Context(
        tree,
        {part.id: part for part in parts},
        spec,
        platform,
        payloads,
        matcher(spec.keep, what="keep"),
        frozenset(direct),
    )
    removed = run(context)
    tree.raise_conflicts()
    linker_cache(tree, parts, payloads=payloads, platform=platform)
    write_installed(
        tree,
        parts,
        profile=spec.profile,
        payloads=payloads,
        omitted=omitted,
        diversions=diverted,
    )
    compiled: Sequence[Part] = ()
    if compile_modules is not None:
        compiled = compile_modules(tree.entries(), parts)
        for part in compiled:
            tree.add_part(part)
        tree.raise_conflicts()
    _write_records(tree, parts)
    everything = _with_own(tree, (*parts, *compiled))
    return Assembled(
        platform,
        everything,
        tree.entries(),
        removed,
        scripts,
        tuple(context.executables[path] for path in sorted(context.executables)),
    )


def _ordered(parts: Sequence[Part]) -> list[Part]:
    """Packages, wheels, files; base-files first, whose directories all others share."""
    seen: set[str] = set()
    for part in parts:
        if part.id in seen:
            raise SpecError(
                f"{part.id} is in the image twice",
                why="two packages of one name cannot both own their files",
                mend="lock again (`staunch lock`)",
            )
        seen.add(part.id)
    return sorted(
        parts,
        key=lambda part: (
            _ORDER[part.kind],
            part.name != "base-files",
            int(part.name) if part.kind is PartKind.FILES else 0,
            part.id,
        ),
    )


def _add_files(tree: Tree, part: Part) -> None:
    """The spec's own files win over those of packages, later ones over earlier ones.

    Whoever wrote the spec means it, and a spec that extends another comes later. Folders that are
    there keep owner and mode.
    """
    for entry in part.entries:
        there = tree.get(entry.path)
        if there is not None and entry.kind is there.kind is Kind.DIR:
            continue
        if entry.kind is Kind.DIR or there is None:
            tree.add(entry)
        else:
            tree.replace(entry)


def _write_records(tree: Tree, parts: Sequence[Part]) -> None:
    wheels = {part.id: part for part in parts if part.kind is PartKind.WHEEL}
    if not wheels:
        return
    kept: dict[str, list[Entry]] = {owner: [] for owner in wheels}
    for entry in tree:
        owner = entry.owner.removeprefix("pyc:")
        if owner in kept:
            kept[owner].append(entry)
    for owner, part in wheels.items():
        if kept[owner]:
            record = rewrite_record(part, kept[owner])
            if tree.get(record.path) is not None:
                tree.replace(record)


def _with_own(tree: Tree, parts: Sequence[Part]) -> tuple[Part, ...]:
    """All parts sorted by id; one more for what Staunch made itself."""
    known = {part.id for part in parts}
    made: dict[str, list[Entry]] = {}
    for entry in tree:
        if entry.owner not in known:
            made.setdefault(entry.owner or "staunch", []).append(entry)
            if not entry.owner:
                tree.change(changed(entry, owner="staunch"))
    own = [
        Part(owner, PartKind.STAUNCH, owner, "", entries=tuple(entries))
        for owner, entries in sorted(made.items())
    ]
    return tuple(sorted((*parts, *own), key=lambda part: part.id))

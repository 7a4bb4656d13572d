"""All closing checks over one finished tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from staunch.assemble.checks.image import MACHINES, Image, Note
from staunch.assemble.checks.libraries import check_libraries
from staunch.assemble.checks.programs import check_commands, check_interpreters, check_tags
from staunch.assemble.loader import library_folders
from staunch.assemble.payloads import Payloads
from staunch.assemble.rules.registry import active
from staunch.assemble.tree import Tree
from staunch.errors import SpecError
from staunch.model.elf import ElfFacts
from staunch.model.entry import Kind, Member
from staunch.model.image import Assembled
from staunch.model.part import Part
from staunch.model.spec import ImageSpec

_LISTED = 40  # faults named in one message


def check(
    assembled: Assembled,
    elf: Mapping[str, ElfFacts],
    *,
    spec: ImageSpec,
    payloads: Payloads,
) -> tuple[Note, ...]:
    """Check the finished tree; gives what is fine only under a condition, sorted.

    Args:
        assembled: the finished tree.
        elf: facts of the ELF files of wheels and of the spec's files, by path in the image; those
            of Debian packages stand in their parts.
        spec: its ``rules:`` may switch a check off; ``keep:`` is not looked at.
        payloads: reads scripts and the loader's settings.

    Raises:
        SpecError: naming every miss: a library or symbol version that the loader would not find, a
            file for another machine, a wheel for another libc, a script without interpreter.

    Not checked: what is opened with ``dlopen`` by name, and what Python imports.
    """
    tree = Tree.finished(assembled.entries)
    image = Image(
        tree=tree,
        facts=_facts(tree, assembled.parts, elf),
        parts={part.id: part for part in assembled.parts},
        search=(),
        triplet=assembled.platform.triplet,
        machine=MACHINES[assembled.platform.architecture],
        spec=spec,
        removed={
            path.rpartition("/")[2]: removal.rule
            for removal in assembled.removed
            for path in removal.paths
        },
    )
    image.search = library_folders(tree, payloads, image.triplet)
    on = {rule.name for rule in active(spec)}
    if "check-libraries" in on:
        check_libraries(image)
    if "check-interpreters" in on:
        check_interpreters(image, payloads)
        check_commands(image)
    if "check-platform-tags" in on:
        check_tags(image, assembled.platform.machine)
    if image.faults:
        raise _misses(image.faults, spec)
    return tuple(sorted(image.notes))


def _misses(faults: Sequence[str], spec: ImageSpec) -> SpecError:
    listed = sorted(set(faults))
    more = f"\n        and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return SpecError(
        f"{spec.name}: {len(listed)} thing{'s' if len(listed) > 1 else ''} would not work in the image",
        why="\n        ".join(listed[:_LISTED]) + more,
        mend="add what is missing to `packages:`, exempt it from a rule with `keep:`, or, if it is "
        "never used, switch the check off (`rules: {check-libraries: false}`)",
    )


def _facts(tree: Tree, parts: Iterable[Part], given: Mapping[str, ElfFacts]) -> dict[str, ElfFacts]:
    """Facts by canonical path. A package's are looked up by member: a path may have been diverted."""
    of_members = {(part.id, path): facts for part in parts for path, facts in part.elf}
    found: dict[str, ElfFacts] = {}
    for entry in tree:
        if entry.kind is not Kind.FILE:
            continue
        facts = given.get(entry.path)
        if facts is None:
            name = entry.body.name if isinstance(entry.body, Member) else entry.path
            facts = of_members.get((entry.owner, name))
        if facts is not None:
            found[entry.path] = facts
    return found

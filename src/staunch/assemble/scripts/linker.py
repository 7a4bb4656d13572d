"""``etc/ld.so.cache``, from the facts of the libraries that stayed in the tree."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from staunch.assemble.loader import library_folders, read_facts
from staunch.assemble.payloads import Payloads
from staunch.assemble.tree import Tree
from staunch.formats.ldcache import (
    CacheLib,
    Candidate,
    build_cache,
    flags_of,
    is_candidate,
    isa_level_of,
    plan_folder,
)
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Kind
from staunch.model.part import Part
from staunch.model.platform import Platform

_ET_DYN = 3


def linker_cache(
    tree: Tree, parts: Sequence[Part], *, payloads: Payloads, platform: Platform
) -> None:
    """Write ``etc/ld.so.cache`` as ``ldconfig`` would, when the image has an ELF loader.

    Folders are those of ``ld.so.conf`` with its includes, then the system's. Call it after the
    rules, so that it names only what stays.
    """
    if tree.get(platform.loader.lstrip("/"), follow=True) is None:
        return
    folders = library_folders(tree, payloads, platform.triplet)
    facts = _facts(tree, parts)
    facts |= _unread_facts(tree, folders, facts, payloads)
    libs: list[CacheLib] = []
    seen: set[str] = set()
    for folder in folders:
        here = tree.resolve(folder, follow=True)
        if here in seen:
            continue
        seen.add(here)
        found = _candidates(tree, here, facts)
        planned, links = plan_folder(f"/{folder}", found)
        libs += planned
        for name, target in links:
            if tree.get(f"{here}/{name}") is None:
                tree.add(Entry.symlink(f"{here}/{name}", target, owner="staunch"))
        for each in tree.children(f"{here}/glibc-hwcaps"):
            if each.kind is Kind.DIR:
                name = each.path.rpartition("/")[2]
                candidates = _candidates(tree, each.path, facts)
                libs += plan_folder(f"/{folder}/glibc-hwcaps/{name}", candidates, hwcaps=name)[0]
    tree.replace(Entry.inline("etc/ld.so.cache", build_cache(libs), owner="staunch"))


def _facts(tree: Tree, parts: Sequence[Part]) -> dict[str, ElfFacts]:
    """Facts by (canonical) path, of files that are still there."""
    found: dict[str, ElfFacts] = {}
    for part in parts:
        for path, facts in part.elf:
            if facts.type == _ET_DYN and is_candidate(posixpath.basename(path)):
                entry = tree.get(path)
                if entry is not None and entry.owner == part.id:
                    found[entry.path] = facts
    return found


def _unread_facts(
    tree: Tree, folders: Sequence[str], known: Mapping[str, ElfFacts], payloads: Payloads
) -> dict[str, ElfFacts]:
    """Facts of libraries there that no package brought: the spec's own files, data of wheels."""
    unread = {}
    for folder in folders:
        levels = [each.path for each in tree.children(f"{folder}/glibc-hwcaps")]
        for entry in [e for path in (folder, *levels) for e in tree.children(path)]:
            there = tree.get(entry.path, follow=True)
            if there is None or not is_candidate(posixpath.basename(entry.path)):
                continue
            file = tree.contents(there) if there.kind is Kind.HARDLINK else there
            if file.kind is Kind.FILE and file.owner.startswith(("files:", "wheel:")):
                unread[file.path] = file
    return read_facts([unread[path] for path in sorted(unread.keys() - known.keys())], payloads)


def _candidates(tree: Tree, folder: str, facts: dict[str, ElfFacts]) -> list[Candidate]:
    found = []
    for entry in tree.children(folder):
        name = entry.path.rpartition("/")[2]
        if entry.kind is Kind.DIR or not is_candidate(name):
            continue
        there = tree.get(entry.path, follow=True)
        if there is None:
            continue
        fact = facts.get(tree.contents(there).path if there.kind is Kind.HARDLINK else there.path)
        flags = None if fact is None else flags_of(fact.machine, fact.bits)
        if fact is not None and flags is not None:
            is_link = entry.kind is Kind.SYMLINK
            level = isa_level_of(fact.x86_isa)
            found.append(Candidate(name, is_link, fact.soname, flags, level))
    return found

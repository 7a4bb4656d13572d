"""``etc/ld.so.cache``, from the facts of the libraries that stayed in the tree."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

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
from staunch.model import limits
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Kind
from staunch.model.part import Part
from staunch.model.platform import Platform

_CONFIGURATION = "etc/ld.so.conf"
_INCLUDES = 20
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
    facts = _facts(tree, parts)
    libs: list[CacheLib] = []
    seen: set[str] = set()
    for folder in _folders(tree, payloads, platform):
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


def _folders(tree: Tree, payloads: Payloads, platform: Platform) -> list[str]:
    """Library folders in the order of search, without a leading slash."""
    found: list[str] = []
    todo = [_CONFIGURATION]
    if tree.get(_CONFIGURATION, follow=True) is None:  # libc-bin, which ships it, was left out
        todo = _matches(tree, "/etc/ld.so.conf.d/*.conf", "")
    read = 0
    while todo and read < _INCLUDES:
        path = todo.pop(0)
        entry = tree.get(path, follow=True)
        if entry is None or entry.kind is not Kind.FILE:
            continue
        read += 1
        included: list[str] = []
        text = payloads.read(entry, max_bytes=limits.METADATA_BYTES).decode("utf-8", "replace")
        for line in text.splitlines():
            words = line.partition("#")[0].replace(",", " ").split()
            if words[:1] == ["include"]:
                for word in words[1:]:
                    included += _matches(tree, word, path)
            else:
                found += (word.strip("/") for word in words if word.startswith("/"))
        todo[:0] = included
    system = [f"lib/{platform.triplet}", f"usr/lib/{platform.triplet}"]
    return [*found, *system, "lib", "usr/lib"]


def _matches(tree: Tree, word: str, base: str) -> list[str]:
    """Files that an ``include`` names: only ``*.conf`` in one folder is understood as a pattern."""
    pattern = word if word.startswith("/") else f"{posixpath.dirname(base)}/{word}"
    folder, _, name = pattern.strip("/").rpartition("/")
    if "*" not in name:
        return [pattern.strip("/")]
    head, _, tail = name.partition("*")
    names = [entry.path for entry in tree.children(folder)]
    return [
        path
        for path in names
        if (file := path.rpartition("/")[2]).startswith(head) and file.endswith(tail)
    ]

"""Files that stand beside what is used: certificates' single copies, secondary libraries, debugger aids."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import (
    INFERENCE,
    Context,
    Outcome,
    Rule,
    base_name,
    is_shared_library,
    remove,
    remove_where,
)
from staunch.model.entry import Entry, Kind

SECONDARY = {
    "libBrokenLocale.so.1": "programs of 1997",
    "libanl.so.1": "asynchronous name look-up",
    "libc_malloc_debug.so.0": "debugging malloc",
    "libexpatw.so.1": "expat for wide characters",
    "libformw.so.6": "curses forms",
    "libhistory.so.8": "the history of readline, without readline",
    "libmemusage.so": "profiling malloc",
    "libmenuw.so.6": "curses menus",
    "libmvec.so.1": "vector mathematics for compiled loops",
    "libnsl.so.1": "NIS",
    "libnss_compat.so.2": "NIS",
    "libnss_hesiod.so.2": "Hesiod",
    "libpanelw.so.6": "curses panels",
    "libpcprofile.so": "profiling calls",
    "libthread_db.so.1": "debuggers",
    "libtic.so.6": "compiling terminal descriptions",
}
"""Libraries that come along in a package whose main library is wanted, and who uses them."""

MODULES = {"_dbm": "libdb-", "nis": "libnsl.so.2"}
"""Modules of Python that alone use a library which inference images leave out."""

_SOURCES = re.compile(r"usr/share/ca-certificates/.+|etc/ca-certificates\.conf")
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_AIDS = re.compile(r"usr/share/(gcc(-\d+)?/python|gdb/auto-load|gdb/python)/.*")


def _certificates(context: Context) -> Outcome:
    if context.tree.get(_BUNDLE) is None:
        return Outcome()

    def is_copy(entry: Entry) -> bool:
        if _SOURCES.fullmatch(entry.path):
            return True
        return entry.kind is Kind.SYMLINK and entry.path.startswith("etc/ssl/certs/")

    return remove(context, (entry for entry in context.tree if is_copy(entry)))


def _libraries(context: Context) -> Outcome:
    """Only where every ELF file's needs are known now: no native code outside Debian packages."""
    if any(part.damaged_elf for part in context.parts.values()):
        return Outcome()
    tree = context.tree
    facts = {path: each for part in context.parts.values() for path, each in part.elf}
    needed: set[str] = set()
    for entry in tree:
        if entry.kind is not Kind.FILE:
            continue
        if not entry.owner.startswith("deb:"):
            if is_shared_library(entry.path) or entry.mode & 0o111:
                return Outcome()
        elif (each := facts.get(entry.path)) is not None:
            needed.update(each.needed)
    names = set(SECONDARY) - needed
    doomed = {
        (found.path if found is not None else entry.path)
        for entry in tree
        if base_name(entry.path) in names and entry.path.startswith("usr/lib/")
        for found in (entry, tree.get(entry.path, follow=True))
        if not context.asked_for(entry.owner)
    }
    return remove(context, (entry for entry in tree if entry.path in doomed))


def _modules(context: Context) -> Outcome:
    tree = context.tree
    facts = {path: each for part in context.parts.values() for path, each in part.elf}
    there = {base_name(entry.path) for entry in tree if is_shared_library(entry.path)}
    doomed = [
        entry
        for entry in tree
        if "/lib-dynload/" in entry.path
        and (library := MODULES.get(base_name(entry.path).partition(".")[0])) is not None
        and (each := facts.get(entry.path)) is not None
        and any(name.startswith(library) and name not in there for name in each.needed)
    ]
    return remove(context, doomed)


def _aids(context: Context) -> Outcome:
    return remove_where(
        context, lambda path: path.startswith("usr/share/g") and _AIDS.fullmatch(path)
    )


RULES = (
    Rule(
        "certificate-copies",
        220,
        "Takes out each authority's certificate of its own; the bundle of all of them stays.",
        "Programs read the bundle; the single files and their links only make and maintain it.",
        INFERENCE,
        _certificates,
        "OpenSSL, Python, Go and curl find `/etc/ssl/certs/ca-certificates.crt`. A program that looks a "
        "certificate up by its hash in `/etc/ssl/certs` needs `rules: {certificate-copies: false}`.",
    ),
    Rule(
        "secondary-libraries",
        360,
        "Takes out libraries that share a package with a wanted one, when nothing links to them.",
        "A library that no program loads is weight, and one more thing to be found vulnerable.",
        INFERENCE,
        _libraries,
        "Only in images without native code from wheels or `files:`, whose needs are not known when "
        "rules run. The list: " + ", ".join(f"`{name}`" for name in sorted(SECONDARY)) + ".",
    ),
    Rule(
        "orphan-modules",
        365,
        "Takes out Python's `dbm.ndbm` and `nis` where Berkeley DB and NIS are not in the image.",
        "A module that cannot be imported is better absent; `dbm` then uses another backend.",
        INFERENCE,
        _modules,
        "Ask for `libdb5.3` (debian:12: also `libnsl2`) under `packages:` to have them.",
    ),
    Rule(
        "debugger-aids",
        370,
        "Takes out scripts that debuggers load to show C++ objects.",
        "No debugger is in the image, and one that is joined to it brings its own.",
        INFERENCE,
        _aids,
    ),
)

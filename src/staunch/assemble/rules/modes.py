"""Sane modes: no setuid, nothing writable for all but /tmp, readable for any user."""

from __future__ import annotations

from dataclasses import replace as changed

from staunch.assemble.rules.base import (
    BOTH,
    INFERENCE,
    Context,
    Outcome,
    Rule,
    base_name,
    change_modes,
    is_shared_library,
    site_path,
    stdlib_path,
)
from staunch.model.entry import Entry, Kind

_SETID = 0o6000
_SECRET = frozenset({"etc/shadow", "etc/gshadow", "etc/shadow-", "etc/gshadow-"})
_TEMPORARY = frozenset({"tmp"})
_SHARED_TEMPORARY = frozenset({"tmp", "var/tmp", "run/lock", "dev/shm"})
_CAPABILITY = "security.capability"


def _setuid(context: Context) -> Outcome:
    outcome = change_modes(context, lambda entry: entry.mode & ~_SETID)
    capable = []
    for entry in context.tree:
        left = tuple(pair for pair in entry.xattrs if pair[0] != _CAPABILITY)
        if left != entry.xattrs and entry.kind is Kind.FILE and not context.keeps(entry.path):
            context.tree.change(changed(entry, xattrs=left))
            capable.append(entry.path)
    return Outcome(tuple(sorted({*outcome.paths, *capable})))


def _world_writable(context: Context) -> Outcome:
    inference = context.spec.profile.value == "inference"
    exempt = _TEMPORARY if inference else _SHARED_TEMPORARY

    def wanted(entry: Entry) -> int | None:
        if not entry.mode & 0o002 or entry.path in exempt:
            return None
        return entry.mode & ~(0o1002 if entry.kind is Kind.DIR else 0o002)

    return change_modes(context, wanted)


def _tmp(context: Context) -> Outcome:
    tmp = context.tree.get("tmp")
    if tmp is not None and tmp.kind is Kind.DIR and tmp.mode == 0o1777:
        return Outcome()
    if tmp is not None and tmp.kind is not Kind.DIR:
        return Outcome()
    context.tree.replace(Entry.directory("tmp", mode=0o1777, owner=tmp.owner if tmp else "staunch"))
    return Outcome(("tmp",))


def _sane(context: Context) -> Outcome:
    loader = context.tree.get(context.platform.loader.lstrip("/"), follow=True)
    loader_path = loader.path if loader else ""

    def wanted(entry: Entry) -> int | None:
        if entry.path in _SECRET or entry.owner == "staunch":
            return None
        if entry.kind is Kind.DIR and (entry.mode & 0o1000 or entry.path == "root"):
            return None
        if entry.kind is Kind.DIR:
            return (entry.mode | 0o555) & ~0o020 if entry.uid == 0 else None
        mode = entry.mode | 0o444
        if entry.uid == 0:
            mode &= ~0o020
        if mode & 0o111:
            if entry.path == loader_path:
                return mode | 0o111
            plain = is_shared_library(entry.path) or _is_module(entry.path)
            return mode & ~0o111 if plain else mode | 0o111
        return mode

    return change_modes(context, wanted)


def _is_module(path: str) -> bool:
    """A Python module or data of one, which nobody starts, whatever its mode."""
    inner = site_path(path)
    if inner is None and stdlib_path(path) is None:
        return False
    if inner is not None and inner.partition("/")[0].endswith(".dist-info"):
        return True
    name = base_name(path)
    return name.endswith(
        (".py", ".pyi", ".txt", ".json", ".md", ".rst", ".yaml", ".yml", ".toml", ".cfg")
    )


RULES = (
    Rule(
        "sane-modes",
        400,
        "Makes everything readable for any user, and takes the executable bit off shared libraries"
        " and Python modules, which nobody starts.",
        "The image must run under any user id; a file with an executable bit should be a program.",
        INFERENCE,
        _sane,
    ),
    Rule(
        "setuid",
        500,
        "Takes off setuid and setgid bits and file capabilities.",
        "No program in the image can give its caller more rights than it has.",
        INFERENCE,
        _setuid,
    ),
    Rule(
        "world-writable",
        510,
        "Takes write permission for all off everything but `/tmp`.",
        "Nobody can plant a file in the image's own folders.",
        BOTH,
        _world_writable,
    ),
    Rule(
        "tmp",
        520,
        "Makes `/tmp` (1777) where it is missing or has another mode.",
        "Programs expect one place for temporary files.",
        BOTH,
        _tmp,
    ),
)

"""Native twins of commands that change modes and owners."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.options import options
from staunch.assemble.scripts.registry import command
from staunch.assemble.scripts.world import Unknowable
from staunch.model.entry import Entry, Kind

_GROUP = "files"
_EPHEMERAL = ("run/", "var/run/", "tmp/", "dev/", "proc/", "sys/")
_CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")


@command("chmod", group=_GROUP)
def chmod(shell: Shell, arguments: list[str]) -> int:
    """Changes modes; those above the rules (setuid, world-writable) fall to the rules."""
    given, words = _mode_and_paths(arguments)
    if given.get("reference"):
        model = shell.entry(given["reference"])
        if model is None:
            return 1
        words.insert(0, f"{model.mode:o}")
    text, *paths = words
    return _each(
        shell,
        paths,
        lambda entry: replace(
            entry, mode=changed_mode(entry.mode, text, folder=entry.kind is Kind.DIR)
        ),
        recursive="R" in given,
        quiet="f" in given,
    )


@command("chown", group=_GROUP)
def chown(shell: Shell, arguments: list[str]) -> int:
    """Changes owners and groups, by name or number."""
    given, words = options(arguments)
    if given.get("reference"):
        model = shell.entry(given["reference"])
        if model is None:
            return 1
        words.insert(0, f"{model.uid}:{model.gid}")
    if "from" in given or not words:
        raise Unknowable("it changes owners in another way")
    owner, *paths = words
    user, _, group = (
        owner.replace(".", ":", 1).partition(":") if ":" not in owner else owner.partition(":")
    )
    uid = shell.world.accounts.uid(user) if user else None
    gid = shell.world.accounts.gid(group) if group else None
    if (user and uid is None) or (group and gid is None):
        return 1
    return _each(
        shell,
        paths,
        lambda entry: replace(
            entry,
            uid=entry.uid if uid is None else uid,
            gid=entry.gid if gid is None else gid,
        ),
        recursive="R" in given,
        quiet="f" in given,
        follow="h" not in given and "no-dereference" not in given,
    )


@command("chgrp", group=_GROUP)
def chgrp(shell: Shell, arguments: list[str]) -> int:
    """Changes groups."""
    given, words = options(arguments)
    if "reference" in given or not words:
        raise Unknowable("it takes a group over from another file")
    flags = [f"-{each}" for each in given if len(each) == 1]
    return chown(shell, [*flags, f":{words[0]}", *words[1:]])


def changed_mode(mode: int, text: str, *, folder: bool) -> int:
    """``mode`` after ``chmod text`` (octal, or clauses as ``u+x,go-w``).

    Raises:
        Unknowable: another notation.
    """
    if re.fullmatch(r"[0-7]{1,5}", text):
        return int(text, 8) & 0o7777
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            raise Unknowable(f"it changes a mode by {text[:40]!r}")
        who, sign, letters = found[1] or "a", found[2], found[3]
        who = "ugo" if "a" in who else who
        bits = mask = 0
        for each, shift, special in (("u", 6, 0o4000), ("g", 3, 0o2000), ("o", 0, 0)):
            if each not in who:
                continue
            mask |= 0o7 << shift | special
            for letter in letters:
                if letter == "X":
                    bits |= (0o1 << shift) if folder or mode & 0o111 else 0
                elif letter in "rwx":
                    bits |= {"r": 4, "w": 2, "x": 1}[letter] << shift
                elif letter == "s":
                    bits |= special
        if "t" in letters:
            bits, mask = bits | 0o1000, mask | 0o1000
        mode = mode | bits if sign == "+" else mode & ~bits if sign == "-" else mode & ~mask | bits
    return mode


def _mode_and_paths(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """As ``options``, but ``-x`` and the like are modes."""
    flags = [each for each in arguments if re.fullmatch(r"-[Rfcv]+|--[a-z-]+(=.*)?", each)]
    rest = [each for each in arguments if each not in flags]
    given, _ = options(flags)
    if not rest:
        raise Unknowable("it changes no mode")
    return given, rest


def _each(
    shell: Shell,
    paths: list[str],
    change: Callable[[Entry], Entry],
    *,
    recursive: bool,
    quiet: bool,
    follow: bool = True,
) -> int:
    status = 0
    for path in paths:
        entry = shell.entry(path, follow=follow)
        if entry is None:
            if f"{shell.absolute(path)}/".startswith(_EPHEMERAL):
                continue
            status = 1
            continue
        found = [entry, *(shell.world.tree.under(entry.path) if recursive else ())]
        for each in found:
            each = shell.world.tree.contents(each)
            new = change(each)
            if new != each and each.path and each.kind is not Kind.SYMLINK:
                shell.world.tree.change(new)
                shell.effect(f"owner and mode of /{each.path}")
    return 0 if quiet else status

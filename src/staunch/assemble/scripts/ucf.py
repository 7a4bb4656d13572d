"""Configuration files that ucf(1) keeps: on a fresh installation, it copies them into place."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.options import options
from staunch.assemble.scripts.registry import command
from staunch.assemble.scripts.world import Unknowable
from staunch.model.entry import Kind

_GROUP = "packages"
_STATE = "/var/lib/ucf"


@command("ucf", group=_GROUP)
def ucf(shell: Shell, arguments: list[str]) -> int:
    """Copies a configuration file to its place, and remembers its sum."""
    given, paths = options(
        arguments,
        valued="dsPv",
        long_valued=("sum-file", "src-dir", "state-dir", "purge", "debug"),
    )
    if len(paths) != 2 or "p" in given or "purge" in given or "state-dir" in given:
        raise Unknowable("it calls ucf in another way")
    source, place = shell.entry(paths[0]), paths[1]
    if source is None or source.kind is Kind.DIR:
        return 1
    text = shell.read(paths[0])
    old = shell.entry(place)
    if old is None:
        shell.put(place, text)
        made = shell.entry(place)
        if made is not None and (made.mode, made.uid, made.gid) != (source.mode, 0, 0):
            shell.world.tree.change(replace(made, mode=source.mode))
    elif shell.read(place) != text:
        raise Unknowable(f"ucf would ask what to do with {place}, which is there already")
    digest = hashlib.md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    _remember(shell, "hashfile", f"{digest}  {place}")
    shell.put(f"{_STATE}/cache/{place.replace('/', ':')}", text)
    return 0


@command("ucfr", group=_GROUP)
def ucfr(shell: Shell, arguments: list[str]) -> int:
    """Remembers which package a configuration file of ucf belongs to."""
    given, words = options(arguments)
    if len(words) != 2 or "p" in given or "purge" in given:
        raise Unknowable("it calls ucfr in another way")
    _remember(shell, "registry", f"{words[0]} \t {words[1]}")
    return 0


def _remember(shell: Shell, name: str, line: str) -> None:
    path = f"{_STATE}/{name}"
    lines = shell.read(path).splitlines() if shell.entry(path) is not None else []
    if line not in lines:
        shell.put(path, "".join(f"{each}\n" for each in (*lines, line)))

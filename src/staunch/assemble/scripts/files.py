"""Native twins of commands that make, copy, move and remove files."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.modes import changed_mode, chmod, chown
from staunch.assemble.scripts.options import options
from staunch.assemble.scripts.registry import command
from staunch.assemble.scripts.world import OWNER, Unknowable
from staunch.model.entry import Entry, Kind

_GROUP = "files"
_EPHEMERAL = ("run/", "var/run/", "tmp/", "dev/", "proc/", "sys/")


@command("mkdir", group=_GROUP)
def mkdir(shell: Shell, arguments: list[str]) -> int:
    """Makes folders."""
    given, paths = options(arguments, valued="m")
    if "mode" in given and not given["mode"]:
        raise Unknowable("it makes a folder with a mode of another word")
    text = given.get("m") or given.get("mode") or f"{0o777 & ~shell.umask:o}"
    status = 0
    for path in paths:
        place = shell.absolute(path)
        if shell.world.tree.get(place, follow=True) is not None:
            status = 0 if "p" in given or "parents" in given else 1
            continue
        if f"{place}/".startswith(_EPHEMERAL):
            shell.ignore("folders below /run and /tmp are made when a container starts")
            continue
        mode = changed_mode(0o755, text, folder=True)
        shell.world.tree.add(Entry.directory(place, mode=mode, owner=OWNER))
        shell.effect(f"makes the folder /{place}")
    return status


@command("rmdir", group=_GROUP)
def rmdir(shell: Shell, arguments: list[str]) -> int:
    """Removes empty folders."""
    given, paths = options(arguments)
    status = 0
    for path in paths:
        entry = shell.entry(path, follow=False)
        if entry is None or entry.kind is not Kind.DIR or shell.world.tree.children(entry.path):
            status = 1
            continue
        shell.world.tree.remove(entry.path)
        shell.effect(f"removes /{entry.path}")
    return 0 if "ignore-fail-on-non-empty" in given else status


@command("rm", group=_GROUP)
def rm(shell: Shell, arguments: list[str]) -> int:
    """Removes files."""
    given, paths = options(arguments)
    recursive = any(each in given for each in ("r", "R", "recursive"))
    status = 0
    for path in paths:
        entry = shell.entry(path, follow=False)
        if entry is not None and entry.path == "":
            raise Unknowable("it removes the root")
        if entry is None:
            status = status if "f" in given or "force" in given else 1
            continue
        if entry.kind is Kind.DIR and not recursive:
            status = 1
            continue
        shell.world.tree.remove(entry.path, recursive=recursive)
        if entry.path not in shell.temporaries:
            shell.effect(f"removes /{entry.path}")
    return status


@command("ln", group=_GROUP)
def ln(shell: Shell, arguments: list[str]) -> int:
    """Makes symbolic links."""
    given, paths = options(arguments)
    if not ("s" in given or "symbolic" in given) or not paths or "t" in given:
        raise Unknowable("it makes a hard link")
    if len(paths) == 1:
        paths = [*paths, posixpath.basename(paths[0])]
    *targets, place = paths
    there = shell.entry(place, follow=not ("n" in given or "T" in given))
    into = there is not None and there.kind is Kind.DIR and "T" not in given
    for target in targets:
        path = posixpath.join(place, posixpath.basename(target)) if into else place
        at = shell.absolute(path)
        text = target
        if "r" in given:
            here = posixpath.dirname(f"/{at}")
            text = posixpath.relpath(f"/{shell.absolute(target)}", here)
        old = shell.world.tree.get(at)
        if old is not None and not ("f" in given or "force" in given):
            return 1
        if old is not None and old.kind is Kind.DIR:
            raise Unknowable(f"it puts a link in the place of the folder {path}")
        shell.world.tree.replace(Entry.symlink(at, text, owner=OWNER))
        shell.effect(f"links /{at} to {text}")
    return 0


@command("cp", group=_GROUP)
def cp(shell: Shell, arguments: list[str]) -> int:
    """Copies single files."""
    given, paths = options(arguments)
    if len(paths) != 2:
        raise Unknowable("it copies several files at once")
    follow = not any(each in given for each in ("d", "P", "a", "no-dereference"))
    source = shell.entry(paths[0], follow=follow)
    if source is None:
        return 1
    if source.kind is Kind.DIR:
        raise Unknowable(f"it copies the folder {paths[0]}")
    place = _destination(shell, paths[0], paths[1])
    there = shell.world.tree.get(place)
    if there is not None and ("n" in given or "no-clobber" in given):
        return 0
    _copy(shell, source, place, keep=any(each in given for each in ("p", "a", "preserve")))
    return 0


@command("mv", group=_GROUP)
def mv(shell: Shell, arguments: list[str]) -> int:
    """Moves single files."""
    _, paths = options(arguments)
    if len(paths) != 2:
        raise Unknowable("it moves several files at once")
    source = shell.entry(paths[0], follow=False)
    if source is None:
        return 1
    if source.kind is Kind.DIR:
        raise Unknowable(f"it moves the folder {paths[0]}")
    place = _destination(shell, paths[0], paths[1])
    if place != source.path:
        shell.world.tree.remove(place)
        shell.world.tree.rename(source.path, place)
        shell.effect(f"moves /{source.path} to /{place}")
    return 0


@command("touch", group=_GROUP)
def touch(shell: Shell, arguments: list[str]) -> int:
    """Makes empty files."""
    given, paths = options(arguments, valued="rdt")
    for path in paths:
        if shell.entry(path) is None and "c" not in given and "no-dereference" not in given:
            shell.put(path, "")
    return 0


@command("install", group=_GROUP)
def install(shell: Shell, arguments: list[str]) -> int:
    """Makes folders (``-d``), or copies a file, with owner and mode."""
    given, paths = options(
        arguments, valued="mogt", long_valued=("mode", "owner", "group", "target-directory")
    )
    mode = given.get("m") or given.get("mode") or "755"
    if "d" in given or "directory" in given:
        for path in paths:
            if (status := mkdir(shell, ["-p", path])) != 0:
                return status
    elif len(paths) == 2 and paths[0] == "/dev/null":
        paths = [f"/{_destination(shell, paths[0], paths[1])}"]
        shell.put(paths[0], "")
    elif len(paths) == 2:
        source = shell.entry(paths[0])
        if source is None:
            return 1
        paths = [f"/{_destination(shell, paths[0], paths[1])}"]
        if source.kind is Kind.DIR:
            raise Unknowable(f"it copies the folder {source.path}")
        if paths[0].startswith("/dev/"):
            return 0
        _copy(shell, source, paths[0][1:], keep=False)
    else:
        raise Unknowable("it installs several files at once")
    owner = (
        f"{given.get('o') or given.get('owner') or ''}:{given.get('g') or given.get('group') or ''}"
    )
    for path in paths:
        if shell.entry(path) is None:
            continue
        chmod(shell, [mode, path])
        if owner != ":" and (status := chown(shell, [owner, path])) != 0:
            return status
    return 0


def _destination(shell: Shell, source: str, target: str) -> str:
    there = shell.entry(target)
    if there is not None and there.kind is Kind.DIR:
        return shell.absolute(posixpath.join(target, posixpath.basename(source)))
    return shell.absolute(target)


def _copy(shell: Shell, source: Entry, place: str, *, keep: bool) -> None:
    """A file of our own with the bytes of ``source``."""
    source = shell.world.tree.contents(source)
    if source.kind is Kind.SYMLINK:
        shell.world.tree.replace(Entry.symlink(place, source.link, owner=OWNER))
    else:
        data = shell.read(f"/{source.path}").encode("utf-8", "surrogateescape")
        there = shell.world.tree.get(place, follow=True)
        made = Entry.inline(there.path if there else place, data, owner=OWNER)
        if keep:
            made = replace(made, mode=source.mode, uid=source.uid, gid=source.gid)
        elif there is not None:
            made = replace(made, mode=there.mode, uid=there.uid, gid=there.gid)
        else:
            made = replace(made, mode=source.mode & 0o755)
        shell.world.tree.replace(made)
    shell.effect(f"copies /{source.path} to /{place}")

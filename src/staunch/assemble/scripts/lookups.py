"""Native twins of commands that look at files, and write what they find."""

from __future__ import annotations

import fnmatch
import posixpath
import re

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.options import options
from staunch.assemble.scripts.registry import command
from staunch.assemble.scripts.world import OWNER, Unknowable
from staunch.model.entry import Entry, Kind

_GROUP = "files"
_TYPES = {Kind.DIR: "d", Kind.FILE: "f", Kind.HARDLINK: "f", Kind.SYMLINK: "l"}


@command("cat", group=_GROUP)
def cat(shell: Shell, arguments: list[str]) -> int:
    """Writes files, or its input, on."""
    paths = [each for each in arguments if each != "--"] or ["-"]
    for path in paths:
        if path == "-":
            if shell.stdin is None:
                raise Unknowable("it reads what a person writes")
            shell.write(shell.stdin)
        elif path == "/dev/null":
            continue
        elif shell.entry(path) is None:
            return 1
        else:
            shell.write(shell.read(path))
    return 0


@command("tee", group=_GROUP)
def tee(shell: Shell, arguments: list[str]) -> int:
    """Writes its input into files and on."""
    given, paths = options(arguments)
    if shell.stdin is None:
        raise Unknowable("it reads what a person writes")
    for path in paths:
        shell.put(path, shell.stdin, append="a" in given)
    shell.write(shell.stdin)
    return 0


@command("readlink", "realpath", "dpkg-realpath", group=_GROUP)
def readlink(shell: Shell, arguments: list[str]) -> int:
    """Writes where a link leads, in the tree."""
    given, paths = options(arguments)
    if "root" in given and not given["root"]:
        paths = [each for each in paths if each]  # `--root ""`: the image's own
    if "root" in given:
        given["f"] = ""
    for path in paths:
        if "f" in given or "e" in given or "m" in given or "canonicalize" in given:
            shell.write(f"/{shell.world.tree.resolve(shell.absolute(path), follow=True)}\n")
            continue
        entry = shell.entry(path, follow=False)
        if entry is None or entry.kind is not Kind.SYMLINK:
            return 1
        shell.write(f"{entry.link}\n")
    return 0


@command("dirname", group=_GROUP)
def dirname(shell: Shell, arguments: list[str]) -> int:
    """Cuts the last part of a path off."""
    for path in arguments:
        shell.write((posixpath.dirname(path.rstrip("/") or "/") or ".") + "\n")
    return 0


@command("basename", group=_GROUP)
def basename(shell: Shell, arguments: list[str]) -> int:
    """Gives the last part of a path."""
    if not arguments or arguments[0].startswith("-"):
        raise Unknowable("it calls basename with options")
    name = posixpath.basename(arguments[0].rstrip("/"))
    if len(arguments) > 1 and name != arguments[1]:
        name = name.removesuffix(arguments[1])
    shell.write(f"{name}\n")
    return 0


@command("stat", group=_GROUP)
def stat(shell: Shell, arguments: list[str]) -> int:
    """Writes mode, owner and group (``-c`` with ``%a %u %g %U %G``)."""
    given, paths = options(arguments, valued="c")
    form = given.get("c") or given.get("format") or given.get("printf")
    if not form or re.sub(r"%[augUG]", "", form).find("%") >= 0:
        raise Unknowable("it asks for more of a file than its mode and owner")
    for path in paths:
        entry = shell.entry(path, follow="L" in given)
        if entry is None:
            return 1
        accounts = shell.world.accounts
        values = {
            "a": f"{entry.mode:o}",
            "u": str(entry.uid),
            "g": str(entry.gid),
            "U": accounts.user_name(entry.uid),
            "G": accounts.group_name(entry.gid),
        }
        shell.write(re.sub(r"%([augUG])", lambda found, v=values: v[found[1]], form) + "\n")  # type: ignore[misc]
    return 0


@command("mktemp", group=_GROUP)
def mktemp(shell: Shell, arguments: list[str]) -> int:
    """A name of its own below /tmp; gone when the script ends."""
    given, _ = options(arguments, valued="pt")
    place = f"tmp/.staunch-{len(shell.temporaries)}"
    shell.temporaries.append(place)
    if "d" in given or "directory" in given:
        shell.world.tree.add(Entry.directory(place, owner=OWNER))
    elif "u" not in given:
        shell.world.tree.add(Entry.inline(place, b"", owner=OWNER))
    shell.write(f"/{place}\n")
    return 0


@command("ls", group=_GROUP)
def ls(shell: Shell, arguments: list[str]) -> int:
    """Names in a folder, or those of files that are there."""
    given, paths = options(arguments)
    if not set(given) <= {"1", "L", "d", "A"}:
        raise Unknowable("it lists files with other options")
    status = 0
    for path in paths or [shell.folder]:
        entry = shell.entry(path, follow="L" in given)
        if entry is None:
            status = 2
        elif entry.kind is not Kind.DIR or "d" in given:
            shell.write(f"{path}\n")
        else:
            names = [each.path.rpartition("/")[2] for each in shell.world.tree.children(entry.path)]
            kept = [name for name in names if "A" in given or not name.startswith(".")]
            shell.write("".join(f"{name}\n" for name in kept))
    return status


@command("find", group=_GROUP)
def find(shell: Shell, arguments: list[str]) -> int:
    """Files below folders, by name, type, depth and emptiness; listed, or removed."""
    folders: list[str] = []
    words = list(arguments)
    while words and not words[0].startswith(("-", "(", "!")):
        folders.append(words.pop(0))
    tests: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if word in ("-print", "-empty", "-delete"):
            tests[word] = ""
            continue
        if word not in ("-name", "-type", "-maxdepth", "-mindepth") or word in tests or not words:
            raise Unknowable("it looks for files with other conditions")
        tests[word] = words.pop(0)
    status = 0
    for folder in folders or ["."]:
        root = shell.entry(folder, follow=False)
        if root is None:
            status = 1
            continue
        for each in (root, *shell.world.tree.under(root.path)):
            below = each.path[len(root.path) :].strip("/")
            depth = below.count("/") + 1 if below else 0
            name = each.path.rpartition("/")[2]
            if not _depth(tests, "-mindepth", 0) <= depth <= _depth(tests, "-maxdepth", 99):
                continue
            if "-name" in tests and not fnmatch.fnmatchcase(name, tests["-name"]):
                continue
            if "-type" in tests and tests["-type"] != _TYPES[each.kind]:
                continue
            full = shell.world.tree.children(each.path) if each.kind is Kind.DIR else each.size
            if "-empty" in tests and full:
                continue
            if "-delete" in tests:
                if full and each.kind is Kind.DIR:
                    raise Unknowable("it removes a folder that is not empty")
                shell.world.tree.remove(each.path)
                shell.effect(f"removes /{each.path}")
                continue
            shell.write(f"{folder.rstrip('/')}/{below}\n" if below else f"{folder}\n")
    return status


def _depth(tests: dict[str, str], name: str, default: int) -> int:
    text = tests.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise Unknowable(f"it looks for files at the depth {text[:20]!r}")
    return int(text)

"""Native twins of commands that make, move and mark files."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable
from dataclasses import replace

from staunch.assemble.scripts.evaluate import OWNER, Shell, Unknowable
from staunch.assemble.scripts.registry import command
from staunch.model.entry import Entry, Kind

_GROUP = "files"
_EPHEMERAL = ("run/", "var/run/", "tmp/", "dev/", "proc/", "sys/")
_TYPES = {Kind.DIR: "d", Kind.FILE: "f", Kind.HARDLINK: "f", Kind.SYMLINK: "l"}
_CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")


def options(arguments: list[str], *, valued: str = "") -> tuple[dict[str, str], list[str]]:
    """Short options (bundled; those in ``valued`` take a value) and long ones; then the rest."""
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += words
        elif word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value
        elif word.startswith("-") and len(word) > 1:
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in valued:
                    found[letter] = letters or next(words, "")
                    break
                found[letter] = ""
        else:
            rest.append(word)
    return found, rest


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
    given, paths = options(arguments, valued="mogt")
    mode = given.get("m") or given.get("mode") or "755"
    if "d" in given or "directory" in given:
        for path in paths:
            if (status := mkdir(shell, ["-p", path])) != 0:
                return status
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

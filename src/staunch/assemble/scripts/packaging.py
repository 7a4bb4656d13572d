"""Native twins of dpkg's commands and of debconf's."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import replace

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.registry import command, without_effect
from staunch.assemble.scripts.world import Unknowable
from staunch.assemble.tree import Diversion
from staunch.ecosystems.deb import order
from staunch.errors import SpecError
from staunch.model.part import Part

_GROUP = "packages"
_RELATIONS: dict[str, tuple[Callable[[int], bool], bool]] = {
    # relation -> (what the comparison must be, whether an empty version counts as the latest)
    "lt": (lambda c: c < 0, False),
    "le": (lambda c: c <= 0, False),
    "eq": (lambda c: c == 0, False),
    "ne": (lambda c: c != 0, False),
    "ge": (lambda c: c >= 0, False),
    "gt": (lambda c: c > 0, False),
    "lt-nl": (lambda c: c < 0, True),
    "le-nl": (lambda c: c <= 0, True),
    "ge-nl": (lambda c: c >= 0, True),
    "gt-nl": (lambda c: c > 0, True),
    "<": (lambda c: c <= 0, False),
    "<<": (lambda c: c < 0, False),
    "<=": (lambda c: c <= 0, False),
    "=": (lambda c: c == 0, False),
    ">=": (lambda c: c >= 0, False),
    ">>": (lambda c: c > 0, False),
    ">": (lambda c: c >= 0, False),
}

without_effect(
    "dpkg-maintscript-helper",
    why="conffiles and folders are only moved when an older version is upgraded",
)
without_effect("dpkg-trigger", why="triggered work is done natively, or named where it is not")
without_effect("apt-key", "apt-config", why="apt is not configured while an image is built")


@command("dpkg", group=_GROUP)
def dpkg(shell: Shell, arguments: list[str]) -> int:
    """Compares versions; gives the architecture."""
    if "--compare-versions" in arguments:
        at = arguments.index("--compare-versions")
        words = [word for word in arguments[at + 1 :] if word != "--"]
        # an unquoted empty version vanishes from the command line
        return _compare(words if len(words) == 3 else ["", *words])
    if arguments[:1] == ["--print-architecture"]:
        shell.write(f"{shell.world.platform.deb}\n")
        return 0
    if arguments[:1] == ["--print-foreign-architectures"]:
        return 0
    if arguments[:1] == ["--validate-version"]:
        return 0
    if arguments[:1] in (["-L"], ["--listfiles"]) and len(arguments) > 1:
        found = [_package(shell, name) for name in arguments[1:]]
        for part in found:
            if part is not None:
                shell.write("/.\n" + "".join(f"/{entry.path}\n" for entry in part.entries))
        return 1 if None in found else 0
    if arguments[:1] in (["-S"], ["--search"]) and len(arguments) == 2:
        path = arguments[1].lstrip("/")
        owners = [p.name for p in shell.world.packages.values() if _ships(p, path)]
        if "*" in path or not arguments[1].startswith("/"):
            raise Unknowable("it looks for a package by a pattern")
        if owners:
            shell.write(f"{', '.join(sorted(owners))}: /{path}\n")
        return 0 if owners else 1
    if arguments[:1] in (["-s"], ["--status"]) and len(arguments) == 2:
        part = _package(shell, arguments[1])
        if part is not None:
            shell.write(f"Package: {part.name}\nStatus: install ok installed\n")
            shell.write(f"Version: {part.version}\n")
        return 0 if part is not None else 1
    raise Unknowable(f"it asks dpkg {' '.join(arguments)[:60]}")


def _package(shell: Shell, name: str) -> Part | None:
    return shell.world.packages.get(name.partition(":")[0])


def _ships(part: Part, path: str) -> bool:
    return any(entry.path == path for entry in part.entries)


@command("dpkg-query", group=_GROUP)
def dpkg_query(shell: Shell, arguments: list[str]) -> int:
    """Name, version, architecture and state of the image's packages."""
    if arguments[:1] in (["-L"], ["--listfiles"], ["-s"], ["--status"], ["-S"], ["--search"]):
        return dpkg(shell, arguments)
    if arguments[:1] in (["-l"], ["--list"]):
        return _list(shell, arguments[1:])
    form, names, shows = "${Package}\\t${Version}\\n", [], False
    words = iter(arguments)
    for word in words:
        if word in ("-W", "--show"):
            shows = True
        elif word in ("-f", "--showformat"):
            form = next(words, "")
        elif word.startswith(("-f=", "--showformat=")):
            form = word.partition("=")[2]
        elif word.startswith("-f"):
            form = word[2:]
        elif word.startswith("-"):
            raise Unknowable(f"it asks dpkg-query {word}")
        else:
            names.append(word)
    if not shows or any("*" in name for name in names) or not names:
        raise Unknowable("it asks dpkg-query in another way")
    status = 0
    for name in names:
        part = _package(shell, name)
        if part is None:
            status = 1
            continue
        # what a package is before its own postinst has run
        state = "unpacked" if part is shell.part else "installed"
        values = {
            "Package": part.name,
            "Version": part.version,
            "Architecture": shell.world.platform.deb,
            "Status": f"install ok {state}",
            "db:Status-Status": state,
            "Conffiles": "",
        }
        text = form.replace("\\n", "\n").replace("\\t", "\t")
        for field in re.findall(r"\$\{([^}]*)\}", text):
            if field not in values:
                raise Unknowable(f"it asks dpkg-query for {field[:40]}")
            text = text.replace(f"${{{field}}}", values[field])
        shell.write(text)
    return status


def _compare(words: list[str]) -> int:
    if len(words) != 3 or words[1] not in _RELATIONS:
        raise Unknowable(f"it compares {' '.join(words)[:60]!r}")
    one, relation, two = words
    holds, empty_is_last = _RELATIONS[relation]
    if not one or not two:
        # without -nl an empty version is earlier than any other, with it later
        result = int(not one) - int(not two)
        result = result if empty_is_last else -result
    else:
        try:
            left, right = order(one), order(two)
        except SpecError:
            raise Unknowable(f"it compares versions that are none: {one!r}, {two!r}") from None
        result = (left > right) - (left < right)
    return 0 if holds(result) else 1


def _list(shell: Shell, patterns: list[str]) -> int:
    found = sorted(
        name
        for name in shell.world.packages
        if any(fnmatch.fnmatchcase(name, pattern.partition(":")[0]) for pattern in patterns)
    )
    for name in found:
        shell.write(f"ii  {name} {shell.world.packages[name].version}\n")
    return 0 if found else 1


@command("dpkg-divert", group=_GROUP)
def dpkg_divert(shell: Shell, arguments: list[str]) -> int:
    """Diversions: heeded when files of other packages are added."""
    given: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in ("--package", "--divert", "--admindir", "--instdir", "--root"):
            given[word[2:]] = next(words, "")
        elif word.startswith("--"):
            name, _, value = word[2:].partition("=")
            given[name] = value
        else:
            rest.append(word)
    for name in ("truename", "listpackage", "list"):
        if name in given:
            return _ask(shell, name, given[name] or (rest[0] if rest else "*"))
    path = (given.get("add") or given.get("remove") or "") or (rest[0] if rest else "")
    if not path.startswith("/"):
        raise Unknowable("it diverts no absolute path")
    place = shell.absolute(path)
    by = "" if "local" in given else f"deb:{given.get('package') or shell.part.name}"
    known = shell.world.diversions
    if "remove" in given:
        known[:] = [each for each in known if each.path != place]
        return 0
    to = shell.absolute(given.get("divert") or f"{path}.distrib")
    if not any(each.path == place for each in known):
        known.append(Diversion(place, to, by))
        shell.effect(f"diverts /{place} to /{to}")
    return 0


def _ask(shell: Shell, what: str, path: str) -> int:
    if "*" in path:
        raise Unknowable("it lists diversions by a pattern")
    place = shell.absolute(path)
    found = next((each for each in shell.world.diversions if each.path == place), None)
    match what:
        case "truename":
            shell.write(f"/{found.to if found else place}\n")
        case "listpackage":
            by = "LOCAL" if found and not found.by else found.by.partition(":")[2] if found else ""
            shell.write(f"{by}\n" if by else "")
        case _:
            if found:
                shell.write(f"diversion of /{place} to /{found.to}\n")
            return 0 if found else 1
    return 0


@command("dpkg-statoverride", group=_GROUP)
def dpkg_statoverride(shell: Shell, arguments: list[str]) -> int:
    """Owners and modes of single files."""
    words = [each for each in arguments if not each.startswith("--")]
    flags = {each for each in arguments if each.startswith("--")}
    if "--list" in flags:
        known = shell.world.overrides
        found = [path for path in (words or sorted(known)) if path in known]
        for path in found:
            shell.write(f"{' '.join(known[path])} {path}\n")
        return 0 if found else 1
    if "--remove" in flags:
        for path in words:
            shell.world.overrides.pop(path, None)
        return 0
    if "--add" not in flags or len(words) != 4:
        raise Unknowable("it calls dpkg-statoverride in another way")
    user, group, mode, path = words
    uid = shell.world.accounts.uid(user.lstrip("#"))
    gid = shell.world.accounts.gid(group.lstrip("#"))
    if uid is None or gid is None or not re.fullmatch(r"[0-7]{1,5}", mode):
        return 1
    shell.world.overrides[path] = (user, group, mode.lstrip("0") or "0")
    entry = shell.entry(path)
    if "--update" in flags and entry is not None and entry.path:
        new = replace(entry, uid=uid, gid=gid, mode=int(mode, 8) & 0o7777)
        shell.world.tree.change(new)
        shell.effect(f"owner and mode of /{entry.path}")
    return 0


@command("update-alternatives", group=_GROUP)
def update_alternatives(shell: Shell, arguments: list[str]) -> int:
    """Alternatives in automatic mode: links of the highest priority."""
    words = [w for w in arguments if w not in ("--quiet", "--force", "--verbose", "--skip-auto")]
    if words[:1] == ["--install"] and len(words) >= 5:
        link, name, path, priority = words[1:5]
        if not re.fullmatch(r"-?[0-9]{1,9}", priority):
            raise Unknowable(f"an alternative of the priority {priority[:20]!r}")
        slaves: list[tuple[str, str, str]] = []
        rest = words[5:]
        while rest[:1] == ["--slave"] and len(rest) >= 4:
            slaves.append((rest[1], rest[2], rest[3]))
            rest = rest[4:]
        shell.world.alternatives.install(link, name, path, int(priority), slaves)
        shell.effect(f"alternative {name}: {path} ({priority})")
        return 0
    if words[:1] == ["--remove"] and len(words) == 3:
        shell.world.alternatives.remove(words[1], words[2])
        return 0
    if words[:1] == ["--remove-all"] and len(words) == 2:
        return 0
    if words[:1] in (["--auto"], ["--list"], ["--query"], ["--display"]) and len(words) == 2:
        known = shell.world.alternatives.target(words[1])
        if words[0] == "--list" and known:
            shell.write(f"{known}\n")
        elif words[0] != "--auto" and known:
            raise Unknowable("it reads the state of alternatives")
        return 0 if known else 2
    raise Unknowable(f"it calls update-alternatives {' '.join(words)[:60]}")


@command("db_get", group="debconf")
def db_get(shell: Shell, arguments: list[str]) -> int:
    """The default of the package's template, as when nobody is asked."""
    name = arguments[0] if arguments else ""
    value = shell.answers.get(name)
    if value is None:
        return 10
    shell.variables["RET"] = value
    return 0


@command("db_set", "db_preseed", group="debconf")
def db_set(shell: Shell, arguments: list[str]) -> int:
    """Remembers an answer."""
    if len(arguments) == 2:
        shell.answers[arguments[0]] = arguments[1]
    return 0


@command("db_fget", group="debconf")
def db_fget(shell: Shell, arguments: list[str]) -> int:
    """No question was seen."""
    del arguments
    shell.variables["RET"] = "false"
    return 0


@command("db_input", group="debconf")
def db_input(shell: Shell, arguments: list[str]) -> int:
    """Nobody is asked: status 30, "question skipped"."""
    del shell, arguments
    return 30


@command(
    "db_go",
    "db_stop",
    "db_version",
    "db_capb",
    "db_title",
    "db_settitle",
    "db_fset",
    "db_subst",
    "db_reset",
    "db_unregister",
    "db_register",
    "db_purge",
    "db_beginblock",
    "db_endblock",
    group="debconf",
)
def db_nothing(shell: Shell, arguments: list[str]) -> int:
    """Nothing: no debconf database is kept in an image."""
    del arguments
    shell.variables["RET"] = ""
    return 0


def answers(templates: bytes | None) -> dict[str, str]:
    """The defaults of a package's debconf templates, by name."""
    found: dict[str, str] = {}
    name = ""
    for line in (templates or b"").decode("utf-8", "replace").splitlines():
        key, colon, value = line.partition(":")
        if colon and key == "Template":
            name = value.strip()
            found[name] = ""
        elif colon and key == "Default" and name:
            found[name] = value.strip()
        elif colon and key == "Type" and name and value.strip() == "boolean":
            found[name] = found[name] or "false"
    return found

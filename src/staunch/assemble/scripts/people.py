"""Native twins of commands that make users and groups."""

from __future__ import annotations

import re
import shlex

from staunch.assemble.scripts.evaluate import Shell
from staunch.assemble.scripts.options import options
from staunch.assemble.scripts.registry import command, without_effect
from staunch.assemble.scripts.world import OWNER, Unknowable
from staunch.model.entry import Entry, Kind

_GROUP = "users and groups"
_VALUED = frozenset(
    ("home", "gecos", "comment", "shell", "uid", "gid", "ingroup", "firstuid", "lastuid", "conf",
     "firstgid", "lastgid", "add_extra_groups")
)  # fmt: skip

without_effect(
    "pwck", "grpck", "pwconv", "grpconv", "shadowconfig",
    why="shadow files are written natively where the image has the package passwd",
)  # fmt: skip
without_effect(
    "deluser", "delgroup", "userdel", "groupdel", "groupmod", "chage", "passwd",
    why="on a fresh installation there is no account to remove or change; none has a password",
)  # fmt: skip


@command("adduser", group=_GROUP)
def adduser(shell: Shell, arguments: list[str]) -> int:
    """Makes a user, with its group and home; or makes a user a member of a group."""
    given, names = _long(arguments)
    if ("group" in given and not {"system"} & given.keys()) or ("group" in given and not names):
        return addgroup(shell, arguments)
    accounts = shell.world.accounts
    if len(names) == 2:
        if names[0] not in accounts.users or names[1] not in accounts.groups:
            return 1
        accounts.join(names[0], names[1])
        shell.effect(f"user {names[0]} joins the group {names[1]}")
        return 0
    if len(names) != 1:
        raise Unknowable("it calls adduser in another way")
    name = names[0]
    if name in accounts.users:
        return 0
    system = "system" in given
    uid = _number(given.get("uid"))
    gid: int | None = None
    if "gid" in given or "ingroup" in given:
        gid = accounts.gid(given.get("gid") or given.get("ingroup") or "")
        if gid is None:
            return 1
    elif system and "group" not in given:
        gid = accounts.gid("nogroup")
    if gid is None:
        gid = accounts.add_group(name, system=system).gid
    user = accounts.add_user(
        name,
        uid=uid,
        gid=gid,
        comment=given.get("gecos", given.get("comment", "")),
        home=given.get("home", "/nonexistent" if system else f"/home/{name}"),
        shell=given.get("shell", "/usr/sbin/nologin" if system else "/bin/bash"),
        system=system,
    )
    shell.effect(f"user {name}")
    if "no-create-home" not in given and user.home != "/nonexistent":
        _home(shell, user.home, user.uid, user.gid)
    return 0


@command("addgroup", group=_GROUP)
def addgroup(shell: Shell, arguments: list[str]) -> int:
    """Makes a group."""
    given, names = _long(arguments)
    if len(names) != 1:
        return adduser(shell, arguments)
    shell.world.accounts.add_group(names[0], _number(given.get("gid")), system="system" in given)
    shell.effect(f"group {names[0]}")
    return 0


@command("groupadd", group=_GROUP)
def groupadd(shell: Shell, arguments: list[str]) -> int:
    """Makes a group."""
    given, names = options(arguments, valued="gKp")
    if len(names) != 1:
        raise Unknowable("it calls groupadd in another way")
    if names[0] in shell.world.accounts.groups:
        return 0 if "f" in given else 9
    gid = _number(given.get("g") or given.get("gid"))
    system = "r" in given or "system" in given
    shell.world.accounts.add_group(names[0], gid, system=system)
    shell.effect(f"group {names[0]}")
    return 0


@command("useradd", group=_GROUP)
def useradd(shell: Shell, arguments: list[str]) -> int:
    """Makes a user."""
    given, names = options(arguments, valued="bcdegGkKpsu")
    accounts = shell.world.accounts
    if len(names) != 1:
        raise Unknowable("it calls useradd in another way")
    if names[0] in accounts.users:
        return 9
    system = "r" in given or "system" in given
    gid = accounts.gid(given["g"]) if "g" in given else None
    if gid is None:
        gid = accounts.add_group(names[0], system=system).gid
    user = accounts.add_user(
        names[0],
        uid=_number(given.get("u")),
        gid=gid,
        comment=given.get("c", ""),
        home=given.get("d", f"/home/{names[0]}"),
        shell=given.get("s", "/bin/sh"),
        system=system,
    )
    for group in filter(None, given.get("G", "").split(",")):
        accounts.join(names[0], group)
    shell.effect(f"user {names[0]}")
    if "m" in given:
        _home(shell, user.home, user.uid, user.gid)
    return 0


@command("usermod", group=_GROUP)
def usermod(shell: Shell, arguments: list[str]) -> int:
    """Makes a user a member of groups (``-a -G``)."""
    given, names = options(arguments, valued="cdegGlsu")
    if set(given) == {"a", "G"} and len(names) == 1:
        for group in given["G"].split(","):
            shell.world.accounts.join(names[0], group)
        shell.effect(f"user {names[0]} joins {given['G']}")
        return 0
    if set(given) <= {"L", "lock", "U"}:
        return 0
    raise Unknowable("it changes a user")


@command("getent", group=_GROUP)
def getent(shell: Shell, arguments: list[str]) -> int:
    """Asks for users and groups that were made so far."""
    words = [each for each in arguments if not each.startswith("-")]
    if len(words) != 2 or words[0] not in ("passwd", "group"):
        raise Unknowable(f"it asks getent {' '.join(words)[:40]}")
    accounts = shell.world.accounts
    text = (accounts.passwd() if words[0] == "passwd" else accounts.group()).decode()
    for line in text.splitlines():
        fields = line.split(":")
        if words[1] in (fields[0], fields[2]):
            shell.write(f"{line}\n")
            return 0
    return 2


@command("id", group=_GROUP)
def id_(shell: Shell, arguments: list[str]) -> int:
    """The numbers of a user that was made so far; scripts themselves run as root."""
    given, names = options(arguments)
    name = names[0] if names else "root"
    user = shell.world.accounts.users.get(name)
    if user is None:
        return 1
    if "n" in given:
        group = shell.world.accounts.group_name(user.gid)
        shell.write(f"{user.name if 'u' in given else group}\n")
    else:
        shell.write(f"{user.gid if 'g' in given else user.uid}\n")
    return 0


@command("systemd-sysusers", group=_GROUP)
def systemd_sysusers(shell: Shell, arguments: list[str]) -> int:
    """Users and groups of the named ``sysusers.d`` files."""
    names = [each for each in arguments if not each.startswith("-")]
    status = 0
    for name in names:
        path = name if name.startswith("/") else f"/usr/lib/sysusers.d/{name}"
        if shell.entry(path) is None:
            status = 1
            continue
        for line in shell.read(path).splitlines():
            sysusers_line(shell, line)
    return status


def sysusers_line(shell: Shell, line: str) -> None:
    """One line of sysusers.d(5)."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        raise Unknowable(f"a line of sysusers.d cannot be read: {line[:60]!r}") from None
    if not words:
        return
    words += ["-"] * (6 - len(words))
    kind, name, number, comment, home, login = ("" if word == "-" else word for word in words[:6])
    if "%" in name + number:
        raise Unknowable(f"a line of sysusers.d with specifiers: {line[:60]!r}")
    accounts = shell.world.accounts
    match kind.rstrip("!-"):
        case "g":
            accounts.add_group(name, _number(number) if number.isdecimal() else _last(shell))
        case "u":
            uid_text, _, gid_text = number.partition(":")
            uid = int(uid_text) if uid_text.isdecimal() else None
            gid = accounts.gid(gid_text) if gid_text else None
            if gid is None:
                there = accounts.gid(name)
                gid = there if there is not None else uid if uid is not None else _last(shell)
                accounts.add_group(name, gid)
            accounts.add_user(
                name,
                uid=gid if uid is None and not gid_text else uid,
                gid=gid,
                comment=comment,
                home=home or "/",
                shell=login or "/usr/sbin/nologin",
            )
        case "m":
            accounts.join(name, number)
        case "r":
            return
        case _:
            raise Unknowable(f"a line of sysusers.d of an unknown kind: {line[:60]!r}")
    shell.effect(f"sysusers: {kind} {name}")


def _last(shell: Shell) -> int:
    """Systemd counts down from 999."""
    accounts = shell.world.accounts
    taken = {user.uid for user in accounts.users.values()}
    taken |= {group.gid for group in accounts.groups.values()}
    for number in range(999, 99, -1):
        if number not in taken:
            return number
    raise Unknowable("no system number is left")


def _home(shell: Shell, path: str, uid: int, gid: int) -> None:
    place = shell.absolute(path)
    there = shell.world.tree.get(place, follow=True)
    if there is None:
        entry = Entry.directory(place, mode=0o755, uid=uid, gid=gid, owner=OWNER)
        shell.world.tree.add(entry)
        shell.effect(f"makes the folder /{place}")
    elif there.kind is not Kind.DIR:
        raise Unknowable(f"the home {path} is a file")


def _long(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Adduser's options: long ones with their values; and names."""
    given: dict[str, str] = {}
    names: list[str] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            names.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if name in _VALUED and not equals:
            value = next(words, "")
        given[name] = value
    return given, names


def _number(text: str | None) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Unknowable(f"it takes {text[:20]!r} for a number")
    return int(text)

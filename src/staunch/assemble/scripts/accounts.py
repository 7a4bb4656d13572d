"""Users and groups: passwd(5), group(5), shadow(5), gshadow(5), kept as values until the end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from staunch.errors import SpecError
from staunch.model.entry import EPOCH

NONROOT = 65532
_NOBODY = 65534
_NOLOGIN = "/usr/sbin/nologin"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")
_SYSTEM, _ORDINARY = range(100, 1000), range(1000, 60000)
_DAY = EPOCH // 86400  # the day a password was last changed; the build's clock is no input


# Ids that Debian allocates for every system alike (Policy 9.2.2, base-passwd's masters). Files may
# belong to them in an image whose own passwd and group leave them out.
_STATIC_USERS = {
    "daemon": 1, "bin": 2, "sys": 3, "sync": 4, "games": 5, "man": 6, "lp": 7, "mail": 8, "news": 9,
    "uucp": 10, "proxy": 13, "www-data": 33, "backup": 34, "list": 38, "irc": 39, "nobody": 65534,
}  # fmt: skip
_STATIC_GROUPS = {
    "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "lp": 7, "mail": 8, "news": 9,
    "uucp": 10, "man": 12, "proxy": 13, "kmem": 15, "dialout": 20, "fax": 21, "voice": 22, "cdrom": 24,
    "floppy": 25, "tape": 26, "sudo": 27, "audio": 29, "dip": 30, "www-data": 33, "backup": 34,
    "operator": 37, "list": 38, "irc": 39, "src": 40, "shadow": 42, "utmp": 43, "video": 44, "sasl": 45,
    "plugdev": 46, "staff": 50, "games": 60, "users": 100, "nogroup": 65534,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class User:
    """One line of passwd(5)."""

    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class Group:
    """One line of group(5)."""

    name: str
    gid: int
    members: tuple[str, ...] = ()


@dataclass(slots=True)
class Accounts:
    """All users and groups of an image, in the order of their lines."""

    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def add_group(self, name: str, gid: int | None = None, *, system: bool = True) -> Group:
        """The group ``name``, made when it is not there."""
        if (there := self.groups.get(name)) is not None:
            return there
        _check(name, "group")
        if gid is None:
            gid = self._free({group.gid for group in self.groups.values()}, system=system)
        self.groups[name] = Group(name, gid)
        return self.groups[name]

    def add_user(
        self,
        name: str,
        *,
        uid: int | None = None,
        gid: int | None = None,
        comment: str = "",
        home: str = "/nonexistent",
        shell: str = _NOLOGIN,
        system: bool = True,
    ) -> User:
        """The user ``name``, made when it is not there."""
        if (there := self.users.get(name)) is not None:
            return there
        _check(name, "user")
        if any(c in text for text in (comment, home, shell) for c in ":\n"):
            raise _bad("user", name, "its fields hold a colon or a line break")
        if uid is None:
            uid = self._free({user.uid for user in self.users.values()}, system=system)
        self.users[name] = User(name, uid, uid if gid is None else gid, comment, home, shell)
        return self.users[name]

    def join(self, user: str, group: str) -> None:
        """Make ``user`` a member of ``group``."""
        there = self.groups.get(group)
        if there is not None and user not in there.members:
            self.groups[group] = replace(there, members=(*there.members, user))

    def uid(self, text: str) -> int | None:
        """A user's number, by name or as digits; None when there is no such user."""
        if text.isascii() and text.isdigit():
            return int(text)
        if text == "root":
            return 0
        user = self.users.get(text)
        return _STATIC_USERS.get(text) if user is None else user.uid

    def gid(self, text: str) -> int | None:
        """A group's number, by name or as digits; None when there is no such group."""
        if text.isascii() and text.isdigit():
            return int(text)
        if text == "root":
            return 0
        group = self.groups.get(text)
        return _STATIC_GROUPS.get(text) if group is None else group.gid

    def group_name(self, gid: int) -> str:
        """The group's name, or its number."""
        return next((g.name for g in self.groups.values() if g.gid == gid), str(gid))

    def user_name(self, uid: int) -> str:
        """The user's name, or its number."""
        return next((u.name for u in self.users.values() if u.uid == uid), str(uid))

    def passwd(self) -> bytes:
        """``etc/passwd``, all passwords in shadow."""
        return _lines(
            f"{u.name}:x:{u.uid}:{u.gid}:{u.comment}:{u.home}:{u.shell}"
            for u in self.users.values()
        )

    def group(self) -> bytes:
        """``etc/group``."""
        return _lines(f"{g.name}:x:{g.gid}:{','.join(g.members)}" for g in self.groups.values())

    def shadow(self) -> bytes:
        """``etc/shadow``: nobody can log in by a password."""
        return _lines(f"{name}:*:{_DAY}:0:99999:7:::" for name in self.users)

    def gshadow(self) -> bytes:
        """``etc/gshadow``."""
        return _lines(f"{g.name}:*::{','.join(g.members)}" for g in self.groups.values())

    def _free(self, taken: set[int], *, system: bool) -> int:
        """The lowest free number: adduser(8) counts users and groups apart."""
        for number in _SYSTEM if system else _ORDINARY:
            if number not in taken:
                return number
        raise _bad("account", "another one", "no number is left")


def minimal() -> Accounts:
    """What an image without base-passwd has: root, nobody, and nonroot, which runs the image."""
    accounts = Accounts()
    accounts.add_group("root", 0)
    accounts.add_group("nogroup", _NOBODY)
    accounts.add_user("root", uid=0, gid=0, comment="root", home="/root")
    accounts.add_user("nobody", uid=_NOBODY, gid=_NOBODY, comment="nobody")
    add_nonroot(accounts)
    return accounts


def add_nonroot(accounts: Accounts) -> None:
    """The user that images run as by default (65532)."""
    accounts.add_group("nonroot", NONROOT)
    accounts.add_user("nonroot", uid=NONROOT, gid=NONROOT, comment="nonroot", home="/home/nonroot")


def parse_masters(passwd: bytes, group: bytes) -> Accounts:
    """Accounts from base-passwd's ``passwd.master`` and ``group.master``.

    Raises:
        SpecError: a line that is none of passwd(5) or group(5).
    """
    accounts = Accounts()
    for line in _text(group).splitlines():
        fields = line.split(":")
        if len(fields) != 4 or not fields[2].isdecimal():
            raise _bad("group", line[:60], "group(5) wants four fields, the third a number")
        accounts.add_group(fields[0], int(fields[2]))
        for member in filter(None, fields[3].split(",")):
            accounts.join(member, fields[0])
    for line in _text(passwd).splitlines():
        fields = line.split(":")
        if len(fields) != 7 or not (fields[2].isdecimal() and fields[3].isdecimal()):
            raise _bad("user", line[:60], "passwd(5) wants seven fields, two of them numbers")
        name, _, uid, gid, comment, home, shell = fields
        accounts.add_user(name, uid=int(uid), gid=int(gid), comment=comment, home=home, shell=shell)
    return accounts


def add_image_user(accounts: Accounts, user: str) -> None:
    """See to it that the spec's ``user`` has a line, so that ``getpwuid`` finds it.

    Raises:
        SpecError: a name that no package and no default makes.
    """
    name, _, group = user.partition(":")
    uid, gid = accounts.uid(name), accounts.gid(group) if group else None
    if uid is None or (group and gid is None):
        known = ", ".join(sorted(accounts.users))
        raise SpecError(
            f"there is no user {user!r} in the image",
            why=f"it knows {known}",
            mend="write a number under `user:`, or one of these names",
        )
    if uid not in {each.uid for each in accounts.users.values()}:
        gid = uid if gid is None else gid
        if gid not in {each.gid for each in accounts.groups.values()}:
            accounts.add_group("app", gid)
        accounts.add_user("app", uid=uid, gid=gid, comment="app", home="/home/app")


def _check(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise _bad(what, name, "a name is letters, digits, `_`, `.` and `-`, at most 32")


def _bad(what: str, name: str, why: str) -> SpecError:
    return SpecError(
        f"a package asks for a {what} that cannot be: {name[:80]!r}",
        why=why,
        mend="leave the package out, or report it to its maintainers",
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()

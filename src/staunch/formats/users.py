"""The user of an image: config's ``User`` by its own passwd(5) and group(5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from staunch.errors import SpecError

_HIGHEST_ID = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class User:
    """Numeric ids, supplementary groups (sorted) and the home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve_user(text: str, *, passwd: bytes | None, group: bytes | None) -> User:
    """Read ``user``, ``uid``, ``user:group``, ``uid:gid`` and their mixtures (OCI config.md, "User").

    Without a group, it is the user's own, or 0 for a uid that passwd does not know; only then
    there are supplementary groups. Nothing at all means 0:0. Broken lines of both files are skipped.

    Raises:
        SpecError: a name that the image does not know, or an id out of range.
    """
    name, colon, group_name = text.partition(":")
    users = {fields[0]: fields for fields in _lines(passwd, 7)}
    groups = {fields[0]: fields for fields in _lines(group, 4)}
    if name.isdecimal() or not name:
        uid = _id(name or "0", text)
        known = next((each for each in users.values() if int(each[2]) == uid), None)
    else:
        known = users.get(name)
        if known is None:
            raise _unknown(text, f"its /etc/passwd knows no user {name[:80]!r}")
        uid = int(known[2])
    home = (known[5] if known is not None else "") or "/"
    if colon and group_name:
        if group_name.isdecimal():
            return User(uid, _id(group_name, text), (), home)
        if group_name not in groups:
            raise _unknown(text, f"its /etc/group knows no group {group_name[:80]!r}")
        return User(uid, int(groups[group_name][2]), (), home)
    if known is None:
        return User(uid, 0, (), home)
    more = {int(each[2]) for each in groups.values() if known[0] in each[3].split(",")}
    return User(uid, int(known[3]), tuple(sorted(more)), home)


def _lines(data: bytes | None, width: int) -> Iterator[list[str]]:
    """Lines of that many fields whose ids are ids."""
    for line in (data or b"").decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        ids = fields[2:4] if width == 7 else fields[2:3]
        if len(fields) == width and all(
            each.isascii() and each.isdecimal() and len(each) <= 10 and int(each) <= _HIGHEST_ID
            for each in ids
        ):
            yield fields


def _id(text: str, whole: str) -> int:
    if not text.isascii() or len(text) > 10 or int(text) > _HIGHEST_ID:
        raise _unknown(whole, f"{text[:40]!r} is no id up to {_HIGHEST_ID}")
    return int(text)


def _unknown(text: str, why: str) -> SpecError:
    return SpecError(
        f"the image has no user {text[:80]!r}",
        why=why,
        mend="name a numeric user, such as 65532:65532",
    )

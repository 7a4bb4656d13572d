"""Read ``ar`` archives: the outer shell of a ``.deb`` (deb(5), ar(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from staunch.errors import UntrustedError
from staunch.ports import Blob

MAGIC = b"!<arch>\n"
MAX_MEMBERS = 64
NAME_BYTES = 4096  # of one long name
NAME_TABLE_BYTES = 1 << 16  # of the System V table of long names

_HEADER = 60
_NUMBER = re.compile(rb"([0-9]{1,10}) *")
_BSD_NAME = re.compile(r"#1/([0-9]{1,10})")
_TABLE_NAME = re.compile(r"/([0-9]{1,10})")
_MEND = "fetch the package again; if it persists, report it to the archive that offers it"


@dataclass(frozen=True, slots=True)
class ArMember:
    """One member: its name, and where its bytes stand in the archive."""

    name: str
    offset: int
    size: int


def read_members(
    blob: Blob, *, what: str = "ar archive", max_members: int = MAX_MEMBERS
) -> tuple[ArMember, ...]:
    """List the members of a System V or BSD archive, in order; O(members) small reads.

    Long names of both dialects are read; symbol and name tables are left out. A missing last
    padding byte is accepted, as dpkg does.

    Args:
        blob: the archive.
        what: how messages call it.
        max_members: the most headers that are read.

    Raises:
        UntrustedError: no archive, damaged, cut off, a name twice, or too many members.
    """
    if blob.pread(len(MAGIC), 0) != MAGIC:
        raise _damaged(what, "it does not begin with `!<arch>`")
    members: list[ArMember] = []
    names: set[str] = set()
    table = b""
    offset, count = len(MAGIC), 0
    while offset < blob.size:
        count += 1
        if count > max_members:
            raise _damaged(what, f"it has more than {max_members} members")
        raw, size = _header(blob, offset, what)
        start = offset + _HEADER
        offset = start + size + (size & 1)
        if raw == "//":
            if size > NAME_TABLE_BYTES:
                raise _damaged(what, f"its table of names takes {size} bytes")
            table = blob.pread(size, start)
            continue
        if raw in ("/", "/SYM64/") or raw.startswith("__.SYMDEF"):
            continue
        member = _named(blob, raw, start, size, table, what)
        if member.name in names:
            raise _damaged(what, f"member {member.name!r} stands in it twice")
        names.add(member.name)
        members.append(member)
    return tuple(members)


def _header(blob: Blob, offset: int, what: str) -> tuple[str, int]:
    header = blob.pread(_HEADER, offset)
    if len(header) != _HEADER:
        raise _damaged(what, f"it is cut off in the header at byte {offset}")
    number = _NUMBER.fullmatch(header, 48, 58)
    if header[58:] != b"`\n" or number is None:
        raise _damaged(what, f"there is no member header at byte {offset}")
    size = int(number[1])
    left = blob.size - offset - _HEADER
    if size > left:
        raise _damaged(
            what, f"the member at byte {offset} claims {size} bytes, {left} are left of the file"
        )
    return _text(header[:16].rstrip(b" "), offset, what), size


def _named(blob: Blob, raw: str, start: int, size: int, table: bytes, what: str) -> ArMember:
    at = start - _HEADER
    if bsd := _BSD_NAME.fullmatch(raw):
        length = int(bsd[1])
        if length > min(size, NAME_BYTES):
            raise _damaged(what, f"the member at byte {at} claims a name of {length} bytes")
        name = _text(blob.pread(length, start).rstrip(b"\0"), at, what)
        start, size = start + length, size - length
    elif long := _TABLE_NAME.fullmatch(raw):
        begin = int(long[1])
        end = table.find(b"\n", begin)
        if begin >= len(table) or end < 0 or end - begin > NAME_BYTES:
            raise _damaged(what, f"the member at byte {at} has a name outside the table of names")
        name = _text(table[begin:end].removesuffix(b"/"), at, what)
    else:
        name = raw.removesuffix("/")
    if not name or "\0" in name:
        raise _damaged(what, f"the member at byte {at} has no proper name")
    return ArMember(name, start, size)


def _text(data: bytes, at: int, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _damaged(what, f"the name of the member at byte {at} is not UTF-8") from None


def _damaged(what: str, why: str) -> UntrustedError:
    return UntrustedError(f"{what} is not a proper ar archive", why=why, mend=_MEND)

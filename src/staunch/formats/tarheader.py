"""Tar headers, exact to the byte (POSIX.1-2017, pax, "ustar Interchange Format").

ustar wherever it suffices; a pax extended header (typeflag ``x``) carries what does not fit: long
or non-ASCII names and links, numbers too big for octal, extended attributes. Every field is a
function of the entry alone, so equal entries give equal bytes on every machine.
"""

from __future__ import annotations

from zlib import adler32

from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.entry import EPOCH, Entry, Kind

__all__ = ["BLOCK", "END", "header", "padding"]

BLOCK = 512
END = bytes(2 * BLOCK)

_NAME, _PREFIX, _LINK = 100, 155, 100
_MAX_SIZE = 0o77777777777  # eleven octal digits: 8 GiB - 1
_MAX_ID = 0o7777777  # seven octal digits
_TYPES = {Kind.FILE: b"0", Kind.HARDLINK: b"1", Kind.SYMLINK: b"2", Kind.DIR: b"5"}
_ZEROS = tuple(bytes(count) for count in range(BLOCK))


def padding(size: int) -> bytes:
    """The zero bytes that follow a payload of ``size`` bytes."""
    return _ZEROS[-size % BLOCK]


def header(entry: Entry) -> bytes:
    """The whole header of ``entry``: one block, or a pax header, its records and one block.

    Raises:
        SpecError: a name or link that no tar can carry (NUL, not UTF-8, empty, absolute, too long).
    """
    path = entry.path
    if (
        entry.kind is Kind.FILE
        and 0 < len(path) <= _NAME
        and path.isascii()
        and path[0] != "/"
        and "\0" not in path
        and entry.size <= _MAX_SIZE
        and entry.uid <= _MAX_ID >= entry.gid
        and not entry.xattrs
    ):  # nine of ten: nothing needs a pax record
        ids = entry.uid, entry.gid
        return _block((b"", path.encode()), entry.mode & 0o7777, ids, entry.size, b"0", b"")
    name = _text(entry.path, entry.path)
    if not name or name.startswith(b"/"):
        raise _unfit(entry.path, "is empty or absolute")
    if entry.kind is Kind.DIR:
        name += b"/"
    link = b""
    if entry.kind in (Kind.SYMLINK, Kind.HARDLINK):
        link = _text(entry.link, entry.path)
        if not link:
            raise _unfit(entry.path, "is a link to nowhere")
    size = entry.size if entry.kind is Kind.FILE else 0
    records: dict[bytes, bytes] = {}
    parts = _split(name)
    if parts is None:
        records[b"path"] = name
        parts = b"", _plain(name)[:_NAME]
    if link and not (link.isascii() and len(link) <= _LINK):
        records[b"linkpath"] = link
        link = _plain(link)[:_LINK]
    if size > _MAX_SIZE:
        records[b"size"] = b"%d" % size
        size = 0
    uid, gid = entry.uid, entry.gid
    if uid > _MAX_ID:
        records[b"uid"], uid = b"%d" % uid, 0
    if gid > _MAX_ID:
        records[b"gid"], gid = b"%d" % gid, 0
    for key, value in entry.xattrs:
        records[b"SCHILY.xattr." + _text(key, entry.path)] = value
    block = _block(parts, entry.mode & 0o7777, (uid, gid), size, _TYPES[entry.kind], link)
    if not records:
        return block
    return _pax(records, parts[1]) + block


def _text(text: str, path: str) -> bytes:
    """The UTF-8 form of a name, or SpecError."""
    try:
        data = text.encode()
    except UnicodeEncodeError as e:
        raise _unfit(path, "is not UTF-8") from e
    if b"\0" in data:
        raise _unfit(path, "holds a NUL byte")
    if len(data) > limits.PATH_BYTES:
        raise _unfit(path, f"has {len(data)} bytes; the limit is {limits.PATH_BYTES}")
    return data


def _unfit(path: str, what: str) -> SpecError:
    return SpecError(
        f"cannot write {path[:200]!r} into an image",
        why=f"the name, or what it links to, {what}",
        mend="rename it, or leave it out by `exclude:` or a rule",
    )


def _plain(name: bytes) -> bytes:
    """A readable stand-in for readers without pax."""
    return name.decode().encode("ascii", "replace")


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Prefix and name of a path that ustar can carry, else None."""
    if not name.isascii():
        return None
    if len(name) <= _NAME:
        return b"", name
    # the last slash that leaves at most 155 bytes of prefix; a directory's own slash is no cut
    cut = name.rfind(b"/", 1, min(_PREFIX + 1, len(name) - 1))
    if cut < 0 or len(name) - cut - 1 > _NAME:
        return None
    return name[:cut], name[cut + 1 :]


def _block(
    name: tuple[bytes, bytes], mode: int, ids: tuple[int, int], size: int, kind: bytes, link: bytes
) -> bytes:
    head = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name[1].ljust(_NAME, b"\0"),
        mode,
        *ids,
        size,
        EPOCH,
    )
    tail = b"%s%sustar\x0000%s0000000\x000000000\0%s" % (
        kind,
        link.ljust(_LINK, b"\0"),
        _ZEROS[64],  # uname, gname
        name[0].ljust(_PREFIX + 12, b"\0"),
    )
    # Adler-32's low half is one plus the sum of the bytes modulo 65521; a header is ASCII, so the
    # sum is at most 504 * 127. Adding them up one by one costs ten times as much.
    checksum = (adler32(tail, adler32(head)) & 0xFFFF) - 1 + 8 * 0x20
    return b"%s%06o\0 %s" % (head, checksum, tail)


def _pax(records: dict[bytes, bytes], name: bytes) -> bytes:
    """The extended header: a block of type ``x`` and its padded records, sorted by key."""
    body = b"".join(_record(key, records[key]) for key in sorted(records))
    base = name.rstrip(b"/").rpartition(b"/")[2]
    title = b"PaxHeaders/" + base[: _NAME - len(b"PaxHeaders/")]
    block = _block((b"", title), 0o644, (0, 0), len(body), b"x", b"")
    return block + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    """Length, blank, ``key=value``, newline; the length counts its own digits, too."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d%s" % (length, rest)

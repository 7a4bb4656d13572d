"""Read tar archives as a stream: v7, ustar, GNU long names, pax (POSIX.1-2017, pax; tar(5)).

This is the only reader of tar in Staunch. It takes what package builders write, and refuses what a
package has no business to hold, or what different readers would understand differently: devices,
FIFOs, sparse files, links with a payload, anything but zeros behind the end.

Layers of other people's images hold devices, and names in any bytes: ``foreign`` takes those, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from staunch.errors import UntrustedError
from staunch.model import limits
from staunch.model.entry import Kind

BLOCK: Final = 512
EXTENSION_BYTES = limits.MIB  # of one pax header or GNU long name
GLOBAL_HEADERS = 64  # pax headers that hold for all members that follow

_MEND = "fetch the package again; if it persists, report it to whoever offers it"
_ZEROS = bytes(BLOCK)
# mode uid gid size mtime as GNU tar, dpkg-deb and Python write them
_PLAIN = re.compile(
    rb"([0-7]{7})[\0 ]([0-7]{7})[\0 ]([0-7]{7})[\0 ]([0-7]{11})[\0 ]([0-7]{11})[\0 ]"
)
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ")
_DECIMAL = re.compile(r"-?[0-9]{1,19}(\.[0-9]*)?")
_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,  # "contiguous file": to be read as a regular one
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"5": Kind.DIR,
}
_REFUSED = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"S": "a sparse file",
    b"M": "the rest of a file begun on another volume",
    b"D": "a GNU dump directory",
    b"V": "a volume label",
}
_SPECIAL = (b"3", b"4", b"6")
_XATTR = "SCHILY.xattr."


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member, as the archive tells it.

    ``name`` and ``link`` are verbatim (a directory's closing slash is taken off); nothing is said
    about whether they are safe to use. ``offset`` is where the payload starts in the unpacked
    archive. ``xattrs`` are sorted by name. ``special`` says what a member is that is none of the
    kinds ("a FIFO"), "" else; it is told as an empty file.
    """

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    uname: str
    gname: str
    size: int
    link: str
    mtime: int
    offset: int
    xattrs: tuple[tuple[str, bytes], ...]
    _source: _Source = field(repr=False, compare=False)
    special: str = ""

    def pieces(self) -> Iterator[bytes]:
        """The payload, in pieces; only until the next member is asked for, and only once.

        Raises:
            UntrustedError: the archive ends before the payload does.
        """
        return self._source.pieces(self.offset)

    def peek(self) -> bytes:
        """The first four bytes of the payload where they are at hand, without taking it."""
        return self._source.peek(min(4, self.size))


def read_tar(
    chunks: Iterable[bytes],
    *,
    what: str = "tar archive",
    max_members: int = limits.MEMBERS,
    foreign: bool = False,
) -> Iterator[TarMember]:
    """Members in archive order. Payloads that are not asked for are skipped.

    The stream is read to its end, so that whatever checks it (a checksum of the compression) has
    its say. The archive must end with a block of zeros; only zeros may follow.

    Args:
        chunks: the unpacked archive, in pieces of any size.
        what: how messages call the archive.
        max_members: the most members that are read.
        foreign: take devices and FIFOs (``TarMember.special``), names and links that are not UTF-8
            (by surrogate escapes), and an archive without the zeros at its end. Only for reading
            what lies in an image, where a digest over all bytes tells whether they are complete.

    Raises:
        UntrustedError: damaged, cut off, over a limit, or with a member of a kind that no image
            holds; the message names the member.
    """
    source = _Source(chunks, what)
    shared: dict[str, bytes] = {}
    members = headers = 0
    while True:
        extended: dict[str, bytes] = {}
        seen: set[bytes] = set()
        while True:
            at = source.position
            if foreign and not seen and source.at_end():
                return
            header = source.block()
            if header == _ZEROS:
                if seen:
                    raise _damaged(what, "an extended header stands at its end, for no member")
                source.only_zeros()
                return
            _check_sum(header, at, what)
            typeflag = header[156:157]
            if typeflag not in b"xgLKX":
                break
            if typeflag in seen:
                raise _damaged(what, f"two extended headers of a kind in a row at byte {at}")
            data = source.take(_number(header[124:136], "size", at, what))
            if typeflag == b"g":
                headers += 1
                if headers > GLOBAL_HEADERS:
                    raise _damaged(what, f"it has more than {GLOBAL_HEADERS} global headers")
                shared.update(_records(data, at, what))
                continue
            seen.add(typeflag)
            if typeflag == b"L":
                extended["GNU.name"] = data
            elif typeflag == b"K":
                extended["GNU.link"] = data
            else:
                extended.update(_records(data, at, what))
        members += 1
        if members > max_members:
            raise _damaged(what, f"it has more than {max_members} members")
        if shared:
            extended = {**shared, **extended}
        if b"" in extended.values():  # an empty value takes back what stood before
            extended = {
                key: value for key, value in extended.items() if value or key.startswith(_XATTR)
            }
        member = _member(header, at, extended, source, what, foreign=foreign)
        source.begin(member.size)
        yield member
        source.finish()


class _Source:
    """A cursor over the chunks: 512-byte blocks for headers, pieces for payloads."""

    __slots__ = ("_at", "_chunk", "_chunks", "_left", "_start", "_taken", "_what")

    def __init__(self, chunks: Iterable[bytes], what: str) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0  # in the chunk
        self._start = 0  # of the chunk in the archive
        self._left = 0  # of the present payload
        self._taken = False
        self._what = what

    @property
    def position(self) -> int:
        return self._start + self._at

    def _next(self) -> bool:
        """Go on to the next chunk; False at the end."""
        self._start += len(self._chunk)
        self._at = 0
        for chunk in self._chunks:
            if chunk:
                self._chunk = chunk
                return True
        self._chunk = b""
        return False

    def at_end(self) -> bool:
        return self._at == len(self._chunk) and not self._next()

    def block(self) -> bytes:
        end = self._at + BLOCK
        if end <= len(self._chunk):
            block = self._chunk[self._at : end]
            self._at = end
            return block
        return b"".join(self._parts(BLOCK, "a member header"))

    def take(self, size: int) -> bytes:
        """The whole payload of an extended header, and past its padding."""
        if size > EXTENSION_BYTES:
            raise _damaged(
                self._what, f"an extended header of {size} bytes stands before {self.position}"
            )
        data = b"".join(self._parts(size, "an extended header"))
        self._skip(-size % BLOCK, "an extended header")
        return data

    def peek(self, size: int) -> bytes:
        if self._at == len(self._chunk):
            self._next()
        return self._chunk[self._at : self._at + size]

    def begin(self, size: int) -> None:
        self._left, self._taken = size, False

    def pieces(self, offset: int) -> Iterator[bytes]:
        if self._taken or self.position != offset:
            raise ValueError("the pieces of a tar member were asked for twice or too late")
        self._taken = True
        return self._payload()

    def _payload(self) -> Iterator[bytes]:
        while self._left:
            if self._at == len(self._chunk) and not self._next():
                raise self._cut("a payload")
            if not self._at and len(self._chunk) <= self._left:
                piece = self._chunk
            else:
                piece = self._chunk[self._at : self._at + self._left]
            self._at += len(piece)
            self._left -= len(piece)
            if not self._left:  # past the padding now: the position then tells the next header
                size = self.position
                self._skip(-size % BLOCK, "the padding of a payload")
            yield piece

    def finish(self) -> None:
        """Skip what is left of the payload, and its padding."""
        if self._left:
            left, self._left = self._left, 0
            self._skip(left + -(self.position + left) % BLOCK, "a payload")

    def only_zeros(self) -> None:
        """Read to the end of the stream."""
        rest = self._chunk[self._at :]
        while True:
            if rest.count(0) != len(rest):
                raise _damaged(self._what, "something other than zeros follows its end")
            if not self._next():
                return
            rest = self._chunk

    def _skip(self, size: int, where: str) -> None:
        end = self._at + size
        if end <= len(self._chunk):
            self._at = end
            return
        while size:
            if self._at == len(self._chunk) and not self._next():
                raise self._cut(where)
            step = min(size, len(self._chunk) - self._at)
            self._at += step
            size -= step

    def _parts(self, size: int, where: str) -> Iterator[bytes]:
        while size:
            if self._at == len(self._chunk) and not self._next():
                raise self._cut(where)
            part = self._chunk[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            yield part

    def _cut(self, where: str) -> UntrustedError:
        return _damaged(self._what, f"it is cut off in {where} at byte {self.position}")


def _member(
    header: bytes,
    at: int,
    extended: dict[str, bytes],
    source: _Source,
    what: str,
    *,
    foreign: bool,
) -> TarMember:
    """Put header and extended headers together; every refusal names the member."""
    name = _name(header, extended, at, what, foreign=foreign)
    typeflag = header[156:157]
    kind, special = _KINDS.get(typeflag), ""
    if foreign and typeflag in _SPECIAL:
        kind, special = Kind.FILE, _REFUSED[typeflag]
    if kind is None:
        told = _REFUSED.get(typeflag, f"of the unknown type {typeflag!r}")
        raise _refused(what, name, f"is {told}; no image holds one")
    if plain := _PLAIN.match(header, 100):
        mode, uid, gid, size, mtime = [int(each, 8) for each in plain.groups()]
    else:
        mode = _number(header[100:108], "mode", at, what)
        uid = _number(header[108:116], "uid", at, what)
        gid = _number(header[116:124], "gid", at, what)
        size = _number(header[124:136], "size", at, what)
        mtime = _number(header[136:148], "mtime", at, what, negative=True)
    ustar = header[257:262] == b"ustar"
    uname = header[265:297].partition(b"\0")[0] if ustar else b""
    gname = header[297:329].partition(b"\0")[0] if ustar else b""
    link = header[157:257].partition(b"\0")[0]
    xattrs: tuple[tuple[str, bytes], ...] = ()
    if extended:
        if any(key.startswith("GNU.sparse.") for key in extended):
            raise _refused(what, name, "is a sparse file; no image holds one")
        uid = _decimal(extended, "uid", uid, name, what)
        gid = _decimal(extended, "gid", gid, name, what)
        size = _decimal(extended, "size", size, name, what)
        mtime = _decimal(extended, "mtime", mtime, name, what)
        uname = extended.get("uname", uname)
        gname = extended.get("gname", gname)
        if "linkpath" in extended:
            link = extended["linkpath"]
        elif "GNU.link" in extended:
            link = extended["GNU.link"].removesuffix(b"\0")
        xattrs = tuple(
            sorted(
                (key.removeprefix(_XATTR), value)
                for key, value in extended.items()
                if key.startswith(_XATTR)
            )
        )
    if special:
        size = 0  # whatever it says, none follows (POSIX.1-2017, pax, "ustar Interchange Format")
    if name.endswith("/"):
        if kind is Kind.FILE:
            kind = Kind.DIR
        name = name.rstrip("/") or "/"
    if size and kind is not Kind.FILE:
        raise _refused(what, name, f"is a {kind.value}, yet has {size} bytes of its own")
    if kind in (Kind.SYMLINK, Kind.HARDLINK) and not link:
        raise _refused(what, name, f"is a {kind.value} to nothing")
    if b"\0" in link:
        raise _refused(what, name, "is a link whose target holds a NUL byte")
    return TarMember(
        name=name,
        kind=kind,
        mode=mode & 0o7777,
        uid=uid,
        gid=gid,
        uname=_text(uname, "owner", name, what, foreign=foreign),
        gname=_text(gname, "group", name, what, foreign=foreign),
        size=size,
        link=_text(link, "link", name, what, foreign=foreign)
        if link and kind is not Kind.FILE
        else "",
        mtime=mtime,
        offset=source.position,
        xattrs=xattrs,
        _source=source,
        special=special,
    )


def _name(header: bytes, extended: dict[str, bytes], at: int, what: str, *, foreign: bool) -> str:
    if "path" in extended:
        raw = extended["path"]
    elif "GNU.name" in extended:
        raw = extended["GNU.name"].removesuffix(b"\0")
    else:
        raw = header[:100].partition(b"\0")[0]
        if header[257:263] == b"ustar\0" and header[345]:  # GNU's has other things there
            raw = header[345:500].partition(b"\0")[0] + b"/" + raw
    if not raw:
        raise _damaged(what, f"the member at byte {at} has no name")
    if b"\0" in raw:
        raise _damaged(what, f"the name of the member at byte {at} holds a NUL byte: {raw[:80]!r}")
    try:
        return raw.decode("utf-8", "surrogateescape" if foreign else "strict")
    except UnicodeDecodeError:
        raise _damaged(
            what, f"the name of the member at byte {at} is not UTF-8: {raw[:80]!r}"
        ) from None


def _text(raw: bytes, field_: str, name: str, what: str, *, foreign: bool) -> str:
    try:
        return raw.decode("utf-8", "surrogateescape" if foreign else "strict")
    except UnicodeDecodeError:
        raise _refused(what, name, f"has as its {field_} what is not UTF-8: {raw[:80]!r}") from None


def _check_sum(header: bytes, at: int, what: str) -> None:
    """The sum of all bytes, its own field read as blanks; old writers summed signed bytes."""
    wanted = _number(header[148:156], "checksum", at, what)
    rest = header[:148] + header[156:]
    got = sum(rest) + 256
    if got != wanted and got - 256 * sum(byte > 127 for byte in rest) != wanted:
        raise _damaged(
            what, f"the header at byte {at} has checksum {wanted}, its bytes sum up to {got}"
        )


def _number(raw: bytes, field_: str, at: int, what: str, *, negative: bool = False) -> int:
    """Octal digits, or base-256 with the top bit set (GNU)."""
    octal = _OCTAL.fullmatch(raw)
    if octal:
        return int(octal[1] or b"0", 8)
    if raw[0] == 0x80:
        value = int.from_bytes(raw[1:], "big")
    elif raw[0] == 0xFF:
        value = int.from_bytes(raw, "big", signed=True)
    else:
        raise _damaged(what, f"the {field_} of the header at byte {at} is no number: {raw!r}")
    if value >= 1 << 63 or (value < 0 and not negative):
        raise _damaged(what, f"the {field_} of the header at byte {at} is out of range: {value}")
    return value


def _decimal(extended: dict[str, bytes], key: str, default: int, name: str, what: str) -> int:
    """A number of a pax record; fractions of a second are cut off."""
    raw = extended.get(key)
    if raw is None:
        return default
    text = raw.decode("ascii", "replace")
    match = _DECIMAL.fullmatch(text)
    if match is None or (key != "mtime" and (match[1] or text.startswith("-"))):
        raise _refused(what, name, f"has a pax record {key}={text[:40]!r}, which is no number")
    return int(text.partition(".")[0])


def _records(data: bytes, at: int, what: str) -> dict[str, bytes]:
    """Records of a pax header, each `length key=value` and a line feed."""
    records: dict[str, bytes] = {}
    position = 0
    while position < len(data):
        match = _RECORD.match(data, position)
        end = position + int(match[1]) if match else 0
        body = data[match.end() : end - 1] if match else b""
        key, equals, value = body.partition(b"=")
        if not equals or not key or end > len(data) or data[end - 1 : end] != b"\n":
            raise _damaged(what, f"the pax header at byte {at} has a bad record at {position}")
        try:
            name = key.decode("utf-8")
        except UnicodeDecodeError:
            raise _damaged(
                what, f"the pax header at byte {at} has a key that is not UTF-8"
            ) from None
        if name == "hdrcharset" and value not in (b"BINARY", b"ISO-IR 10646 2000 UTF-8"):
            raise _damaged(what, f"the pax header at byte {at} is in charset {value[:40]!r}")
        records[name] = value
        position = end
    return records


def _damaged(what: str, why: str) -> UntrustedError:
    return UntrustedError(f"{what} is not a proper tar archive", why=why, mend=_MEND)


def _refused(what: str, name: str, why: str) -> UntrustedError:
    return UntrustedError(
        f"{what} holds a member that is refused",
        why=f"{name[:200]!r} {why}",
        mend="leave the package out, or report it to whoever offers it",
    )

"""Zip archives as wheels use them (PKWARE APPNOTE 6.3): read with ``pread``, nothing taken on trust.

Two readers of one archive must not see two different things, so every place where zip readers are
known to part is refused: names twice, members that overlap, a local header that says other than the
central directory, bytes behind the end record, a second name in an extra field.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from zlib_ng import zlib_ng

from staunch.errors import UntrustedError
from staunch.model import limits
from staunch.ports import Blob

STORED, DEFLATED = 0, 8

_END = struct.Struct("<4s4H2LH")  # APPNOTE 4.3.16
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_PATCHED = 0x0020
_UTF8 = 0x0800
_IN_PIECES = 1 << 20  # input of one inflate call
_OUT_PIECES = 8 << 20  # its output at most; the rest of the input is fed again, so keep it rare


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One member as the central directory describes it.

    ``offset`` is where its local header stands, ``end`` where it must have ended at the latest
    (the next member's local header, or the central directory). ``mode`` is the ``st_mode`` of the
    external attributes, 0 where none was written; file type bits included.
    """

    name: str
    offset: int
    compressed: int
    size: int
    crc: int
    method: int
    mode: int
    is_dir: bool
    end: int = 0
    raw: bytes = b""


def read_directory(
    blob: Blob,
    *,
    max_members: int = limits.MEMBERS,
    max_member_bytes: int = limits.MEMBER_BYTES,
    max_bytes: int = limits.UNPACKED_BYTES,
    max_ratio: int = limits.EXPANSION_RATIO,
    ratio_floor: int = limits.EXPANSION_FLOOR,
    foreign: bool = False,
) -> tuple[ZipMember, ...]:
    """Read the central directory and check it as a whole.

    Args:
        blob: the archive.
        max_members: entries at most.
        max_member_bytes: unpacked size of one member.
        max_bytes: unpacked size of all members together.
        max_ratio: unpacked to packed, judged only above ``ratio_floor`` unpacked bytes.
        ratio_floor: see ``max_ratio``.
        foreign: take members whose mode is nonsense, as old Java tools wrote it. Only for reading
            what lies in an image; nothing is unpacked by such a mode.

    Returns:
        Members in the order of their bytes in the archive (not that of the directory).

    Raises:
        UntrustedError: the archive is damaged, ambiguous, hostile or over a limit; names the member.

    Spec: PKWARE APPNOTE.TXT 4.3 and 4.4; zip64 included, encryption and other methods than stored
    and deflate are not.
    Not checked here: local headers and payloads (``pieces`` does, for the members it is asked for).
    """
    count, start, size = _read_end(blob)
    if count > max_members:
        raise _broken("", f"it lists {count:,} members, over the limit of {max_members:,}")
    directory = _exactly(blob, size, start, "the central directory")
    members: list[ZipMember] = []
    position = 0
    for _ in range(count):
        member, position = _read_central(directory, position, start, foreign=foreign)
        if member.size > max_member_bytes:
            raise _broken(
                member.name,
                f"it unpacks to {member.size:,} bytes, over the limit of {max_member_bytes:,}",
            )
        members.append(member)
    if position != size:
        raise _broken("", f"{size - position:,} bytes follow the last entry of its directory")
    total = sum(member.size for member in members)
    if total > max_bytes or (total > ratio_floor and total > max_ratio * max(blob.size, 1)):
        raise _broken(
            "",
            f"it unpacks to {total:,} bytes from {blob.size:,}, over the limit of "
            f"{max_bytes:,} bytes or {max_ratio} times its size",
        )
    _check_names(members)
    return _in_order(members, start)


def pieces(blob: Blob, member: ZipMember) -> Iterator[bytes]:
    """Yield the payload of one member of ``read_directory``, checking it on the way.

    Yields:
        Pieces of at most 8 MiB; none for an empty member.

    Raises:
        UntrustedError: local header, size or CRC-32 differ from the central directory, or the
            deflate stream is damaged. Pieces already given must then be thrown away.
    """
    head = blob.pread(min(_IN_PIECES, member.end - member.offset), member.offset)
    data_at = _check_local(head, member)
    left = member.compressed
    first = head[data_at : data_at + left]
    left -= len(first)
    source = _input(blob, member, first, member.offset + data_at + len(first), left)
    crc, done = 0, 0
    for piece in source if member.method == STORED else _inflate(member, source):
        if not piece:
            continue
        done += len(piece)
        if done > member.size:
            break
        crc = zlib_ng.crc32(piece, crc)
        yield piece
    if done != member.size:
        more = "more than " if done > member.size else ""
        raise _broken(
            member.name,
            f"its directory says {member.size:,} bytes, it unpacks to {more}{min(done, member.size):,}",
        )
    if crc != member.crc:
        raise _broken(
            member.name, f"its directory says CRC-32 {member.crc:08x}, its bytes have {crc:08x}"
        )


def read_member(blob: Blob, member: ZipMember, *, max_bytes: int = limits.METADATA_BYTES) -> bytes:
    """The whole payload of a small member.

    Raises:
        UntrustedError: it is over ``max_bytes``, or damaged.
    """
    if member.size > max_bytes:
        raise _broken(
            member.name,
            f"it is {member.size:,} bytes long, and metadata may have {max_bytes:,} at most",
        )
    return b"".join(pieces(blob, member))


def _broken(name: str, why: str) -> UntrustedError:
    what = f"zip member {name[:200]!r} is not trustworthy" if name else "not a trustworthy zip file"
    return UntrustedError(
        what,
        why=why,
        mend="fetch the file again; if it stays so, tell its publisher, and do not use it",
    )


def _exactly(blob: Blob, size: int, offset: int, what: str) -> bytes:
    if offset < 0 or offset + size > blob.size:
        raise _broken(
            "", f"{what} should be bytes {offset:,} to {offset + size:,} of {blob.size:,}"
        )
    data = blob.pread(size, offset)
    if len(data) != size:
        raise _broken("", f"{what} is {size:,} bytes long, {len(data):,} could be read")
    return data


def _read_end(blob: Blob) -> tuple[int, int, int]:
    """Member count, offset and size of the central directory (APPNOTE 4.3.14-16)."""
    tail_size = min(blob.size, _END.size + 0xFFFF)
    tail_at = blob.size - tail_size
    tail = _exactly(blob, tail_size, tail_at, "its tail")
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise _broken("", "it has no end of central directory record (cut short, or no zip at all)")
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise _broken("", "bytes follow its end of central directory record")
    end = tail_at + at
    locator_at = end - _LOCATOR.size
    if locator_at >= 0:
        locator = blob.pread(_LOCATOR.size, locator_at)
        if locator[:4] == b"PK\6\7":
            plain = (here, count, size, start)
            here, count, size, start, end = _read_end64(blob, locator, locator_at, plain)
    if disk or first_disk or here != count:
        raise _broken("", "it is one part of an archive of several")
    if start + size != end:
        raise _broken(
            "",
            f"its directory of {size:,} bytes at {start:,} does not end where its end record "
            f"stands, at {end:,}",
        )
    if size > limits.INDEX_BYTES:
        raise _broken("", f"its directory has {size:,} bytes, the limit is {limits.INDEX_BYTES:,}")
    if count * _CENTRAL.size > size:
        raise _broken("", f"{count:,} members do not fit its directory of {size:,} bytes")
    return count, start, size


def _read_end64(
    blob: Blob, locator: bytes, locator_at: int, plain: tuple[int, int, int, int]
) -> tuple[int, int, int, int, int]:
    """Count (twice), size and offset of the directory, and where the zip64 record stands."""
    _, disk, at, disks = _LOCATOR.unpack(locator)
    record = _exactly(blob, _END64.size, at, "its zip64 end record")
    magic, length, _, _, this, first, here, count, size, start = _END64.unpack(record)
    if magic != b"PK\6\6" or disk or disks != 1 or this or first or at + 12 + length != locator_at:
        raise _broken("", "its zip64 end record is not where its locator says")
    full = (here, count, size, start)
    for short, long, unset in zip(plain, full, (0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1), strict=True):
        if short not in (long, unset):
            raise _broken("", f"its two end records differ: {short:,} and {long:,}")
    return here, count, size, start, at


def _read_central(
    data: bytes, position: int, start: int, *, foreign: bool
) -> tuple[ZipMember, int]:
    """One entry of the central directory, and where the next begins (APPNOTE 4.3.12)."""
    if position + _CENTRAL.size > len(data):
        raise _broken("", "its directory ends within an entry")
    (
        magic, _, _, _, _, flags, method, _, _, crc, compressed, size,
        name_size, extra_size, comment_size, disk, _, attributes, offset,
    ) = _CENTRAL.unpack_from(data, position)  # fmt: skip
    name_at = position + _CENTRAL.size
    extra_at = name_at + name_size
    after = extra_at + extra_size + comment_size
    if magic != b"PK\1\2" or after > len(data):
        raise _broken("", "its directory is damaged")
    raw = data[name_at:extra_at]
    name = _decode(raw, flags)
    if extra_size:
        size, compressed, offset, disk = _widen(
            data[extra_at : extra_at + extra_size], name, raw, (size, compressed, offset, disk)
        )
    mode = 0 if foreign else attributes >> 16
    is_dir = name.endswith("/")
    _check_member(name, flags, method, mode, size, compressed, is_dir=is_dir)
    if disk or offset + _LOCAL.size + name_size + compressed > start:
        raise _broken(name, f"its bytes, from {offset:,} on, reach into the central directory")
    return ZipMember(name, offset, compressed, size, crc, method, mode, is_dir, 0, raw), after


def _decode(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise _broken(raw[:200].decode("latin-1"), "its name is not valid UTF-8") from None


def _widen(
    extra: bytes, name: str, raw: bytes, fields: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Zip64 values for those of size, compressed, offset and disk that say so (APPNOTE 4.5.3)."""
    values, position, seen = list(fields), 0, False
    while position + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, position)
        body = extra[position + 4 : position + 4 + length]
        if len(body) != length:
            raise _broken(name, "its extra field is cut short")
        position += 4 + length
        if tag == 0x7075 and body[5:] != raw:  # Info-ZIP Unicode path: some readers prefer it
            raise _broken(name, f"an extra field names it {body[5:205]!r}")
        if tag != 0x0001:
            continue
        if seen:
            raise _broken(name, "it has two zip64 extra fields")
        seen, at = True, 0
        for index, (unset, width) in enumerate(((2**32 - 1, "<Q"),) * 3 + ((0xFFFF, "<L"),)):
            if values[index] != unset:
                continue
            if at + struct.calcsize(width) > length:
                raise _broken(name, "its zip64 extra field is cut short")
            (values[index],) = struct.unpack_from(width, body, at)
            at += struct.calcsize(width)
    return values[0], values[1], values[2], values[3]


def _check_member(
    name: str, flags: int, method: int, mode: int, size: int, compressed: int, *, is_dir: bool
) -> None:
    if flags & _ENCRYPTED:
        raise _broken(name, "it is encrypted")
    if flags & _PATCHED or method not in (STORED, DEFLATED):
        raise _broken(
            name, f"it is packed by method {method}, and only stored and deflate are read"
        )
    if method == STORED and size != compressed:
        raise _broken(name, f"stored, but {compressed:,} bytes packed and {size:,} unpacked")
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        raise _broken(name, "it is a symbolic link, which a wheel cannot hold")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR if is_dir else 0):
        raise _broken(name, f"its mode {mode:o} is not that of a file or folder")
    if is_dir and size:
        raise _broken(name, f"a folder with {size:,} bytes of content")


def _check_names(members: list[ZipMember]) -> None:
    """Refuse names that leave the archive's root, or that stand twice, or for file and folder."""
    names: dict[str, bool] = {}
    for member in members:
        name = member.name
        path = name[:-1] if member.is_dir else name
        if "\0" in name or "\\" in name:
            raise _broken(name, "its name holds a NUL or a backslash")
        if name.startswith("/"):
            raise _broken(name, "its name is absolute")
        parts = path.split("/")
        if ".." in parts:
            raise _broken(name, "its name leads out of the archive's root by `..`")
        if "" in parts or "." in parts:
            raise _broken(name, "its name is empty, or has an empty or `.` part")
        if len(member.raw) > 255 and _is_too_long(member.raw, parts):
            raise _broken(name, "its name is too long for a file system")
        if path in names:
            raise _broken(name, "its name stands twice in the directory")
        names[path] = member.is_dir
    folders: set[str] = set()
    for path in names:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            if names.get(parent) is False:
                raise _broken(parent, f"it is a file, and a folder that holds {path[:200]!r}")
            parent = parent.rpartition("/")[0]


def _is_too_long(raw: bytes, parts: list[str]) -> bool:
    return len(raw) > limits.PATH_BYTES or any(len(part.encode()) > 255 for part in parts)


def _in_order(members: list[ZipMember], start: int) -> tuple[ZipMember, ...]:
    """Sort by place, and give each its end; members that share bytes are refused."""
    members.sort(key=lambda member: member.offset)
    result = []
    for index, member in enumerate(members):
        end = members[index + 1].offset if index + 1 < len(members) else start
        if member.offset + _LOCAL.size + len(member.raw) + member.compressed > end:
            raise _broken(member.name, f"its bytes overlap those of {members[index + 1].name!r}")
        m = member  # written out: dataclasses.replace takes three times as long
        result.append(
            ZipMember(
                m.name,
                m.offset,
                m.compressed,
                m.size,
                m.crc,
                m.method,
                m.mode,
                m.is_dir,
                end,
                m.raw,
            )
        )
    return tuple(result)


def _check_local(head: bytes, member: ZipMember) -> int:
    """Compare the local header with the directory; gives its length (APPNOTE 4.3.7, 4.4.4)."""
    if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
        raise _broken(member.name, f"no local header stands at {member.offset:,}")
    _, _, flags, method, _, _, crc, compressed, size, name_size, extra_size = _LOCAL.unpack_from(
        head
    )
    data_at: int = _LOCAL.size + name_size + extra_size
    name = head[_LOCAL.size : _LOCAL.size + name_size]
    if name != member.raw:
        raise _broken(member.name, f"its local header names it {name[:200]!r}")
    if method != member.method or flags & (_ENCRYPTED | _PATCHED):
        raise _broken(member.name, f"its local header says method {method}, flags {flags:#06x}")
    if member.offset + data_at + member.compressed > member.end:
        raise _broken(member.name, "its bytes overlap what follows")
    extra = head[_LOCAL.size + name_size : data_at]
    size, compressed, _, _ = _widen(extra, member.name, member.raw, (size, compressed, 0, 0))
    # with bit 3 the three may stand behind the data instead, and are 0 here (4.4.4)
    late = bool(flags & 0x0008)
    for said, known, word in (
        (crc, member.crc, "CRC-32"),
        (compressed, member.compressed, "packed size"),
        (size, member.size, "size"),
    ):
        if said != known and not (late and said in (0, 2**32 - 1)):
            raise _broken(
                member.name, f"{word}: {said:,} in its local header, {known:,} in the directory"
            )
    return data_at


def _input(blob: Blob, member: ZipMember, first: bytes, at: int, left: int) -> Iterator[bytes]:
    if first:
        yield first
    while left:
        data = blob.pread(min(_IN_PIECES, left), at)
        if not data:
            raise _broken(member.name, f"the archive ends {left:,} bytes early")
        at += len(data)
        left -= len(data)
        yield data


def _inflate(member: ZipMember, source: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib_ng.decompressobj(-15)
    trailing = False
    try:
        for data in source:
            if inflater.eof:
                trailing = True
                break
            rest = data
            while rest and not inflater.eof:
                yield inflater.decompress(rest, _OUT_PIECES)
                rest = inflater.unconsumed_tail
        last = b"" if inflater.eof else inflater.flush()
    except zlib_ng.error as error:  # type: ignore[misc]  # the stub calls it an instance
        raise _broken(member.name, f"its deflate stream is damaged ({error})") from None
    if last:
        yield last
    if trailing or not inflater.eof or inflater.unused_data:
        raise _broken(member.name, "its deflate stream does not end where the directory says")

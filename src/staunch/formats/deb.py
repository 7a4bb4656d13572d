"""Read Debian binary packages (deb(5)): control members, entries, digests and ELF facts."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Final, Protocol

from staunch.errors import UntrustedError
from staunch.formats import ar, elf
from staunch.formats.deb822 import Stanza, parse_stanza
from staunch.formats.stream import blob_chunks, inflate
from staunch.formats.tar import TarMember, read_tar
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Kind, Member
from staunch.ports import Blob

CONTROL_MEMBERS = 1000
PART_BYTES = 255  # longest part of a path (Linux, NAME_MAX)
HELD_BYTES = 16 * limits.MIB  # an ELF file up to this size is held in memory while it is parsed

_CONTROL = {
    "control.tar" + ext: fmt
    for ext, fmt in (("", "none"), (".gz", "gz"), (".xz", "xz"), (".zst", "zst"))
}
_DATA = {
    "data.tar" + ext: fmt
    for ext, fmt in (
        ("", "none"),
        (".gz", "gz"),
        (".xz", "xz"),
        (".zst", "zst"),
        (".bz2", "bz2"),
        (".lzma", "lzma"),
    )
}
_VERSION = re.compile(rb"2\.[0-9]{1,9}\n")
_MEND: Final = "leave the package out, or report it to the archive that offers it"


class Spool(Protocol):
    """Takes the unpacked data archive, and gives it back: a ``ports.Pending``."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Read back what was written."""
        ...

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...


@dataclass(frozen=True, slots=True)
class DebContents:
    """What a ``.deb`` holds, before any rule.

    ``control`` are all members of the control archive, sorted by name. ``entries`` stand in
    archive order, as ``Part.entries`` wants them. ``elf`` pairs paths with facts, and
    ``damaged_elf`` pairs the paths of files that only begin like ELF with what is wrong.
    """

    control: tuple[tuple[str, bytes], ...]
    entries: tuple[Entry, ...]
    elf: tuple[tuple[str, ElfFacts], ...]
    damaged_elf: tuple[tuple[str, str], ...] = ()


def read_deb(
    blob: Blob,
    *,
    owner: str,
    spool: Spool | None = None,
    spill: Callable[[], IO[bytes]] = tempfile.TemporaryFile,
    max_bytes: int = limits.UNPACKED_BYTES,
    max_members: int = limits.MEMBERS,
) -> DebContents:
    """Read a package in one pass; memory stays under some 20 MiB besides the entries.

    Names lose ``./``; the root itself is left out; a directory listed twice alike counts once. A
    hard link names the first path of its file and takes over that one's mode and owner; one to a
    symbolic link becomes a symbolic link. Owners are numeric, as the archive has them.

    Args:
        blob: the package, verified.
        owner: ``Part.id``; set on each entry, and used in messages.
        spool: empty; takes the unpacked data archive, so that ``DebReader(spool, unpacked=True)`` need
            not inflate again. ELF files are then parsed from there, else from memory.
        spill: makes a file for ELF files over ``HELD_BYTES`` when there is no ``spool``.
        max_bytes: the most that the data archive may unpack to.
        max_members: the most that it may hold.

    Raises:
        UntrustedError: damaged, over a limit, or with names, links or kinds that no package has;
            the message names the member.

    Spec: deb(5). Members that begin with ``_``, and those behind the data archive, are ignored.
    Not checked here: control fields against an index, ``md5sums``, links against other packages.
    """
    control, data = _archives(blob, owner)
    members = _control(blob, control, owner)
    reader = _Contents(owner, spool, spill)
    chunks = _chunks(blob, data, _DATA, owner, max_bytes)
    if spool is not None:
        chunks = _spooled(chunks, spool)
    for member in read_tar(chunks, what=f"data archive of {owner}", max_members=max_members):
        reader.add(member)
    return reader.finish(members)


def data_members(
    blob: Blob, *, owner: str, max_bytes: int = limits.UNPACKED_BYTES
) -> Iterator[tuple[str, TarMember]]:
    """Path (without ``./``) and member of everything in the data archive, in its order.

    For looking one file up without reading the rest; stop when it was found.

    Raises:
        UntrustedError: damaged, over a limit, or with a name that leads out.
    """
    _, data = _archives(blob, owner)
    chunks = _chunks(blob, data, _DATA, owner, max_bytes)
    for member in read_tar(chunks, what=f"data archive of {owner}"):
        yield _path(member.name, owner), member


def control_fields(contents: DebContents) -> Stanza:
    """The fields of the package's ``control`` file; names in any spelling.

    Raises:
        UntrustedError: there is none, or it is not proper control data.
    """
    for name, data in contents.control:
        if name == "control":
            return parse_stanza(data, what="control file of the package")
    raise UntrustedError(
        "a package has no control file",
        why=f"its control archive holds {', '.join(name for name, _ in contents.control) or 'nothing'}",
        mend=_MEND,
    )


class DebReader:
    """Gives payloads of one package again, in archive order (a ``ports.PartReader``)."""

    def __init__(
        self,
        blob: Blob,
        *,
        unpacked: bool = False,
        owner: str = "package",
        max_bytes: int = limits.UNPACKED_BYTES,
        max_members: int = limits.MEMBERS,
    ) -> None:
        """Take the package, or (``unpacked``) what ``read_deb`` wrote to its spool."""
        self._blob, self._unpacked, self._owner = blob, unpacked, owner
        self._max_bytes, self._max_members = max_bytes, max_members

    def payloads(self, wanted: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Name and pieces of each wanted file (``Member.name``), in archive order; one pass.

        Reading stops behind the last wanted one: ``read_deb`` has seen the rest already.

        Raises:
            UntrustedError: damaged, or a wanted file is not there.
        """
        left = set(wanted)
        if not left:
            return
        if self._unpacked:
            chunks = blob_chunks(self._blob)
        else:
            _, data = _archives(self._blob, self._owner)
            chunks = _chunks(self._blob, data, _DATA, self._owner, self._max_bytes)
        what = f"data archive of {self._owner}"
        for member in read_tar(chunks, what=what, max_members=self._max_members):
            if member.kind is not Kind.FILE:
                continue
            path = _path(member.name, self._owner)
            if path in left:
                left.remove(path)
                yield path, member.pieces()
                if not left:
                    return
        raise _refused(self._owner, f"it was to hold the file {min(left)!r}, and does not")


class _Contents:
    """Collects the members of one data archive."""

    def __init__(self, owner: str, spool: Spool | None, spill: Callable[[], IO[bytes]]) -> None:
        self._owner, self._spool, self._spill = owner, spool, spill
        self._entries: dict[str, Entry] = {}
        self._elf: list[tuple[str, ElfFacts]] = []
        self._damaged: list[tuple[str, str]] = []

    def add(self, member: TarMember) -> None:
        """Take one member in."""
        path = _path(member.name, self._owner)
        if not path:
            if member.kind is not Kind.DIR:
                raise self._refused(f"member {member.name!r} would stand in for the root")
            return
        if member.kind is Kind.FILE:
            entry = self._file(member, path)
        elif member.kind is Kind.HARDLINK:
            entry = self._hard_link(member, path)
        else:
            entry = Entry(
                path,
                member.kind,
                0o777 if member.kind is Kind.SYMLINK else member.mode,
                member.uid,
                member.gid,
                link=member.link,
                owner=self._owner,
                xattrs=member.xattrs,
            )
        former = self._entries.setdefault(path, entry)
        if former is not entry and not (entry.kind is Kind.DIR and former == entry):
            raise self._refused(f"member {path!r} stands in it twice")

    def finish(self, control: tuple[tuple[str, bytes], ...]) -> DebContents:
        """All of it, once no member lies below something that is no directory."""
        fine: set[str] = {""}
        for path in self._entries:
            parent = path.rpartition("/")[0]
            while parent not in fine:
                above = self._entries.get(parent)
                if above is not None and above.kind is not Kind.DIR:
                    raise self._refused(
                        f"member {path!r} lies below the {above.kind.value} {parent!r}"
                    )
                fine.add(parent)
                parent = parent.rpartition("/")[0]
        return DebContents(
            control, tuple(self._entries.values()), tuple(self._elf), tuple(self._damaged)
        )

    def _file(self, member: TarMember, path: str) -> Entry:
        if member.size > limits.MEMBER_BYTES:
            raise self._refused(f"member {path!r} has {member.size} bytes")
        pieces = member.pieces()
        first = next(pieces, b"")
        while len(first) < 4 and (more := next(pieces, b"")):
            first += more
        hasher = hashlib.sha256(first)
        if first.startswith(elf.MAGIC):
            self._elf_file(member, path, first, pieces, hasher)
        else:
            for piece in pieces:
                hasher.update(piece)
        return Entry(
            path,
            Kind.FILE,
            member.mode,
            member.uid,
            member.gid,
            member.size,
            Digest(hasher.hexdigest()),
            body=Member(path),
            owner=self._owner,
            xattrs=member.xattrs,
        )

    def _elf_file(
        self,
        member: TarMember,
        path: str,
        first: bytes,
        pieces: Iterator[bytes],
        hasher: hashlib._Hash,
    ) -> None:
        """Hash the rest of an ELF file, and parse it from wherever it then lies."""
        if self._spool is not None:
            for piece in pieces:
                hasher.update(piece)
            spool, base = self._spool, member.offset
            self._parse(path, member.size, lambda size, offset: spool.pread(size, base + offset))
        elif member.size <= HELD_BYTES:
            held = bytearray(first)
            for piece in pieces:
                hasher.update(piece)
                held += piece
            view = bytes(held)
            self._parse(path, member.size, lambda size, offset: view[offset : offset + size])
        else:
            with self._spill() as file:
                file.write(first)
                for piece in pieces:
                    hasher.update(piece)
                    file.write(piece)

                def read(size: int, offset: int) -> bytes:
                    file.seek(offset)
                    return file.read(size)

                self._parse(path, member.size, read)

    def _parse(self, path: str, size: int, read: Callable[[int, int], bytes]) -> None:
        try:
            facts = elf.parse_elf(read, size, what=path)
        except UntrustedError as fault:
            self._damaged.append((path, fault.why))
        else:
            if facts is not None:
                self._elf.append((path, facts))

    def _hard_link(self, member: TarMember, path: str) -> Entry:
        target = _path(member.link, self._owner)
        former = self._entries.get(target)
        if former is not None and former.kind is Kind.HARDLINK:
            former = self._entries.get(former.link)
        if former is None or former.kind not in (Kind.FILE, Kind.SYMLINK):
            raise self._refused(f"member {path!r} is a hard link to {target!r}, no file before it")
        symlink = former.kind is Kind.SYMLINK
        return Entry(
            path,
            Kind.SYMLINK if symlink else Kind.HARDLINK,
            former.mode,
            former.uid,
            former.gid,
            link=former.link if symlink else former.path,
            owner=self._owner,
            xattrs=former.xattrs,
        )

    def _refused(self, why: str) -> UntrustedError:
        return _refused(self._owner, why)


def _archives(blob: Blob, owner: str) -> tuple[ar.ArMember, ar.ArMember]:
    """The control and the data archive, which must stand in this order behind the version."""
    members = iter(ar.read_members(blob, what=f"package {owner}"))
    head = next(members, None)
    if head is None or head.name != "debian-binary":
        raise _refused(
            owner, f"its first member is {head.name if head else None!r}, not `debian-binary`"
        )
    version = blob.pread(min(head.size, 64), head.offset)
    if not _VERSION.match(version):
        raise _refused(owner, f"its format is {version[:20]!r}, not 2.x")
    found: list[ar.ArMember] = []
    for names, told in ((_CONTROL, "control.tar"), (_DATA, "data.tar")):
        member = next((each for each in members if not each.name.startswith("_")), None)
        if member is None or member.name not in names:
            raise _refused(
                owner, f"the member {member.name if member else None!r} stands where {told} belongs"
            )
        found.append(member)
    for member in members:
        if member.name in _CONTROL or member.name in _DATA:
            raise _refused(owner, f"the member {member.name!r} is its second of this kind")
    return found[0], found[1]


def _chunks(
    blob: Blob, member: ar.ArMember, formats: dict[str, str], owner: str, max_bytes: int
) -> Iterator[bytes]:
    return inflate(
        blob_chunks(blob, member.offset, member.size),
        format=formats[member.name],
        max_bytes=max_bytes,
        packed_size=member.size,
        what=f"{member.name} of {owner}",
    )


def _spooled(chunks: Iterator[bytes], spool: Spool) -> Iterator[bytes]:
    for chunk in chunks:
        spool.write(chunk)
        yield chunk


def _control(blob: Blob, member: ar.ArMember, owner: str) -> tuple[tuple[str, bytes], ...]:
    chunks = _chunks(blob, member, _CONTROL, owner, limits.CONTROL_BYTES)
    found: dict[str, bytes] = {}
    what = f"control archive of {owner}"
    for each in read_tar(chunks, what=what, max_members=CONTROL_MEMBERS):
        name = _path(each.name, owner)
        if each.kind is Kind.DIR and not name:
            continue
        if each.kind is not Kind.FILE or "/" in name or not name:
            raise _refused(owner, f"its control archive holds {each.name!r}, a {each.kind.value}")
        if name in found:
            raise _refused(owner, f"its control archive holds {name!r} twice")
        found[name] = b"".join(each.pieces())
    return tuple(sorted(found.items()))


def _path(name: str, owner: str) -> str:
    """The name without ``./``, doubled slashes and a closing slash; "" is the root."""
    path = name[2:] if name.startswith("./") else name
    if len(path) > limits.PATH_BYTES:
        raise _refused(owner, f"it holds a name of {len(path)} characters, {path[:80]!r}…")
    parts = path.split("/")
    if name.startswith("/") or ".." in parts:
        raise _refused(owner, f"member {name[:200]!r} points out of it")
    if "" in parts or "." in parts:
        parts = [part for part in parts if part not in ("", ".")]
        path = "/".join(parts)
    if 4 * len(path) > PART_BYTES and (
        len(path.encode()) > limits.PATH_BYTES
        or max(len(part.encode()) for part in parts) > PART_BYTES
    ):
        raise _refused(owner, f"the name {path[:80]!r}… is too long for a file system")
    return path


def _refused(owner: str, why: str) -> UntrustedError:
    return UntrustedError(f"package {owner} is refused", why=why, mend=_MEND)

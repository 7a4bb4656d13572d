"""A wheel as part of an image: every file where pip would leave it on Debian, without running pip.

Debian's own Python takes ``/usr/local`` as pip's prefix (scheme ``posix_local``), so code goes to
``usr/local/lib/pythonX.Y/dist-packages``, scripts to ``usr/local/bin``. The interpreter of scripts
is ``/usr/bin/pythonX.Y``: it exists in both profiles, and stays right when the image has another
``python3``. Byte code is a part of its own (``assemble.bytecode``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from posixpath import relpath

from packaging.version import InvalidVersion, Version

from staunch.errors import UntrustedError
from staunch.formats.wheel import (
    EntryPoint,
    RecordRow,
    parse_entry_points,
    parse_metadata_identity,
    parse_record,
    parse_wheel_file,
    same_project,
    write_record,
)
from staunch.formats.zip import ZipMember, pieces, read_directory, read_member
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Kind, Member
from staunch.model.lock import LockedWheel
from staunch.model.part import Part, PartKind
from staunch.model.purl import Purl
from staunch.ports import Verified

_METADATA = ("METADATA", "WHEEL", "RECORD", "entry_points.txt")
_SCRIPT = """\
#!{interpreter}
import sys
from {module} import {name}
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit({call}())
"""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a wheel's schemes lie in the image, without leading slash (sysconfig, posix_local)."""

    python: str
    project: str

    @property
    def library(self) -> str:
        return library_path(self.python)

    @property
    def interpreter(self) -> str:
        return f"/usr/bin/python{self.python}"

    def scheme(self, key: str) -> str | None:
        return {
            "purelib": self.library,
            "platlib": self.library,
            "scripts": "usr/local/bin",
            "data": "usr/local",
            "headers": f"usr/local/include/python{self.python}/{self.project}",
        }.get(key)


def library_path(python: str) -> str:
    """The folder for wheels of Debian's Python ``X.Y``, relative to the image's root."""
    return f"usr/local/lib/python{python}/dist-packages"


def wheel_part(locked: LockedWheel, verified: Verified, *, python: str) -> Part:
    """Plan where each file of a wheel goes; payloads are not inflated where RECORD has their hash.

    Args:
        locked: the lock's line; ``direct`` decides about ``REQUESTED``.
        verified: the wheel itself.
        python: ``3.13``.

    Returns:
        The part with entries in archive order, then those that pip generates: script wrappers,
        ``INSTALLER``, ``REQUESTED``, ``RECORD``. Folders are not listed. Sizes and digests are
        what RECORD promises; who writes the payloads compares (``ports.PartReader``), or
        ``check_record`` does.

    Raises:
        UntrustedError: the archive is hostile, is not the locked project, or RECORD lies about
            names or sizes.

    Spec: binary distribution format (PEP 427), PEP 376, PEP 627; entry points specification.
    Not done: ``direct_url.json``, since a lock names files by index, never by URL.
    """
    if verified.digest != locked.digest:
        raise _broken(
            locked.filename, f"its digest is {verified.digest}, the lock's {locked.digest}"
        )
    members = read_directory(verified.blob)
    dist_info = _dist_info(members, locked)
    metadata = _read_metadata(verified, members, dist_info)
    project = _check_identity(metadata, locked)
    layout = _Layout(python, project)
    points = parse_entry_points(metadata.get("entry_points.txt", b""))
    record = {row.path: row for row in parse_record(metadata["RECORD"])}
    _check_listed(members, record, locked)
    owner = f"wheel:{locked.name}"
    entries: dict[str, Entry] = {}
    for member in members:
        target = _target(member, layout, points, locked)
        if target is None or member.name == f"{dist_info}/RECORD":
            continue
        if target in entries:
            raise _broken(locked.filename, f"two of its files would be {target!r}")
        entries[target] = _entry(verified, member, target, record.get(member.name), layout, owner)
    for entry in _generated(points, layout, dist_info, locked, owner):
        entries[entry.path] = entry
    part = Part(
        id=owner,
        kind=PartKind.WHEEL,
        name=locked.name,
        version=locked.version,
        purl=Purl.make("pypi", "", locked.name, locked.version),
        digest=verified.digest,
        size=verified.blob.size,
        metadata=tuple((name, metadata[name]) for name in _METADATA if name in metadata),
        entries=tuple(entries.values()),
    )
    record_entry = Entry.inline(f"{layout.library}/{dist_info}/RECORD", b"", owner=owner)
    part = replace(part, entries=(*part.entries, record_entry))
    return replace(part, entries=(*part.entries[:-1], rewrite_record(part, part.entries)))


def rewrite_record(part: Part, kept: Collection[Entry]) -> Entry:
    """``RECORD`` of what is really in the image.

    Args:
        part: as ``wheel_part`` gave it.
        kept: entries of this part that stayed, and those made from it (byte code).

    Returns:
        The entry for ``*.dist-info/RECORD``. Byte code is listed without hash, as pip does.

    Raises:
        UntrustedError: the part has no RECORD.
    """
    record = min(  # the shallowest: wheels such as setuptools carry others' dist-info inside
        (entry for entry in part.entries if entry.path.endswith(".dist-info/RECORD")),
        key=lambda entry: entry.path.count("/"),
        default=None,
    )
    if record is None:
        raise _broken(part.id, "it has no RECORD")
    library = record.path.rsplit("/", 2)[0]
    rows = [RecordRow(relpath(record.path, library))]
    published = {entry.path for entry in part.entries}
    prefix = f"{library}/"
    for entry in kept:
        if entry.kind == Kind.DIR or entry.path == record.path:
            continue
        path = entry.path
        name = path[len(prefix) :] if path.startswith(prefix) else relpath(path, library)
        made = path.endswith(".pyc") and path not in published
        if made or entry.digest is None:
            rows.append(RecordRow(name))
        else:
            rows.append(RecordRow(name, "sha256", entry.digest.hex, entry.size))
    return Entry.inline(record.path, write_record(rows), owner=part.id)


class WheelReader:
    """Gives a wheel's payloads in archive order (implements ``ports.PartReader``)."""

    def __init__(self, verified: Verified) -> None:
        """Read the directory once; payloads are read when asked for."""
        self._blob = verified.blob
        self._members = read_directory(verified.blob)

    def payloads(self, wanted: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """For each wanted member, in archive order: its name and pieces of at most 8 MiB.

        Raises:
            UntrustedError: a member is missing or damaged.
        """
        left = set(wanted)
        for member in self._members:
            if member.name in left:
                left.remove(member.name)
                yield member.name, pieces(self._blob, member)
        if left:
            raise _broken(min(left), "the archive has no member of that name")


def check_record(part: Part, verified: Verified) -> None:
    """Inflate the whole wheel and compare it with what its RECORD promised.

    Raises:
        UntrustedError: a file has another size or hash; both values are named.
    """
    promised = {e.body.name: e for e in part.entries if isinstance(e.body, Member)}
    for name, payload in WheelReader(verified).payloads(promised):
        hasher = hashlib.sha256()
        for piece in payload:
            hasher.update(piece)
        entry = promised[name]
        if entry.digest is None or hasher.hexdigest() != entry.digest.hex:
            raise _broken(
                part.id, f"RECORD gives {name!r} {entry.digest}, it is sha256:{hasher.hexdigest()}"
            )


def _broken(name: str, why: str) -> UntrustedError:
    return UntrustedError(
        f"wheel {name[:200]!r} is not what it says",
        why=why,
        mend="take another release, and tell its publisher; `staunch store verify` checks the store",
    )


def _dist_info(members: tuple[ZipMember, ...], locked: LockedWheel) -> str:
    """The one ``*.dist-info`` folder, which must be the locked project's."""
    found = sorted(
        {top for m in members if (top := m.name.split("/", 1)[0]).endswith(".dist-info")}
    )
    if len(found) != 1:
        raise _broken(locked.filename, f"it has {len(found)} .dist-info folders: {found[:5]}")
    name = found[0].removesuffix(".dist-info").rpartition("-")[0]
    if not same_project(name, locked.name):
        raise _broken(locked.filename, f"it holds {found[0]!r}, not {locked.name}")
    return found[0]


def _read_metadata(
    verified: Verified, members: tuple[ZipMember, ...], dist_info: str
) -> dict[str, bytes]:
    by_name = {member.name: member for member in members}
    found = {}
    for name in _METADATA:
        if member := by_name.get(f"{dist_info}/{name}"):
            found[name] = read_member(verified.blob, member)
        elif name != "entry_points.txt":
            raise _broken(dist_info, f"it has no {name}")
    parse_wheel_file(found["WHEEL"])
    return found


def _check_identity(metadata: dict[str, bytes], locked: LockedWheel) -> str:
    """Compare METADATA with the lock; gives the project's name as METADATA spells it."""
    name, version = parse_metadata_identity(metadata["METADATA"])
    if not same_project(name, locked.name) or not _same_version(version, locked.version):
        raise _broken(
            locked.filename,
            f"its METADATA says {name[:100]} {version[:100]}, the lock {locked.name} {locked.version}",
        )
    return name


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _check_listed(
    members: tuple[ZipMember, ...], record: dict[str, RecordRow], locked: LockedWheel
) -> None:
    """Each file RECORD lists must be there with that size."""
    sizes = {member.name: member.size for member in members if not member.is_dir}
    for path, row in record.items():
        if path.endswith("/"):
            continue
        if path not in sizes:
            raise _broken(locked.filename, f"RECORD lists {path[:200]!r}, which is not in it")
        if row.size is not None and row.size != sizes[path] and row.algorithm:
            raise _broken(
                locked.filename,
                f"RECORD gives {path[:200]!r} {row.size:,} bytes, it has {sizes[path]:,}",
            )


def _target(
    member: ZipMember, layout: _Layout, points: tuple[EntryPoint, ...], locked: LockedWheel
) -> str | None:
    """Where a member goes, or None for folders and setuptools' old script wrappers."""
    if member.is_dir:
        return None
    top, _, rest = member.name.partition("/")
    if not top.endswith(".data"):
        return f"{layout.library}/{member.name}"
    key, _, path = rest.partition("/")
    folder = layout.scheme(key)
    if folder is None or not path:
        raise _broken(
            locked.filename,
            f"{member.name[:200]!r} is not below purelib, platlib, scripts, data or headers",
        )
    if key == "scripts" and _is_wrapper(path.rpartition("/")[2], points):
        return None
    return f"{folder}/{path}"


def _is_wrapper(name: str, points: tuple[EntryPoint, ...]) -> bool:
    for suffix in (".exe", "-script.py", ".pya"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return any(p.name == name for p in points if p.group in ("console_scripts", "gui_scripts"))


def _entry(
    verified: Verified,
    member: ZipMember,
    target: str,
    row: RecordRow | None,
    layout: _Layout,
    owner: str,
) -> Entry:
    """A file of the archive; ``#!python`` of a script is made real, as pip does."""
    executable = bool(member.mode & 0o111)
    mode = 0o755 if executable else 0o644
    if ".data/scripts/" in member.name and (data := _fixed_script(verified, member, layout)):
        return Entry.inline(target, data, mode=mode, owner=owner)
    if row is not None and row.algorithm == "sha256":
        digest = Digest(row.digest)
    else:
        digest = _hash(verified, member, row)
    return Entry(
        target,
        Kind.FILE,
        mode,
        size=member.size,
        digest=digest,
        body=Member(member.name),
        owner=owner,
    )


def _fixed_script(verified: Verified, member: ZipMember, layout: _Layout) -> bytes | None:
    head = next(pieces(verified.blob, member), b"")
    if not head.startswith(b"#!python"):
        return None
    _, newline, rest = read_member(verified.blob, member).partition(b"\n")
    return f"#!{layout.interpreter}\n".encode() + (rest if newline else b"")


def _hash(verified: Verified, member: ZipMember, row: RecordRow | None) -> Digest:
    """Inflate a file that RECORD gives no sha256 for; a stronger hash it gives is compared."""
    hasher = hashlib.sha256()
    other = hashlib.new(row.algorithm) if row is not None and row.algorithm else None
    for piece in pieces(verified.blob, member):
        hasher.update(piece)
        if other is not None:
            other.update(piece)
    if row is not None and other is not None and other.hexdigest() != row.digest:
        raise _broken(
            member.name, f"RECORD gives it {row.algorithm} {row.digest}, it has {other.hexdigest()}"
        )
    return Digest(hasher.hexdigest())


def _generated(
    points: tuple[EntryPoint, ...],
    layout: _Layout,
    dist_info: str,
    locked: LockedWheel,
    owner: str,
) -> Iterator[Entry]:
    """What pip writes itself, but RECORD."""
    for point in _scripts(points, layout.python):
        if "/" in point.name or "\0" in point.name or point.name in (".", ".."):
            raise _broken(locked.filename, f"its entry point {point.name[:200]!r} is no file name")
        if not point.attr:
            raise _broken(
                locked.filename, f"its entry point {point.name[:200]!r} names no function to call"
            )
        text = _SCRIPT.format(
            interpreter=layout.interpreter,
            module=point.module,
            name=point.attr.split(".")[0],
            call=point.attr,
        )
        yield Entry.inline(f"usr/local/bin/{point.name}", text.encode(), mode=0o755, owner=owner)
    home = f"{layout.library}/{dist_info}"
    yield Entry.inline(f"{home}/INSTALLER", b"pip\n", owner=owner)
    if locked.direct:
        yield Entry.inline(f"{home}/REQUESTED", b"", owner=owner)


def _scripts(points: tuple[EntryPoint, ...], python: str) -> Iterator[EntryPoint]:
    """Console scripts, then gui scripts; pip's and easy_install's are named for the target Python."""
    console = {point.name: point for point in points if point.group == "console_scripts"}
    major = python.partition(".")[0]
    for name, pattern, names in (
        ("pip", r"pip(\d+(\.\d+)?)?", ("pip", f"pip{major}", f"pip{python}")),
        ("easy_install", r"easy_install(-\d+\.\d+)?", ("easy_install", f"easy_install-{python}")),
    ):
        if point := console.pop(name, None):
            console = {key: each for key, each in console.items() if not re.fullmatch(pattern, key)}
            yield from (replace(point, name=each) for each in names)
    yield from console.values()
    yield from (point for point in points if point.group == "gui_scripts")

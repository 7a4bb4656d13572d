"""Debian packages as parts: contents cached by digest, checked against the lock."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from staunch.assemble.tree import Replaces
from staunch.ecosystems.deb import ECOSYSTEM
from staunch.errors import HostError, SpecError, UntrustedError
from staunch.formats.deb import DebContents, DebReader, control_fields, read_deb
from staunch.formats.relations import Relation, parse_relations
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Kind, Member
from staunch.model.lock import LockedPackage
from staunch.model.part import Part, PartKind
from staunch.model.purl import Purl
from staunch.model.spec import Foundation
from staunch.ports import Blob, PartReader, Store, Verified

RECORD = "contents"  # kind of the store's records
FORMAT = "deb/3"  # goes into their keys: raise it when what is recorded changes
SPOOL_BYTES = 1 * limits.GIB  # of unpacked packages kept for the second pass
_EXPANSION = 6  # unpacked : packed, a guess to decide whether a package is worth keeping


class Spools:
    """Unpacked data archives in a scratch folder, so that writing segments need not inflate again.

    Thread-safe. Bounded by ``max_bytes``; what does not fit is inflated a second time.
    """

    def __init__(self, folder: Path, *, max_bytes: int = SPOOL_BYTES) -> None:
        """Keep them in ``folder``, which its owner removes."""
        self._folder, self._left, self._begun = folder, max_bytes, 0
        self._done: dict[Digest, SpooledBlob] = {}
        self._lock = threading.Lock()

    def begin(self, digest: Digest, packed_size: int) -> Spool | None:
        """A file to unpack into, or None when there is no room."""
        with self._lock:
            if packed_size * _EXPANSION > self._left:
                return None
            self._begun += 1  # two may read one package at once, each into a file of its own
            path = self._folder / f"{digest.hex}-{self._begun}.tar"
        try:
            return Spool(path)
        except OSError as error:
            raise _host(path, error) from error

    def finish(self, digest: Digest, spool: Spool) -> None:
        """Keep what was written, if there is still room for it."""
        spool.close()
        with self._lock:
            if spool.size <= self._left and digest not in self._done:
                self._left -= spool.size
                self._done[digest] = SpooledBlob(spool.path, spool.size)
                return
        spool.discard()

    def get(self, digest: Digest) -> Blob | None:
        """The unpacked data archive of the package of that digest, or None."""
        with self._lock:
            return self._done.get(digest)


class Spool:
    """One file being written (a ``formats.deb.Spool``)."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        self.path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        view = memoryview(data)
        try:
            while view:
                done = os.write(self._handle, view)
                self._size += done
                view = view[done:]
        except OSError as error:
            raise _host(self.path, error) from error

    def pread(self, size: int, offset: int) -> bytes:
        """Read back what was written."""
        return os.pread(self._handle, size, offset)

    def close(self) -> None:
        """Close the file; it can be closed again."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def discard(self) -> None:
        """Close and remove the file."""
        self.close()
        with suppress(FileNotFoundError):
            self.path.unlink()


class SpooledBlob:
    """A finished spool; holds no file open between reads, since there may be hundreds."""

    def __init__(self, path: Path, size: int) -> None:
        """Read ``path``, of ``size`` bytes."""
        self._path, self._size = path, size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def pread(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes from ``offset``."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(handle, size, offset)
            finally:
                os.close(handle)
        except OSError as error:
            raise _host(self._path, error) from error


def deb_part(
    locked: LockedPackage,
    verified: Verified,
    store: Store,
    foundation: Foundation,
    *,
    spools: Spools | None = None,
) -> Part:
    """The part of one package: from the store's record where it has one, else read whole.

    Raises:
        UntrustedError: the package is damaged or unsafe, or is another than the lock says.
    """
    owner = f"deb:{locked.name}"
    contents = _contents(owner, verified, store, spools)
    fields = control_fields(contents)
    for field, wanted in (
        ("Package", locked.name),
        ("Version", locked.version),
        ("Architecture", locked.architecture),
    ):
        got = fields.get(field) or ""
        if got != wanted:
            raise UntrustedError(
                f"{locked.filename} is another package than the lock says",
                why=f"{field}: wanted {wanted}, its control file says {got[:100] or 'nothing'}",
                mend="lock again (`staunch lock`); if it persists, report the archive",
            )
    return Part(
        id=owner,
        kind=PartKind.DEB,
        name=locked.name,
        version=locked.version,
        purl=deb_purl(locked, foundation),
        digest=verified.digest,
        size=verified.blob.size,
        metadata=contents.control,
        entries=contents.entries,
        elf=contents.elf,
        damaged_elf=contents.damaged_elf,
    )


def deb_purl(locked: LockedPackage, foundation: Foundation) -> Purl:
    """The package's purl, as syft makes it: ``upstream`` is the source where it differs."""
    upstream = ""
    if (locked.source, locked.source_version) != (locked.name, locked.version):
        upstream = locked.source
        if locked.source_version != locked.version:
            upstream += f"@{locked.source_version}"
    return Purl.make(
        "deb",
        foundation.distribution,
        locked.name,
        locked.version,
        arch=locked.architecture,
        distro=f"{foundation.distribution}-{foundation.release}",
        upstream=upstream,
    )


def deb_reader(verified: Verified, owner: str, *, spools: Spools | None = None) -> PartReader:
    """Gives the payloads of the package ``owner`` (``Part.id``), in one pass."""
    unpacked = spools.get(verified.digest) if spools is not None else None
    if unpacked is not None:
        return DebReader(unpacked, unpacked=True, owner=owner)
    return DebReader(verified.blob, owner=owner)


def replaces_of(parts: Iterable[Part]) -> Replaces:
    """Which part may take over whose files, by ``Replaces`` (Debian Policy 7.6.1).

    Raises:
        UntrustedError: a relation that is none.
    """
    versions: dict[str, str] = {}
    relations: dict[str, tuple[Relation, ...]] = {}
    for part in parts:
        if part.kind is not PartKind.DEB:
            continue
        versions[part.id] = part.version
        fields = control_fields(DebContents(part.metadata, (), ()))
        text = fields.get("Replaces")
        if text:
            groups = parse_relations(
                text, architecture=fields.get("Architecture") or "all", what=f"{part.id}: Replaces"
            )
            relations[part.id] = tuple(relation for group in groups for relation in group)

    def replaces(winner: str, loser: str) -> bool:
        return any(
            f"deb:{relation.name}" == loser and _holds(versions[loser], relation)
            for relation in relations.get(winner, ())
            if loser in versions
        )

    return replaces


_COMPARE: dict[str, Callable[[int], bool]] = {
    "": lambda sign: True,
    "<<": lambda sign: sign < 0,
    "<=": lambda sign: sign <= 0,
    "=": lambda sign: sign == 0,
    ">=": lambda sign: sign >= 0,
    ">>": lambda sign: sign > 0,
}


def _holds(version: str, relation: Relation) -> bool:
    if not relation.operator:
        return True
    try:
        have, want = ECOSYSTEM.order(version), ECOSYSTEM.order(relation.version)
    except SpecError:
        return False
    return _COMPARE[relation.operator]((have > want) - (have < want))


def _contents(owner: str, verified: Verified, store: Store, spools: Spools | None) -> DebContents:
    key = Digest.of(f"{FORMAT}\0{owner}\0{verified.digest}".encode()).hex
    data = store.record(RECORD, key)
    if data is not None:
        return _parse(data, owner)
    spool = spools.begin(verified.digest, verified.blob.size) if spools is not None else None
    try:
        contents = read_deb(verified.blob, owner=owner, spool=spool)
        if spools is not None and spool is not None:
            spools.finish(verified.digest, spool)
    except BaseException:
        if spool is not None:
            spool.discard()
        raise
    store.put_record(RECORD, key, _render(contents))
    return contents


def _render(contents: DebContents) -> bytes:
    document = {
        "control": [[name, data.decode("latin-1")] for name, data in contents.control],
        "entries": [
            [
                entry.path,
                entry.kind.value,
                entry.mode,
                entry.uid,
                entry.gid,
                entry.size,
                entry.digest.hex if entry.digest else "",
                entry.link,
                [[name, value.decode("latin-1")] for name, value in entry.xattrs],
            ]
            for entry in contents.entries
        ],
        "elf": [[path, astuple(facts)] for path, facts in contents.elf],
        "damaged_elf": contents.damaged_elf,
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _parse(data: bytes, owner: str) -> DebContents:
    """Read what ``_render`` wrote. The store gives records only when their digest holds."""
    document = json.loads(data)
    return DebContents(
        tuple((name, text.encode("latin-1")) for name, text in document["control"]),
        tuple(_entry(fields, owner) for fields in document["entries"]),
        tuple((path, _facts(fields)) for path, fields in document["elf"]),
        tuple((path, why) for path, why in document["damaged_elf"]),
    )


_KINDS = {kind.value: kind for kind in Kind}


def _entry(fields: Any, owner: str) -> Entry:  # noqa: ANN401  # JSON that _render wrote
    path, kind, mode, uid, gid, size, digest, link, xattrs = fields
    return Entry(
        path,
        _KINDS[kind],
        mode,
        uid,
        gid,
        size,
        Digest(digest) if digest else None,
        link,
        Member(path) if kind == "file" else None,
        owner,
        tuple((name, value.encode("latin-1")) for name, value in xattrs),
    )


def _facts(fields: Any) -> ElfFacts:  # noqa: ANN401  # JSON that _render wrote
    return ElfFacts(*_frozen(fields))


def _frozen(value: Any) -> tuple[Any, ...]:  # noqa: ANN401  # JSON that _render wrote
    """Lists, which JSON gives, as the tuples that were written."""
    return tuple(_frozen(each) if isinstance(each, list) else each for each in value)


def _host(path: Path, error: OSError) -> HostError:
    return HostError(
        f"cannot unpack into {path.parent}",
        why=error.strerror or str(error),
        mend="make room on that file system, or put the store elsewhere (STAUNCH_STORE)",
    )

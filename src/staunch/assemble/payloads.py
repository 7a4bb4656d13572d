"""Payloads of a tree, read at need: small ones whole (scripts, tables), large ones in pieces."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from staunch.errors import SpecError, UntrustedError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Inline, Kind, Member, Slice
from staunch.ports import PartReader, Store

RECORD = "payloads"  # kind of the store's records


class Payloads:
    """Reads payloads of entries whole, one pass for each part; checked against their digests.

    What was read from a package is kept in the store, by content: the next build asks for the same
    few scripts and tables, and need not open the archives for them.
    """

    def __init__(self, reader_of: Callable[[str], PartReader], store: Store) -> None:
        """``reader_of`` gives the reader of a part by its id; ``store`` holds blobs of slices."""
        self._reader_of = reader_of
        self._readers: dict[str, PartReader] = {}  # a wheel's directory is read once
        self.store = store

    def read(self, entry: Entry, *, max_bytes: int = limits.METADATA_BYTES) -> bytes:
        """The payload of one FILE; see ``read_many``."""
        return self.read_many((entry,), max_bytes=max_bytes)[entry.path]

    def read_many(
        self, entries: Iterable[Entry], *, max_bytes: int = limits.METADATA_BYTES
    ) -> dict[str, bytes]:
        """The payloads of FILE entries by path; other kinds are left out.

        Pass ``tree.contents(entry)`` for hard links. Memory is the sum of what is asked for.

        Raises:
            SpecError: an entry is larger than ``max_bytes``.
            UntrustedError: a payload is missing, or is not what its digest says.
        """
        found: dict[str, bytes] = {}
        members: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        for entry in entries:
            if entry.kind is not Kind.FILE:
                continue
            if entry.size > max_bytes:
                raise SpecError(
                    f"{entry.owner}: {entry.path} is too large to be read whole",
                    why=f"it has {entry.size} bytes, and {max_bytes} is the limit for such a file",
                    mend="the package is broken; report it, or leave it out",
                )
            match entry.body:
                case Inline(data):
                    found[entry.path] = data
                case Slice(blob, offset):
                    found[entry.path] = _checked(entry, self._slice(entry, blob, offset))
                case Member(name):
                    members[entry.owner][name].append(entry)
                case None:
                    raise _missing(entry)
        for owner in sorted(members):
            found |= self._members(owner, members[owner])
        return found

    def stream_many(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """The payloads of FILE entries in pieces, checked against their digests at their end.

        The pieces of one must be used up before the next is asked for. Of entries that are one
        member of one part, the first comes alone.

        Raises:
            UntrustedError: a payload is missing, or is not what its digest says.
        """
        members: dict[str, dict[str, Entry]] = defaultdict(dict)
        for entry in entries:
            if entry.kind is not Kind.FILE:
                continue
            if isinstance(entry.body, Member):
                members[entry.owner].setdefault(entry.body.name, entry)
            else:
                yield entry, iter((self.read(entry, max_bytes=entry.size),))
        for owner in sorted(members):
            left = set(members[owner])
            for name, pieces in self._reader(owner).payloads(sorted(left)):
                entry = members[owner][name]
                yield entry, _watched(entry, pieces)
                left.discard(name)
            if left:
                raise _missing(members[owner][min(left)])

    def _reader(self, owner: str) -> PartReader:
        if owner not in self._readers:
            self._readers[owner] = self._reader_of(owner)
        return self._readers[owner]

    def _slice(self, entry: Entry, digest: Digest, offset: int) -> bytes:
        blob = self.store.standing(digest)
        if blob is None:
            raise _missing(entry)
        return blob.pread(entry.size, offset)

    def _members(self, owner: str, wanted: dict[str, list[Entry]]) -> dict[str, bytes]:
        """Payloads by path: as an earlier build kept them, else out of the archive."""
        names = sorted(wanted)
        key = _key([wanted[name][0] for name in names]) if not owner.startswith("files:") else ""
        data = self.store.record(RECORD, key) if key else None
        if data is not None and len(data) == sum(wanted[name][0].size for name in names):
            found: dict[str, bytes] = {}
            at = 0
            for name in names:
                piece = data[at : at + wanted[name][0].size]
                at += len(piece)
                found.update((entry.path, _checked(entry, piece)) for entry in wanted[name])
            return found
        read = self._archive(owner, names, wanted)
        if key:
            self.store.put_record(RECORD, key, b"".join(read[name] for name in names))
        return {entry.path: _checked(entry, read[name]) for name in names for entry in wanted[name]}

    def _archive(
        self, owner: str, names: list[str], wanted: dict[str, list[Entry]]
    ) -> dict[str, bytes]:
        """Payloads by member's name, in one pass over the part's archive."""
        found: dict[str, bytes] = {}
        for name, pieces in self._reader(owner).payloads(names):
            if name not in wanted:
                raise UntrustedError(
                    f"{owner}: the reader gave {name!r}",
                    why=f"it was asked for {len(wanted)} other members",
                    mend="remove the package from the store (`staunch store verify`) and try again",
                )
            found[name] = _checked(wanted[name][0], _gather(wanted[name][0], pieces))
        if left := wanted.keys() - found.keys():
            raise _missing(wanted[min(left)][0])
        return found


def _key(entries: list[Entry]) -> str:
    """Of what the entries hold, whatever package brings it; empty where a digest is not known.

    The spec's own files are not asked for: they are at hand, and may hold what nobody should copy.
    """
    state = hashlib.sha256(b"staunch payloads 1\n")
    for entry in entries:
        if entry.digest is None:
            return ""
        state.update(f"{entry.digest.hex} {entry.size}\n".encode())
    return state.hexdigest()


def _gather(entry: Entry, pieces: Iterator[bytes]) -> bytes:
    """Join ``pieces``, refusing more than the entry says."""
    return b"".join(_limited(entry, pieces))


def _limited(entry: Entry, pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > entry.size:
            raise UntrustedError(
                f"{entry.owner}: {entry.path} is longer than its archive says",
                why=f"{entry.size} bytes were promised, and more than {size} came",
                mend="remove the package from the store (`staunch store verify`) and try again",
            )
        yield piece


def _watched(entry: Entry, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass pieces on, and check at their end that they were the entry's."""
    hasher, size = hashlib.sha256(), 0
    for piece in _limited(entry, pieces):
        hasher.update(piece)
        size += len(piece)
        yield piece
    got = Digest(hasher.hexdigest())
    if size != entry.size or (entry.digest is not None and got != entry.digest):
        raise _changed(entry, got, size)


def _checked(entry: Entry, data: bytes) -> bytes:
    got = Digest.of(data)
    if len(data) != entry.size or (entry.digest is not None and got != entry.digest):
        raise _changed(entry, got, len(data))
    return data


def _changed(entry: Entry, got: Digest, size: int) -> UntrustedError:
    why = f"wanted {entry.digest} ({entry.size} bytes), got {got} ({size} bytes)"
    if entry.owner.startswith("files:"):
        return UntrustedError(
            f"{entry.path}, one of the spec's files, has changed while the image was built",
            why=why,
            mend="build again when nothing writes to it",
        )
    return UntrustedError(
        f"{entry.owner}: {entry.path} has changed",
        why=why,
        mend="remove the package from the store (`staunch store verify`) and try again",
    )


def _missing(entry: Entry) -> UntrustedError:
    return UntrustedError(
        f"{entry.owner}: {entry.path} cannot be read",
        why="its part gives no payload of that name",
        mend="remove the package from the store (`staunch store verify`) and try again",
    )

"""Small payloads of a tree, read at need: scripts, tables, dynamic sections.

Large payloads never come this way; segments stream them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from staunch.errors import SpecError, UntrustedError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Inline, Kind, Member, Slice
from staunch.ports import PartReader, Store


class Payloads:
    """Reads payloads of entries whole, one pass for each part; checked against their digests."""

    def __init__(self, reader_of: Callable[[str], PartReader], store: Store) -> None:
        """``reader_of`` gives the reader of a part by its id; ``store`` holds blobs of slices."""
        self._reader_of = reader_of
        self._readers: dict[str, PartReader] = {}  # a wheel's directory is read once
        self._store = store

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
            found.update(self._members(owner, members[owner]))
        return found

    def _slice(self, entry: Entry, digest: Digest, offset: int) -> bytes:
        blob = self._store.blob(digest)
        if blob is None:
            raise _missing(entry)
        return blob.pread(entry.size, offset)

    def _members(self, owner: str, wanted: dict[str, list[Entry]]) -> Iterator[tuple[str, bytes]]:
        left = set(wanted)
        if owner not in self._readers:
            self._readers[owner] = self._reader_of(owner)
        for name, pieces in self._readers[owner].payloads(sorted(wanted)):
            entries = wanted.get(name)
            if entries is None:
                raise UntrustedError(
                    f"{owner}: the reader gave {name!r}",
                    why=f"it was asked for {len(wanted)} other members",
                    mend="remove the package from the store (`staunch store verify`) and try again",
                )
            data = _gather(entries[0], pieces)
            left.discard(name)
            for entry in entries:
                yield entry.path, _checked(entry, data)
        if left:
            raise _missing(wanted[min(left)][0])


def _gather(entry: Entry, pieces: Iterator[bytes]) -> bytes:
    """Join ``pieces``, refusing more than the entry says."""
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > entry.size:
            raise UntrustedError(
                f"{entry.owner}: {entry.path} is longer than its archive says",
                why=f"{entry.size} bytes were promised, and more than {size} came",
                mend="remove the package from the store (`staunch store verify`) and try again",
            )
        parts.append(piece)
    return b"".join(parts)


def _checked(entry: Entry, data: bytes) -> bytes:
    got = Digest.of(data)
    if len(data) != entry.size or (entry.digest is not None and got != entry.digest):
        raise UntrustedError(
            f"{entry.owner}: {entry.path} has changed",
            why=f"wanted {entry.digest} ({entry.size} bytes), got {got} ({len(data)} bytes)",
            mend="if it is one of the spec's files, build again; "
            "else remove the package from the store (`staunch store verify`)",
        )
    return data


def _missing(entry: Entry) -> UntrustedError:
    return UntrustedError(
        f"{entry.owner}: {entry.path} cannot be read",
        why="its part gives no payload of that name",
        mend="remove the package from the store (`staunch store verify`) and try again",
    )

"""One path of an image's tree, and where its bytes are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from staunch.model.digest import Digest

EPOCH = 315532800  # 1980-01-01T00:00:00Z, the mtime of every entry


class Kind(Enum):
    """What an entry is. Other kinds (devices, sockets, FIFOs) never enter a tree."""

    DIR = "dir"
    FILE = "file"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


@dataclass(frozen=True, slots=True)
class Inline:
    """The payload itself: small, made by Staunch."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the owning part's own archive (``.deb``, wheel, folder), by its name there."""

    name: str


@dataclass(frozen=True, slots=True)
class Slice:
    """``size`` bytes (``Entry.size``) at ``offset`` of a blob that stands in the store."""

    blob: Digest
    offset: int


Body = Inline | Member | Slice


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree.

    ``path`` is relative to the root, without ``./`` or a leading ``/``, parts joined by ``/``,
    and (once in a tree) canonical: no directory link lies on the way. ``mode`` holds the
    permission bits (0o7777). ``size``, ``digest`` and ``body`` describe the payload of a FILE;
    ``digest`` is what the payload must hash to. ``link`` is the target of a SYMLINK, verbatim,
    or the path inside the image of a HARDLINK's target. ``owner`` is the ``Part.id`` it came with.
    """

    path: str
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    digest: Digest | None = None
    link: str = ""
    body: Body | None = None
    owner: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def inline(cls, path: str, data: bytes, *, mode: int = 0o644, owner: str = "") -> Entry:
        """A regular file that Staunch writes itself."""
        return cls(path, Kind.FILE, mode, 0, 0, len(data), Digest.of(data), "", Inline(data), owner)

    @classmethod
    def symlink(cls, path: str, target: str, *, owner: str = "") -> Entry:
        """A symbolic link that Staunch makes itself."""
        return cls(path, Kind.SYMLINK, 0o777, link=target, owner=owner)

    @classmethod
    def directory(
        cls, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, owner: str = ""
    ) -> Entry:
        """A directory that Staunch makes itself."""
        return cls(path, Kind.DIR, mode, uid, gid, owner=owner)

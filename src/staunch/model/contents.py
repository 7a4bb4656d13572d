"""The files of an image: as its list promises them, as its layers hold them, and the difference."""

from __future__ import annotations

from dataclasses import dataclass

from staunch.model.digest import Digest
from staunch.model.entry import Kind
from staunch.model.inventory import Gap


@dataclass(frozen=True, slots=True)
class FileFact:
    """One path of an image.

    ``kind`` is DIR, FILE or SYMLINK; a hard link is told as the file that it is. ``xattrs`` pairs
    names with sha256 (hex) of their values, sorted. ``special`` says what a device or FIFO is ("" for
    everything else). ``owner`` is the part that it came with, where a list tells it; ``layer`` the
    number of the layer that brought it, base first, -1 where that is not known.
    """

    path: str
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    digest: Digest | None = None
    size: int = -1
    link: str = ""
    xattrs: tuple[tuple[str, str], ...] = ()
    special: str = ""
    owner: str = ""
    layer: int = -1


@dataclass(frozen=True, slots=True)
class FileChange:
    """A path at which two images (or a list and an image) differ.

    ``before`` None: it is extra (added); ``after`` None: it is missing (removed). Else ``what``
    names what changed: ``type``, ``content``, ``mode``, ``owner``, ``link``, ``xattrs``.
    """

    path: str
    before: FileFact | None
    after: FileFact | None
    what: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``extra``, ``missing`` or ``changed``."""
        return "extra" if self.before is None else "missing" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class Contents:
    """Every path of an image, sorted, and what could not be told (sorted): names that lead out."""

    files: tuple[FileFact, ...]
    gaps: tuple[Gap, ...] = ()

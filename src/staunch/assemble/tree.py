"""One tree in memory: an image's entries by canonical path, links resolved inside it.

The root is its own parent, so nothing can point out; merged ``/usr`` works because every path is
canonicalised when it is added. Nothing here touches a file system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from dataclasses import replace as changed

from staunch.assemble.tree_paths import ROOT, Paths, join, not_a_directory, words
from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.entry import Entry, Kind
from staunch.model.part import Part

Replaces = Callable[[str, str], bool]
"""Whether the part of the first id may take over files of the part of the second."""


def never(winner: str, loser: str) -> bool:
    """No part takes over another's files."""
    del winner, loser
    return False


@dataclass(frozen=True, slots=True, order=True)
class Diversion:
    """``dpkg-divert``: ``path`` of every part but ``by`` lands at ``to``; both image paths.

    ``by`` is a ``Part.id``, or empty for a local diversion (it moves everyone's).
    """

    path: str
    to: str
    by: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path that two parts own with differing contents; ``kept`` is in the tree."""

    kept: Entry
    lost: Entry


class Tree(Paths):
    """A mutable file tree; each path once, every ancestor present.

    Adding and looking up cost a few dictionary accesses. A path that two parts own is settled by
    ``replaces``, then by identical contents; what is left is remembered as a conflict, and
    ``raise_conflicts`` tells of those that are still there after the rules.
    """

    __slots__ = ("_conflicts", "_diversions")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Start with ``entries``; hard links are added after the files they name."""
        super().__init__()
        self._diversions: dict[str, Diversion] = {}
        self._conflicts: dict[str, Conflict] = {}
        links = []
        for entry in entries:
            if entry.kind is Kind.HARDLINK:
                links.append(entry)
            else:
                self.add(entry)
        for entry in links:
            self.add(entry)

    @classmethod
    def finished(cls, entries: Iterable[Entry]) -> Tree:
        """A tree of what another tree held: canonical, sorted, with every ancestor.

        Not checked here: any of that.
        """
        tree = cls()
        for entry in entries:
            path = entry.path
            parent, _, name = path.rpartition("/")
            if entry.kind is Kind.DIR:
                tree._kids[path] = set()
            elif entry.kind is Kind.HARDLINK:
                tree._hard.setdefault(entry.link, set()).add(path)
            tree._entries[path] = entry
            tree._kids[parent].add(name)
        tree._order = list(tree._entries)
        return tree

    # looking up

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Conflicts that still stand, sorted by path."""
        return tuple(self._conflicts[path] for path in sorted(self._conflicts))

    def raise_conflicts(self) -> None:
        """Raise SpecError naming every path that two parts own with differing contents."""
        if not (left := self.conflicts):
            return
        first = left[0]
        rest = "".join(f"; {c.kept.path} ({c.kept.owner}, {c.lost.owner})" for c in left[1:20])
        more = f"; and {len(left) - 20} more" if len(left) > 20 else ""
        raise SpecError(
            f"both {first.kept.owner} and {first.lost.owner} own {first.kept.path}{rest}{more}",
            why="the contents differ, and neither `Replaces` nor a diversion says which one counts",
            mend="leave one of the two packages out, or pin versions that agree",
        )

    # changing

    def add(self, entry: Entry, *, replaces: Replaces = never) -> Entry:
        """Add ``entry`` where its path leads; gives what stands there afterwards.

        Missing ancestors are made (0755, root). Shared directories keep the first one's mode.

        Raises:
            SpecError: a path that is no path, leads through a file or a circle, or that another
                entry with differing contents holds already.
        """
        kept, lost = self._add(entry, replaces)
        if lost is not None:
            raise SpecError(
                f"both {kept.owner or 'the tree'} and {entry.owner or 'a new entry'}"
                f" own {kept.path}",
                why=f"the first is {words(kept)}, the second {words(lost)}",
                mend="leave one of the two out, or pin versions that agree",
            )
        return kept

    def add_part(self, part: Part, *, replaces: Replaces = never) -> None:
        """Add all entries of ``part``, diverted where a diversion says so.

        A clash that ``replaces`` does not settle is kept as a conflict (the first one stays).
        A hard link whose target another part holds becomes a file of its own.

        Raises:
            SpecError: as ``add``, but for clashes; or a hard link that leaves its part.
        """
        links: list[Entry] = []
        plain = not self._diversions
        for entry in part.entries:
            if entry.kind is Kind.HARDLINK:
                links.append(entry)
            elif not (plain and entry.kind is Kind.FILE and self._put_new(entry)):
                self._add_diverted(entry, replaces)
        if not links:
            return
        own = {each.path: each for each in part.entries}
        for entry in sorted(links, key=lambda each: each.path):
            target = own.get(entry.link)
            for _ in range(limits.LINK_DEPTH):
                if target is None or target.kind is not Kind.HARDLINK:
                    break
                target = own.get(target.link)
            if target is None or target.kind is not Kind.FILE:
                raise SpecError(
                    f"{part.id}: {entry.path} is a hard link to {entry.link}",
                    why="that is no file of the same package",
                    mend="the package is broken; report it to its maintainers, or leave it out",
                )
            diversion = self._diversion(target)
            landed = self.get(diversion.to if diversion else target.path)
            if landed is not None and landed.kind is Kind.FILE and landed.owner == entry.owner:
                self._add_diverted(changed(entry, link=landed.path), replaces)
            else:
                self._add_diverted(changed(target, path=entry.path), replaces)

    def replace(self, entry: Entry) -> Entry:
        """Put ``entry`` where its path leads, whatever stood there; gives it as placed.

        Raises:
            SpecError: it would take the place of a directory that is not empty.
        """
        path = self._place(entry)
        old = self._entries.get(path)
        if old is not None and not (old.kind is Kind.DIR and entry.kind is Kind.DIR):
            if self._kids.get(path):
                raise SpecError(
                    f"cannot put {words(entry)} at {path}",
                    why=f"a directory with {len(self._kids[path])} entries stands there",
                    mend="choose another path for it",
                )
            self._drop(path)
        return self._put(path, entry)

    def change(self, entry: Entry) -> None:
        """Set other attributes (mode, owner ids, contents) of the entry at ``entry.path``.

        The path must be canonical, and the kind stay as it is. Hard links share mode and owner ids.
        """
        old = self._entries.get(entry.path)
        if old is None or old.kind is not entry.kind or old.kind is Kind.HARDLINK:
            raise SpecError(
                f"cannot change {entry.path} into {words(entry)}",
                why=f"there is {words(old) if old else 'nothing'} at that path",
                mend="use `replace` for what becomes something else",
            )
        self._entries[entry.path] = entry
        for link in self._hard.get(entry.path, ()):
            self._entries[link] = changed(
                self._entries[link],
                mode=entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                xattrs=entry.xattrs,
            )

    def remove(self, path: str, *, recursive: bool = False) -> tuple[Entry, ...]:
        """Take out the entry at ``path`` (a last link is not followed); gives what went, sorted.

        Where the target of hard links goes, the first of them becomes the file. Removing what is
        not there does nothing.

        Raises:
            SpecError: a directory that is not empty, without ``recursive``; or the root.
        """
        here = self._walk(path, follow=False)
        if here == "":
            raise SpecError(
                "cannot remove the root of the tree",
                why="every other path lies in it",
                mend="name a path below it",
            )
        entry = self._entries.get(here) if here is not None else None
        if here is None or entry is None:
            return ()
        gone = [entry]
        if self._kids.get(here):
            if not recursive:
                raise SpecError(
                    f"cannot remove {here}",
                    why=f"it is a directory with {len(self._kids[here])} entries",
                    mend="remove what lies in it first",
                )
            below = sorted(self._below(here))
            gone += [self._entries[each] for each in below]
            doomed = {here, *below}
            for each in below:
                self._promote(each, doomed)
            for each in reversed(below):
                self._drop(each)
        self._drop(here)
        return tuple(gone)

    def take(self, path: str) -> Entry | None:
        """Take out what is no directory at the canonical ``path``; gives it, or None when absent.

        As ``remove``, which resolves the path first; for the many that rules take out.
        """
        entry = self._entries.get(path)
        if entry is None or entry.kind is Kind.DIR:
            return None
        self._drop(path)
        return entry

    def take_empty(self, path: str) -> None:
        """Take out the directory at the canonical ``path``, if it is one and nothing lies in it."""
        if path and path in self._kids and not self._kids[path]:
            self._drop(path)

    def rename(self, path: str, to: str) -> Entry | None:
        """Move one entry that is not a directory, keeping hard links to it; None when absent."""
        entry = self.get(path)
        if entry is None or entry.kind is Kind.DIR:
            return None
        links = sorted(self._hard.pop(entry.path, ()))
        self._drop(entry.path)
        moved = self.add(changed(entry, path=to))
        for link in links:
            self._entries[link] = changed(self._entries[link], link=moved.path)
        if links:
            self._hard[moved.path] = set(links)
        return moved

    def divert(self, diversion: Diversion) -> None:
        """Heed ``diversion`` from now on, and for what is there already."""
        path = self._walk(diversion.path, follow=False)
        if path is None:
            raise not_a_directory(diversion.path)
        self._diversions[path] = diversion
        entry = self._entries.get(path)
        if entry is not None and entry.owner != diversion.by:
            self.rename(path, diversion.to)

    # inside

    def _add_diverted(self, entry: Entry, replaces: Replaces) -> None:
        if self._diversions and (diversion := self._diversion(entry)):
            entry = changed(entry, path=diversion.to)
        kept, lost = self._add(entry, replaces)
        if lost is not None:
            self._conflicts[kept.path] = Conflict(kept, lost)

    def _diversion(self, entry: Entry) -> Diversion | None:
        if not self._diversions or entry.kind is Kind.DIR:
            return None
        path = self._walk(entry.path, follow=False)
        diversion = self._diversions.get(path) if path is not None else None
        return diversion if diversion is not None and diversion.by != entry.owner else None

    def _add(self, entry: Entry, replaces: Replaces) -> tuple[Entry, Entry | None]:
        """Add; gives what stands there and, on a clash that nothing settles, the one that lost."""
        if entry.path == "":
            return ROOT, None
        path = self._place(entry)
        old = self._entries.get(path)
        if old is None:
            return self._put(path, entry), None
        if entry.kind is Kind.DIR:
            return self._add_directory(path, old, entry)
        if old.kind is Kind.DIR:
            return self._add_over_directory(path, old, entry)
        if self._points_at(entry, path):
            return old, None
        if self._points_at(old, path):
            self._drop(path)
            return self._put(path, entry), None
        if old.owner != entry.owner and replaces(entry.owner, old.owner):
            if replaces(old.owner, entry.owner) and self._same(old, entry):
                return old, None
            self._drop(path)
            return self._put(path, entry), None
        if self._same(old, entry) or (
            old.owner != entry.owner and replaces(old.owner, entry.owner)
        ):
            return old, None
        return old, entry

    def _add_directory(self, path: str, old: Entry, entry: Entry) -> tuple[Entry, Entry | None]:
        if old.kind is Kind.DIR:
            if path in self._implied:
                self._implied.discard(path)
                return self._put(path, entry), None
            return old, None
        if old.kind is Kind.SYMLINK:  # a directory may land on a link to one
            target = self._walk(path, follow=True)
            there = self._entries.get(target) if target else None
            if target == "" or there is None or there.kind is Kind.DIR:
                return self._entries[self._parent(path, entry.owner)] if target else old, None
        return old, entry

    def _add_over_directory(
        self, path: str, old: Entry, entry: Entry
    ) -> tuple[Entry, Entry | None]:
        """A link takes the place of a directory by moving what lies in it to where it leads."""
        if entry.kind is not Kind.SYMLINK:
            return old, entry
        start = "" if entry.link.startswith("/") else path.rpartition("/")[0]
        target = self._walk(join(start, entry.link), follow=True)
        if target is None or target == path or target.startswith(path + "/"):
            return old, entry
        there = self._entries.get(target)
        if there is not None and there.kind is not Kind.DIR:
            return old, entry
        moved = self.remove(path, recursive=True)
        placed = self._put(path, entry)
        # Entries first and hard links after them, whose targets may have moved along.
        for each in sorted(moved, key=lambda e: (e.kind is Kind.HARDLINK, e.path)):
            if each.path == path:
                continue
            link = each.link
            if each.kind is Kind.HARDLINK and link.startswith(path + "/"):
                link = join(target, link[len(path) + 1 :])
            _, lost = self._add(changed(each, link=link), never)
            if lost is not None:
                return placed, lost
        return placed, None

    def _points_at(self, entry: Entry, path: str) -> bool:
        """Whether ``entry`` is a link that leads to its own place (``/usr/bin/x`` to ``/bin/x``)."""
        if entry.kind is not Kind.SYMLINK:
            return False
        start = "" if entry.link.startswith("/") else path.rpartition("/")[0]
        return self._walk(join(start, entry.link), follow=False) == path

    def _same(self, old: Entry, new: Entry) -> bool:
        if old.kind is Kind.SYMLINK or new.kind is Kind.SYMLINK:
            return old.kind is new.kind and old.link == new.link
        one = self.contents(old)
        two = self._entries.get(new.link) if new.kind is Kind.HARDLINK else new
        return two is not None and one.digest is not None and one.digest == two.digest

    def _drop(self, path: str) -> None:
        self._conflicts.pop(path, None)
        super()._drop(path)

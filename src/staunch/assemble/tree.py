"""One tree in memory: an image's entries by canonical path, links resolved inside it.

The root is its own parent, so nothing can point out; merged ``/usr`` works because every path is
canonicalised when it is added. Nothing here touches a file system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from dataclasses import replace as changed
from functools import lru_cache

from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.entry import Entry, Kind
from staunch.model.part import Part

ROOT = Entry.directory("")

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


class Tree:
    """A mutable file tree; each path once, every ancestor present.

    Adding and looking up cost a few dictionary accesses. A path that two parts own is settled by
    ``replaces``, then by identical contents; what is left is remembered as a conflict, and
    ``raise_conflicts`` tells of those that are still there after the rules.
    """

    __slots__ = (
        "_added",
        "_canonical",
        "_conflicts",
        "_diversions",
        "_entries",
        "_hard",
        "_implied",
        "_kids",
        "_order",
    )

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Start with ``entries``; hard links are added after the files they name."""
        self._entries: dict[str, Entry] = {}
        self._order: list[str] = []  # paths as last sorted; may hold some that are gone
        self._added: list[str] = []  # paths put since then
        self._kids: dict[str, set[str]] = {"": set()}  # directory -> names
        # directory as written -> canonical; it counts only while that is a directory
        self._canonical: dict[str, str] = {"": ""}
        self._implied: set[str] = set()  # directories no part listed so far
        self._hard: dict[str, set[str]] = {}  # file -> hard links to it
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

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.get(path) is not None

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Every entry but the root, sorted by path."""
        return iter(list(map(self._entries.__getitem__, self._sorted())))

    def _sorted(self) -> list[str]:
        """Every path, sorted. Most asks come after nothing, or some removals, so that is cheap."""
        entries = self._entries
        if self._added:
            # two runs, one of them sorted already: sorting them takes little more than merging
            both = [*self._order, *sorted(self._added)]
            both.sort()
            self._order, self._added = list(dict.fromkeys(both)), []
        if len(self._order) != len(entries):
            self._order = [path for path in self._order if path in entries]
        return self._order

    def get(self, path: str, *, follow: bool = False) -> Entry | None:
        """The entry at ``path`` (links on the way are followed; the last one when asked), or None.

        The root is a directory entry with an empty path. A dangling link followed gives None.
        """
        exact = self._entries.get(path)
        if exact is not None and not (follow and exact.kind is Kind.SYMLINK):
            return exact
        found = self._walk(path, follow=follow)
        if found is None:
            return None
        return self._entries.get(found) if found else ROOT

    def resolve(self, path: str, *, follow: bool = False) -> str:
        """The canonical form of ``path``, which need not exist; the root is the empty string.

        Raises:
            SpecError: the links run in a circle, or a file lies on the way.
        """
        found = self._walk(path, follow=follow)
        if found is None:
            raise _not_a_directory(path)
        return found

    def children(self, path: str) -> list[Entry]:
        """What lies directly in the directory ``path``, sorted; empty when it is no directory."""
        here = self._walk(path, follow=True)
        if here is None:
            return []
        names = self._kids.get(here, ())
        return [self._entries[_join(here, name)] for name in sorted(names)]

    def holds(self, path: str) -> bool:
        """Whether something is at ``path`` itself, which is canonical: no link is followed."""
        return path in self._entries

    def is_empty(self, path: str) -> bool:
        """Whether nothing lies in the directory at the canonical ``path``, or none is there."""
        return not self._kids.get(path)

    def under(self, prefix: str) -> Iterator[Entry]:
        """Everything below the directory ``prefix`` (itself left out), sorted by path."""
        here = self._walk(prefix, follow=True)
        if here is None:
            return iter(())
        return iter([self._entries[path] for path in sorted(self._below(here))])

    def contents(self, entry: Entry) -> Entry:
        """The FILE that ``entry`` is: itself, or the target of a hard link."""
        return self._entries[entry.link] if entry.kind is Kind.HARDLINK else entry

    def entries(self) -> tuple[Entry, ...]:
        """Every entry but the root, sorted by path."""
        return tuple(self)

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
                why=f"the first is {_words(kept)}, the second {_words(lost)}",
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
                    f"cannot put {_words(entry)} at {path}",
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
                f"cannot change {entry.path} into {_words(entry)}",
                why=f"there is {_words(old) if old else 'nothing'} at that path",
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
            raise _not_a_directory(diversion.path)
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
        target = self._walk(_join(start, entry.link), follow=True)
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
                link = _join(target, link[len(path) + 1 :])
            _, lost = self._add(changed(each, link=link), never)
            if lost is not None:
                return placed, lost
        return placed, None

    def _points_at(self, entry: Entry, path: str) -> bool:
        """Whether ``entry`` is a link that leads to its own place (``/usr/bin/x`` to ``/bin/x``)."""
        if entry.kind is not Kind.SYMLINK:
            return False
        start = "" if entry.link.startswith("/") else path.rpartition("/")[0]
        return self._walk(_join(start, entry.link), follow=False) == path

    def _same(self, old: Entry, new: Entry) -> bool:
        if old.kind is Kind.SYMLINK or new.kind is Kind.SYMLINK:
            return old.kind is new.kind and old.link == new.link
        one = self.contents(old)
        two = self._entries.get(new.link) if new.kind is Kind.HARDLINK else new
        return two is not None and one.digest is not None and one.digest == two.digest

    def _place(self, entry: Entry) -> str:
        """The canonical path of ``entry``, its ancestors made."""
        parent, _, name = entry.path.rpartition("/")
        bad = name in ("", ".", "..") or "\0" in name or entry.path.startswith("/")
        if bad or len(entry.path) > limits.PATH_BYTES:
            raise _no_path(entry)
        canonical = self._canonical.get(parent)
        if canonical is None or canonical not in self._kids:
            if not _is_plain(parent):
                raise _no_path(entry)
            canonical = self._parent(parent, entry.owner)
        return f"{canonical}/{name}" if canonical else name

    def _parent(self, path: str, owner: str) -> str:
        """The canonical directory that ``path`` leads to, made where it is missing."""
        found = self._walk(path, follow=True)
        if found is None:
            raise _not_a_directory(path)
        at = ""
        for name in found.split("/") if found else ():
            at = _join(at, name)
            here = self._entries.get(at)
            if here is None:
                self._put(at, Entry.directory(at, owner=owner))
                self._implied.add(at)
            elif here.kind is not Kind.DIR:
                raise _not_a_directory(at)
        self._canonical[path] = found
        return found

    def _put_new(self, entry: Entry) -> bool:
        """Put a file at its own path, if that is canonical, proper and free: the common case."""
        path = entry.path
        parent, _, name = path.rpartition("/")
        if (
            self._canonical.get(parent) != parent
            or parent not in self._kids
            or path in self._entries
            or not name
            or name[0] == "."
            or "\0" in name
            or path[0] == "/"
            or len(path) > limits.PATH_BYTES
        ):
            return False
        self._added.append(path)
        self._entries[path] = entry
        self._kids[parent].add(name)
        return True

    def _put(self, path: str, entry: Entry) -> Entry:
        parent, _, name = path.rpartition("/")
        if name.startswith(".wh."):
            raise _whiteout(entry, path)
        if entry.path != path:
            entry = changed(entry, path=path)
        if entry.kind is Kind.HARDLINK:
            entry = self._hard_link(entry)
        if entry.kind is Kind.DIR:
            self._kids.setdefault(path, set())
        if path not in self._entries:
            self._added.append(path)
        self._entries[path] = entry
        self._kids[parent].add(name)
        return entry

    def _hard_link(self, entry: Entry) -> Entry:
        found = self._walk(entry.link, follow=False)
        target = self._entries.get(found) if found else None
        if target is not None and target.kind is Kind.HARDLINK:
            target = self._entries[target.link]
        if target is None or target.kind is not Kind.FILE or target.owner != entry.owner:
            raise SpecError(
                f"{entry.path} is a hard link to {entry.link}",
                why="that is no file of the same package",
                mend="the package is broken; report it to its maintainers, or leave it out",
            )
        self._hard.setdefault(target.path, set()).add(entry.path)
        return entry if entry.link == target.path else changed(entry, link=target.path)

    def _promote(self, path: str, doomed: Iterable[str] = ()) -> None:
        """Make the first surviving hard link to ``path`` the file; the others follow it."""
        links = self._hard.get(path)
        if not links:
            return
        survivors = sorted(links.difference(doomed))
        if not survivors:
            return
        del self._hard[path]
        heir, *others = survivors
        old = self._entries[heir]
        file = self._entries[path]
        self._entries[heir] = changed(file, path=heir, owner=old.owner)
        for each in others:
            self._entries[each] = changed(self._entries[each], link=heir)
        if others:
            self._hard[heir] = set(others)
        for each in links.difference(survivors):  # these go with it
            self._hard.setdefault(path, set()).add(each)

    def _drop(self, path: str) -> None:
        entry = self._entries[path]
        if entry.kind is Kind.FILE:
            if path in self._hard:
                self._promote(path)
                self._hard.pop(path, None)
        elif entry.kind is Kind.HARDLINK:
            self._hard.get(entry.link, set()).discard(path)
        elif entry.kind is Kind.DIR:
            self._kids.pop(path, None)
            self._implied.discard(path)
        else:  # who came by this link comes another way now
            self._canonical = {"": ""}
        self._conflicts.pop(path, None)
        del self._entries[path]
        parent, _, name = path.rpartition("/")
        self._kids[parent].discard(name)

    def _below(self, here: str) -> list[str]:
        found: list[str] = []
        todo = [here]
        while todo:
            at = todo.pop()
            for name in self._kids.get(at, ()):
                path = f"{at}/{name}" if at else name
                found.append(path)
                if path in self._kids:
                    todo.append(path)
        return found

    def _walk(self, path: str, *, follow: bool) -> str | None:
        """``path`` with every link resolved; None when a file lies on the way.

        Raises:
            SpecError: the links run in a circle.
        """
        entries = self._entries
        todo = path.split("/")
        todo.reverse()
        at, depth = "", 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                at = at.rpartition("/")[0]
                continue
            here = f"{at}/{name}" if at else name
            entry = entries.get(here)
            if entry is None or entry.kind is Kind.DIR or not (todo or follow):
                at = here
            elif entry.kind is Kind.SYMLINK:
                depth += 1
                if depth > limits.LINK_DEPTH:
                    raise SpecError(
                        f"too many links on the way to {path[:200]}",
                        why=f"more than {limits.LINK_DEPTH} were followed; the last was "
                        f"{here} -> {entry.link}, so they probably run in a circle",
                        mend="remove one of the links, or leave out what ships it",
                    )
                if entry.link.startswith("/"):
                    at = ""
                todo.extend(reversed(entry.link.split("/")))
            elif todo:
                return None
            else:
                at = here
        return at


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


@lru_cache(maxsize=4096)
def _is_plain(path: str) -> bool:
    return "\0" not in path and all(name not in ("", ".", "..") for name in path.split("/"))


def _words(entry: Entry) -> str:
    match entry.kind:
        case Kind.SYMLINK:
            return f"a link to {entry.link}"
        case Kind.HARDLINK:
            return f"a hard link to {entry.link}"
        case Kind.DIR:
            return "a directory"
        case Kind.FILE:
            return f"a file of {entry.size} bytes ({entry.digest})"


def _no_path(entry: Entry) -> SpecError:
    return SpecError(
        f"{entry.owner or 'an entry'}: {entry.path[:200]!r} is no path of an image",
        why="a path is relative, shorter than 4096 bytes, and its parts are not empty, `.` or `..`",
        mend="the package is broken; report it to its maintainers, or leave it out",
    )


def _whiteout(entry: Entry, path: str) -> SpecError:
    return SpecError(
        f"{entry.owner or 'an entry'}: {path[:200]!r} would take other files out of the image",
        why="in layers, a name that begins with `.wh.` removes what lies below it "
        "(OCI image-spec, layer.md, “Whiteouts”)",
        mend="leave it out with `exclude:`; a package that ships one is not to be trusted",
    )


def _not_a_directory(path: str) -> SpecError:
    return SpecError(
        f"cannot reach {path[:200]}",
        why="a file lies on the way, where a directory should",
        mend="leave out one of the packages that ship them",
    )

"""Where things are in a tree: canonical paths, links resolved, hard links kept in step.

The root is its own parent, so nothing can point out; merged ``/usr`` works because every path is
canonicalised when it is added. Nothing here touches a file system.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace as changed
from functools import lru_cache

from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.entry import Entry, Kind

__all__ = ["ROOT", "Paths", "join", "not_a_directory", "words"]

ROOT = Entry.directory("")


class Paths:
    """Entries by canonical path, every ancestor present; what leads where.

    ``assemble.tree.Tree`` is the whole: this part knows of places, not of whose they are.
    """

    __slots__ = ("_added", "_canonical", "_entries", "_hard", "_implied", "_kids", "_order")

    def __init__(self) -> None:
        """Nothing but the root."""
        self._entries: dict[str, Entry] = {}
        self._order: list[str] = []  # paths as last sorted; may hold some that are gone
        self._added: list[str] = []  # paths put since then
        self._kids: dict[str, set[str]] = {"": set()}  # directory -> names
        # directory as written -> canonical; it counts only while that is a directory
        self._canonical: dict[str, str] = {"": ""}
        self._implied: set[str] = set()  # directories no part listed so far
        self._hard: dict[str, set[str]] = {}  # file -> hard links to it

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
            raise not_a_directory(path)
        return found

    def children(self, path: str) -> list[Entry]:
        """What lies directly in the directory ``path``, sorted; empty when it is no directory."""
        here = self._walk(path, follow=True)
        if here is None:
            return []
        names = self._kids.get(here, ())
        return [self._entries[join(here, name)] for name in sorted(names)]

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

    # inside

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
            raise not_a_directory(path)
        at = ""
        for name in found.split("/") if found else ():
            at = join(at, name)
            here = self._entries.get(at)
            if here is None:
                self._put(at, Entry.directory(at, owner=owner))
                self._implied.add(at)
            elif here.kind is not Kind.DIR:
                raise not_a_directory(at)
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


def join(parent: str, name: str) -> str:
    """A path from a directory and a name; the root is empty."""
    return f"{parent}/{name}" if parent else name


@lru_cache(maxsize=4096)
def _is_plain(path: str) -> bool:
    return "\0" not in path and all(name not in ("", ".", "..") for name in path.split("/"))


def words(entry: Entry) -> str:
    """What an entry is, for messages."""
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


def not_a_directory(path: str) -> SpecError:
    """A file lies on the way to ``path``."""
    return SpecError(
        f"cannot reach {path[:200]}",
        why="a file lies on the way, where a directory should",
        mend="leave out one of the packages that ship them",
    )

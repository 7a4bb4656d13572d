"""Which file a library's name is for whom, as ``ld.so`` would find it (ld.so(8))."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from staunch.assemble.checks.image import Image, lookup
from staunch.model.elf import ElfFacts
from staunch.model.entry import Kind


class Resolver:
    """Finds libraries as ``ld.so`` would, in the tree; remembers what it found."""

    def __init__(self, image: Image, objects: Mapping[str, ElfFacts]) -> None:
        self._image, self._objects = image, objects
        self._found: dict[tuple[str, str], str | None] = {}
        env = dict(image.spec.env).get("LD_LIBRARY_PATH", "")
        self._env = tuple(each.strip("/") for each in env.split(":") if each.startswith("/"))
        self._default: dict[str, str | None] = {}

    def find(self, name: str, path: str, inherited: Sequence[str]) -> str | None:
        """The file that ``name`` is for the object at ``path``; None when it would not be found.

        ``inherited`` are DT_RPATH folders of those that loaded it. Order: RPATH (without RUNPATH),
        the environment, RUNPATH, the cache's and the default folders.
        """
        if "/" in name:
            return self._library(name.lstrip("/"))
        key = (path, name)
        if not inherited and key in self._found:
            return self._found[key]
        facts = self._objects[path]
        own = self.folders(path)
        if facts.rpath_only or not facts.runpath:
            order = (*own, *inherited, *self._env)
        else:
            order = (*self._env, *own)
        found = next((f for folder in order if (f := self._library(f"{folder}/{name}"))), None)
        if found is None:
            found = self._by_default(name)
        if not inherited:
            self._found[key] = found
        return found

    def folders(self, path: str) -> tuple[str, ...]:
        """The object's RUNPATH or RPATH, with its tokens replaced (ld.so(8))."""
        origin = path.rpartition("/")[0]
        found = []
        for text in self._objects[path].runpath:
            for token, value in (
                ("ORIGIN", f"/{origin}"),
                ("LIB", f"lib/{self._image.triplet}"),
                ("PLATFORM", self._image.triplet.partition("-")[0]),
            ):
                text = text.replace(f"${{{token}}}", value).replace(f"${token}", value)
            if text.startswith("/"):
                found.append(text.strip("/"))
        return tuple(found)

    def used(self) -> set[str]:
        """Objects that another one needs."""
        return {
            found
            for path, facts in self._objects.items()
            for name in facts.needed
            if (found := self.find(name, path, ())) is not None and found != path
        }

    def still_missing(self, missing: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Those that are missing also when the object is loaded by what needs it.

        A library is matched by its soname before any folder is searched, so one that its loader
        needs as well is there already; and RPATH is inherited.
        """
        if not missing:
            return
        users: dict[str, list[str]] = {}
        for path, facts in self._objects.items():
            for name in facts.needed:
                found = self.find(name, path, ())
                if found is not None and found != path:
                    users.setdefault(found, []).append(path)
        outcome: dict[str, set[tuple[str, str]]] = {}
        for path, name in missing:
            roots = self._roots(path, users)
            for root in roots:
                if root not in outcome:
                    outcome[root] = self._load(root)
            if not roots or any((path, name) in outcome[root] for root in roots):
                yield path, name

    def _roots(self, path: str, users: Mapping[str, Sequence[str]]) -> list[str]:
        """Programs and modules that lead to ``path``; none if it is one that nothing needs."""
        seen = {path}
        todo = [path]
        roots: list[str] = []
        while todo:
            at = todo.pop()
            above = users.get(at, ())
            if not above and at != path:
                roots.append(at)
            for each in above:
                if each not in seen:
                    seen.add(each)
                    todo.append(each)
        return sorted(roots)

    def _load(self, root: str) -> set[tuple[str, str]]:
        """Load ``root`` breadth first, as ``ld.so`` does; what it would not find."""
        loaded = {root.rpartition("/")[2], self._objects[root].soname}
        lacking: set[tuple[str, str]] = set()
        todo: deque[tuple[str, tuple[str, ...]]] = deque([(root, ())])
        while todo:
            path, inherited = todo.popleft()
            facts = self._objects[path]
            passed_on = (*self.folders(path), *inherited) if facts.rpath_only else inherited
            for name in facts.needed:
                if name in loaded:
                    continue
                found = self.find(name, path, inherited)
                if found is None:
                    lacking.add((path, name))
                    continue
                loaded.add(name)
                if found in self._objects:
                    loaded.add(self._objects[found].soname)
                    todo.append((found, passed_on))
        return lacking

    def _by_default(self, name: str) -> str | None:
        if name not in self._default:
            self._default[name] = next(
                (f for folder in self._image.search if (f := self._library(f"{folder}/{name}"))),
                None,
            )
        return self._default[name]

    def _library(self, path: str) -> str | None:
        """The canonical path, if a library of the right machine is there."""
        entry = lookup(self._image.tree, path)
        if entry is None or entry.kind not in (Kind.FILE, Kind.HARDLINK):
            return None
        file = self._image.tree.contents(entry)
        return file.path if file.path in self._objects else None

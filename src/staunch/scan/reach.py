"""Which packages of a distribution the image's own entry point does not reach, where that is shown.

Shown means: the command names no program of theirs, and nothing that is loaded with what it names
links to their libraries. Whatever else a program may open by name is counted as reached: objects
outside the loader's own folders (modules, plugins, engines, extensions of interpreters), libraries
that glibc opens itself, and libraries that nothing in the image links to, which are there for no
other reason. Where a shell or a package manager could start anything, nothing is said. A program
that another starts by its name is not seen, so the answer ranks findings and never closes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from staunch.formats.oci import Config
from staunch.model.entry import Kind
from staunch.scan.content import Facts, Lost
from staunch.scan.programs import Program
from staunch.scan.tree import Leaf, Tree

__all__ = ["Start", "unreached"]

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHELLS = "sh bash rbash dash ash zsh ksh ksh93 mksh oksh fish csh tcsh rc yash busybox toybox"
_MANAGERS = "apt apt-get aptitude dpkg apk rpm dnf dnf5 yum microdnf tdnf zypper pacman"
_STARTERS = (  # of what follows on their command line
    "tini tini-static dumb-init catatonit docker-init env nice nohup setsid stdbuf timeout chroot "
    "su-exec gosu setpriv runuser su sudo numactl taskset xargs s6-svscan runsvdir supervisord "
    "coreutils catchsegv prlimit unshare ionice chrt flock strace gdb"
)
_ANYTHING: Final = frozenset((*_SHELLS.split(), *_MANAGERS.split()))
_LAUNCHERS: Final = frozenset(_STARTERS.split())
_LOADER: Final = re.compile(r"(?:usr/)?(?:local/)?lib(?:32|64|x32)?(?:/[^/]+-linux-[^/]+)?")
_LIBRARY: Final = re.compile(r".+\.so(?:\.[0-9.]+)?", re.DOTALL)
_OPENED: Final = re.compile(r"lib(?:nss_|gcc_s\.|idn2\.|softokn|freebl|nssckbi|resolv|p11-kit).*")
_CODE: Final = re.compile(
    r".*\.(?:pyc?|[cm]?js|jar|war|jmod|jsa|class|p[lmh]|rb|php|phar|lua|tcl|r|rds|beam|el|elc|wasm)|.*/modules",
    re.IGNORECASE | re.DOTALL,
)
WORDS, FOLDERS, TEXT_BYTES = 256, 64, 1 << 16  # of a command, of PATH, of both in all


@dataclass(frozen=True, slots=True)
class Start:
    """What a container of the image runs when nobody says otherwise."""

    words: tuple[str, ...]
    path: str = _PATH
    workdir: str = "/"

    @classmethod
    def of(cls, config: Config) -> Start | None:
        """Of a configuration; None where more is started or loaded than its command says.

        Also None where it is longer than any that is meant (``WORDS``, ``FOLDERS``, ``TEXT_BYTES``).
        """
        env = dict(config.env)
        words = (*config.entrypoint, *config.cmd)
        if not words or config.healthcheck or "LD_PRELOAD" in env or "LD_AUDIT" in env:
            return None
        start = cls(words, env.get("PATH", _PATH), config.workdir or "/")
        size = sum(map(len, (*words, start.path, start.workdir)))
        small = len(words) <= WORDS and start.path.count(":") < FOLDERS and size <= TEXT_BYTES
        return start if small else None


def unreached(tree: Tree, owners: Mapping[str, str], start: Start) -> frozenset[str]:
    """Packages that are shown not to be reached; none where it cannot be shown of any.

    Args:
        tree: of all layers, no program in it left unread.
        owners: a canonical path's package, by purl.
        start: what runs.
    """
    roots = _roots(tree, start)
    if not roots or tree.get("etc/ld.so.preload") or _starts_anything(tree, start):
        return frozenset()
    image = _Image(tree, owners)
    reached = None if image.blind else image.closure(roots)
    return frozenset() if reached is None else image.apart(reached)


def _roots(tree: Tree, start: Start) -> set[Leaf]:
    """Every program that the command names; nothing where what it starts is not known."""
    first = _program(tree, start, start.words[0])
    if first is None:
        return set()
    found = [
        each for word in start.words if (each := _program(tree, start, word.rpartition("=")[2]))
    ]
    pending = [first, *found]
    leaves: set[Leaf] = set()
    names: set[str] = set()
    while pending:
        path, leaf = pending.pop()
        if leaf in leaves:
            continue
        content = leaf.content
        leaves.add(leaf)
        if isinstance(content, Facts) and isinstance(content.value, bytes):
            words = content.value[2:].decode("utf-8", "replace").split()
            run = [each for word in words if (each := _program(tree, start, word))]
            if not run:
                return set()
            pending += run
        elif isinstance(content, Facts) and isinstance(content.value, Program):
            names.add(path.rpartition("/")[2])
        else:
            return set()  # what it is was not seen
    return set() if names <= _LAUNCHERS or names & _ANYTHING else leaves


def _program(tree: Tree, start: Start, word: str) -> tuple[str, Leaf] | None:
    """The file that a word of a command names, if it can be run."""
    if "/" in word:
        places = [word if word.startswith("/") else f"{start.workdir}/{word}"]
    else:
        places = [f"{folder}/{word}" for folder in start.path.split(":") if folder]
    for place in places if word else ():
        found = tree.get(place)
        if found is not None and found[1].kind is Kind.FILE and found[1].mode & 0o111:
            return found
    return None


def _starts_anything(tree: Tree, start: Start) -> bool:
    """Whether a shell or package manager is there: first where they use to be, then anywhere."""
    for folder in {*start.path.split(":"), *_PATH.split(":")}:
        if not _ANYTHING.isdisjoint(tree.names(folder)):
            return True
    return any(
        path.rpartition("/")[2] in _ANYTHING and (leaf.kind is Kind.SYMLINK or leaf.mode & 0o111)
        for path, leaf in tree.leaves()
    )


@dataclass(slots=True)
class _Owned:
    """What counts of one package."""

    code: list[Leaf] = field(default_factory=list)  # objects and scripts
    native: bool = False  # it has an object
    read: bool = False  # it has files that an interpreter would read


class _Image:
    """All objects of an image, by the names that they are asked for."""

    def __init__(self, tree: Tree, owners: Mapping[str, str]) -> None:
        self._names: dict[str, list[Leaf]] = {}
        self._libraries: dict[Leaf, str] = {}
        self._objects: dict[Leaf, Program] = {}
        self._packages: dict[str, _Owned] = {}
        self.blind = False  # an object was not read
        for path, leaf in tree.leaves():
            self._see(tree, path, leaf)
            if leaf.kind is Kind.FILE and path in owners:
                self._own(path, leaf, owners[path])

    def _see(self, tree: Tree, path: str, leaf: Leaf) -> None:
        folder, _, name = path.rpartition("/")
        if leaf.kind is Kind.SYMLINK:
            if ".so" in name and (found := tree.get(path)) is not None:
                self._names.setdefault(name, []).append(found[1])
            return
        content = leaf.content
        if isinstance(content, Lost):
            self.blind = self.blind or content.role == "program"
        elif content is None and leaf.size and _LIBRARY.fullmatch(name):
            self.blind = True  # damaged, or there was no room to keep what it needs
        elif isinstance(content, Facts) and isinstance(content.value, Program):
            self._objects[leaf] = content.value
            self._names.setdefault(name, []).append(leaf)
            if not content.value.started or ".so" in name:  # libc.so.6 is both
                self._libraries[leaf] = "" if _LOADER.fullmatch(folder) else folder

    def _own(self, path: str, leaf: Leaf, owner: str) -> None:
        owned = self._packages.setdefault(owner, _Owned())
        owned.native = owned.native or leaf in self._objects
        owned.read = owned.read or _CODE.fullmatch(path) is not None
        if leaf in self._objects or leaf.mode & 0o111:
            owned.code.append(leaf)

    def closure(self, roots: Iterable[Leaf]) -> set[Leaf] | None:
        """All that is loaded from these, and what may be opened by name; None if that is unknown."""
        reached = {*roots, *self._by_name()}
        pending = list(reached)
        while pending:
            program = self._objects.get(pending.pop())
            if program is None:
                continue  # a script
            if program.needed is None:
                return None
            for name in program.needed:
                for leaf in self._names.get(name, ()):
                    if leaf not in reached:
                        reached.add(leaf)
                        pending.append(leaf)
        return reached

    def _by_name(self) -> Iterator[Leaf]:
        wanted = {name for each in self._objects.values() for name in each.needed or ()}
        linked = {leaf for name in wanted for leaf in self._names.get(name, ())}
        opened = {
            leaf
            for name, leaves in self._names.items()
            if _OPENED.fullmatch(name)
            for leaf in leaves
        }
        for leaf, folder in self._libraries.items():
            if folder or leaf not in linked or leaf in opened:
                yield leaf

    def apart(self, reached: set[Leaf]) -> frozenset[str]:
        """Packages with programs or libraries, none of them reached."""
        return frozenset(
            purl
            for purl, owned in self._packages.items()
            if owned.native and not owned.read and reached.isdisjoint(owned.code)
        )

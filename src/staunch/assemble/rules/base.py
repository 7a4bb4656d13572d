"""What a rule is, and what rules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from dataclasses import replace as changed

from staunch.assemble.payloads import Payloads
from staunch.assemble.tree import Tree
from staunch.errors import SpecError
from staunch.model.entry import Entry, Kind
from staunch.model.image import KeptExecutable
from staunch.model.part import Part
from staunch.model.platform import Platform
from staunch.model.spec import ImageSpec, Profile

BIN = ("bin/", "sbin/", "usr/bin/", "usr/sbin/", "usr/local/bin/", "usr/local/sbin/", "usr/games/")
"""Where programs lie that are found by name."""

INFERENCE = frozenset({Profile.INFERENCE})
BOTH = frozenset(Profile)

_SITES = ("/dist-packages/", "/site-packages/")
_STDLIB = re.compile(r"usr/lib/python3\.\d+/(.+)", re.DOTALL)
_SHARED = re.compile(r"\.so(\.[0-9A-Za-z_.+-]*)?$")


@dataclass(slots=True)
class Context:
    """What rules work on. ``direct`` holds normalised names of wheels that the spec asks for.

    ``executables`` collects those that stay, by path; ``keeps`` says what ``keep:`` exempts.
    """

    tree: Tree
    parts: dict[str, Part]
    spec: ImageSpec
    platform: Platform
    payloads: Payloads
    keeps: Callable[[str], bool]
    direct: frozenset[str] = frozenset()
    executables: dict[str, KeptExecutable] = field(default_factory=dict)

    @property
    def requested(self) -> frozenset[str]:
        """Names of packages that the spec itself asks for."""
        return frozenset(
            re.split(r"[=:_ ]", request.text, maxsplit=1)[0] for request in self.spec.packages
        )

    def asked_for(self, owner: str) -> bool:
        """Whether the spec itself asks for the part of that id."""
        kind, _, name = owner.partition(":")
        if kind == "deb":
            return name.partition(":")[0] in self.requested
        return kind == "wheel" and name in self.direct


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule did: paths it removed or changed, sorted, and the payload bytes that went."""

    paths: tuple[str, ...] = ()
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``order`` decides when it runs (smaller first); ``profiles`` where it is on.

    ``why`` is a full sentence for a reader of the report; ``details`` are Markdown for the reference.
    """

    name: str
    order: int
    summary: str
    why: str
    profiles: frozenset[Profile]
    apply: Callable[[Context], Outcome]
    details: str = ""


def site_path(path: str) -> str | None:
    """The part of ``path`` below a ``site-packages`` or ``dist-packages`` folder, or None."""
    for folder in _SITES:
        at = path.find(folder)
        if at >= 0:
            return path[at + len(folder) :] or None
    return None


def extension(path: str) -> str:
    """What follows the last dot of the last name, in lower case; empty where there is none."""
    _, dot, end = path.rpartition(".")
    return "" if not dot or "/" in end else end.lower()


def stdlib_path(path: str) -> str | None:
    """The part of ``path`` below the interpreter's own library, or None."""
    if not path.startswith("usr/lib/python3."):
        return None
    found = _STDLIB.fullmatch(path)
    return found[1] if found else None


def is_shared_library(path: str) -> bool:
    """Whether a file's name is that of a shared library (``libz.so.1``, ``_ssl.cpython-313.so``)."""
    return ".so" in path and _SHARED.search(path) is not None


def base_name(path: str) -> str:
    """The last part of ``path``."""
    return path.rpartition("/")[2]


def remove(context: Context, doomed: Iterable[Entry]) -> Outcome:
    """Take out what is not kept by ``keep:``; folders that get empty by it go along."""
    tree, keeps = context.tree, context.keeps
    paths: list[str] = []
    size = 0
    for entry in list(doomed):
        if entry.kind is Kind.DIR or keeps(entry.path):
            continue
        gone = tree.take(entry.path)
        if gone is None:
            continue
        if gone.kind is Kind.FILE:  # a hard link's bytes go only with its last name
            size += gone.size
        paths.append(entry.path)
    prune(context, {path.rpartition("/")[0] for path in paths})
    return Outcome(tuple(sorted(paths)), size)


def remove_where(context: Context, doomed: Callable[[str], object]) -> Outcome:
    """Take out every entry but directories whose path ``doomed`` picks, save what ``keep:`` keeps."""
    return remove(context, (e for e in context.tree if e.kind is not Kind.DIR and doomed(e.path)))


def prune(context: Context, folders: Iterable[str]) -> None:
    """Take out empty directories among ``folders``, and those above that get empty by it."""
    tree = context.tree
    todo = sorted(folders, reverse=True)
    while todo:
        folder = todo.pop()
        while folder and tree.is_empty(folder) and not context.keeps(folder):
            if folder in STANDING:
                break
            tree.take_empty(folder)
            folder = folder.rpartition("/")[0]


STANDING = frozenset(
    [
        "bin",
        "boot",
        "dev",
        "etc",
        "home",
        "lib",
        "lib64",
        "media",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "srv",
        "sys",
        "tmp",
        "usr",
        "usr/bin",
        "usr/lib",
        "usr/local",
        "usr/local/bin",
        "usr/local/lib",
        "usr/sbin",
        "usr/share",
        "usr/share/doc",
        "var",
        "var/cache",
        "var/lib",
        "var/lib/dpkg",
        "var/lib/misc",
        "var/log",
        "var/run",
        "var/spool",
        "var/tmp",
        "etc/ssl",
        "etc/ssl/certs",
        "usr/local/share",
        "usr/local/sbin",
    ]
)
"""Directories that stay when they get empty (Filesystem Hierarchy Standard 3.0)."""


def change_modes(context: Context, wanted: Callable[[Entry], int | None]) -> Outcome:
    """Give entries the mode that ``wanted`` says (None: as it is), save what ``keep:`` keeps."""
    paths: list[str] = []
    for entry in context.tree:
        if entry.kind is Kind.SYMLINK or entry.kind is Kind.HARDLINK:
            continue
        mode = wanted(entry)
        if mode is None or mode == entry.mode or context.keeps(entry.path):
            continue
        context.tree.change(changed(entry, mode=mode))
        paths.append(entry.path)
    return Outcome(tuple(paths))


def refuse_request(context: Context, rule: str, names: frozenset[str], what: str) -> None:
    """Raise SpecError when the spec asks for a package that ``rule`` exists to take out."""
    for name in sorted(names & (context.requested | context.direct)):
        profile = context.spec.profile.value
        raise SpecError(
            f"{context.spec.name}: {name} is asked for, and the rule `{rule}` takes it out",
            why=f"images of the profile {profile} hold no {what}",
            mend=f"leave {name} out, build the profile training, or switch the rule off with "
            f"`rules: {{{rule}: false}}`",
        )

"""What the user asks for, after parsing: no defaults left open, every request with its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from staunch.model.platform import Platform


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a value stands: file, line and column (both from 1; 0 = not from a file)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """One line of a list of packages or requirements, with its place for error messages."""

    text: str
    place: Place


class Profile(Enum):
    """What the image is for (DESIGN.md §3)."""

    INFERENCE = "inference"
    TRAINING = "training"


class Bytecode(Enum):
    """Which Python modules are compiled ahead."""

    FULL = "full"
    NONE = "none"
    TRACED = "traced"


@dataclass(frozen=True, slots=True, order=True)
class Foundation:
    """A distribution and its release; ``str()`` gives ``debian:13``."""

    distribution: str
    release: str

    def __str__(self) -> str:
        return f"{self.distribution}:{self.release}" if self.release else self.distribution


@dataclass(frozen=True, slots=True)
class RepositorySpec:
    """A further archive, in deb822's words; ``key`` holds the bytes of ``signed-by``.

    ``id`` is ``repository-<n>`` by position, from 1.
    """

    id: str
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    key: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class PythonSpec:
    """The Python side. ``version`` None means the foundation's own.

    ``requirements`` are PEP 508 lines; ``requirements_files`` are requirements.txt,
    pyproject.toml or pylock.toml files, absolute. ``allow_held_back`` are normalised names.
    """

    version: str | None = None
    requirements: tuple[Request, ...] = ()
    requirements_files: tuple[Path, ...] = ()
    constraints: tuple[Request, ...] = ()
    indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    cooldown: timedelta | None = None
    bytecode: Bytecode = Bytecode.FULL
    allow_held_back: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What the wheels must be made for: a CUDA version ("" = any), and GPUs by capability (90 = 9.0).

    ``jit`` is what may be compiled when the image runs: ``none`` or ``triton``; ``jit_keep`` are the
    globs of what stays for it (also in the spec's ``keep``).
    """

    cuda: str = ""
    capabilities: tuple[int, ...] = ()
    jit: str = "none"
    jit_keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FilesSpec:
    """A file or folder to copy, or the text of one file.

    ``source`` is absolute on the host, None where ``content`` holds the bytes; ``target`` is
    absolute in the image. ``ignore`` are the lines of the context's ``.dockerignore``, ``inner`` is
    where ``source`` lies below that context. ``owner`` is a user and a group ID; ``mode`` the
    permission bits of every file, None for 0755 or 0644 by the executable bit.
    """

    source: Path | None
    target: str
    exclude: tuple[str, ...]
    place: Place
    content: bytes | None = None
    owner: tuple[int, int] = (0, 0)
    mode: int | None = None
    ignore: tuple[str, ...] = ()
    inner: str = ""


@dataclass(frozen=True, slots=True)
class TestSpec:
    """A command to run in the sandbox, and text that its output must hold.

    ``script``: ``run`` is one text, for a shell that the test brings and the image does not hold.
    ``any_user``: an arbitrary user must pass it, too, not the image's own alone.
    """

    run: tuple[str, ...]
    expect: str | None = None
    timeout_s: float = 120.0
    place: Place = Place("")
    script: bool = False
    any_user: bool = True

    __test__ = False  # not a pytest class


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """A whole spec.

    ``source`` is its path, or None for a catalogue entry; ``base_dir`` is where its relative paths
    start. ``rules`` switches rules by name; ``keep`` are path globs that no rule removes.
    """

    name: str
    foundation: Foundation
    profile: Profile
    platforms: tuple[Platform, ...]
    source: Path | None
    base_dir: Path
    summary: str = ""
    packages: tuple[Request, ...] = ()
    recommends: bool = False
    repositories: tuple[RepositorySpec, ...] = ()
    snapshot: datetime | None = None
    certificates: tuple[bytes, ...] = ()
    python: PythonSpec | None = None
    accelerator: Accelerator | None = None
    files: tuple[FilesSpec, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    user: str = "65532"
    workdir: str = "/"
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    rules: tuple[tuple[str, bool], ...] = ()
    keep: tuple[str, ...] = ()
    tests: tuple[TestSpec, ...] = ()
    places: tuple[tuple[str, Place], ...] = field(default=(), compare=False)

    def place(self, path: str) -> Place:
        """Where the value at dotted ``path`` (``python.version``) stands; the file if unknown."""
        known = dict(self.places)
        return known.get(path, Place(str(self.source) if self.source else f"catalogue:{self.name}"))

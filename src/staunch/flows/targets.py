"""What a user names, found: an image in a registry, in an OCI layout, in an OCI archive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from staunch.errors import SpecError
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.reference import Reference
from staunch.ports import Registries, Repository
from staunch.publish.repository import LayoutRepository, open_layout

__all__ = ["Place", "Target", "open_place", "open_target", "parse_place"]

_PREFIXES = ("oci:", "oci-archive:", "docker://")
_OUT = Path("out")  # where `build` writes by default
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image is: either ``reference``, or a ``path`` with what to choose in it."""

    reference: Reference | None = None
    path: Path | None = None
    tag: str = ""
    digest: Digest | None = None

    @property
    def wanted(self) -> str:
        """Digest, else tag, else ""."""
        return str(self.digest) if self.digest else self.tag

    def __str__(self) -> str:
        if self.reference is not None:
            return str(self.reference)
        at = f"@{self.digest}" if self.digest else ""
        return f"{self.path}{f':{self.tag}' if self.tag else ''}{at}"


@dataclass(frozen=True, slots=True)
class Target:
    """A found image; valid until its context is left."""

    place: Place
    repository: Repository
    descriptor: Descriptor

    @property
    def name(self) -> str:
        """For messages: as named, with the digest found."""
        return f"{self.repository.name}@{self.descriptor.digest}"


def parse_place(text: str, *, default_tag: str = "latest") -> Place:
    """Read ``registry.example.org/team/app:tag``, ``out/app``, ``app.oci.tar``, ``oci:DIR:TAG``.

    What exists as a file or folder is one; so is what begins with ``/``, ``./``, ``../`` or
    ``oci:``. ``PATH:TAG`` and ``PATH@sha256:…`` choose among several images of a layout. A bare word
    is an image in ``out/``.

    Raises:
        SpecError: it is none of these.
    """
    prefix = next((each for each in _PREFIXES if text.startswith(each)), "")
    rest = text[len(prefix) :]
    if not rest or "\0" in rest:
        raise _nothing(text)
    if prefix == "docker://":
        return Place(Reference.parse(rest, default_tag=default_tag))
    if prefix or rest in (".", "..") or rest.startswith(("/", "./", "../")):
        return _in_files(rest, (Path(),))
    found = _in_files(rest, (Path(), _OUT) if "/" not in rest else (Path(),))
    if found.path is not None and _exists(found.path):
        return found
    if not re.search(r"[/.:@]", rest):
        raise _nothing(text)
    return Place(Reference.parse(rest, default_tag=default_tag))


def _in_files(text: str, folders: Sequence[Path]) -> Place:
    """A path, with the tag or digest behind it unless a file of that whole name exists."""
    for folder in folders:
        if _exists(folder / text):
            return Place(path=folder / text)
    head, at, digest = text.partition("@sha256:")
    name, colon, tag = head.rpartition(":")
    if not colon or not _TAG.fullmatch(tag):
        name, tag = head, ""
    there = [folder / name for folder in folders if _exists(folder / name)]
    path = there[0] if there else folders[0] / name
    return Place(path=path, tag=tag, digest=Digest.from_hex(digest) if at else None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, or a folder that may not be looked into
        return False


@contextmanager
def open_place(
    place: Place, registries: Registries, *, write: bool = False, image_name: str = ""
) -> Iterator[Repository]:
    """The repository, layout or archive; errors are those of ``open_layout``."""
    if place.reference is not None:
        yield registries.repository(place.reference)
        return
    assert place.path is not None  # noqa: S101 - for mypy: a place is one or the other
    with open_layout(place.path, write=write, image_name=image_name) as layout:
        yield layout


@contextmanager
def open_target(text: str, registries: Registries, *, write: bool = False) -> Iterator[Target]:
    """The image that ``text`` names, as ``parse_place`` reads it.

    Args:
        text: what the user wrote.
        registries: opens those in registries.
        write: whether something will be added (signatures); of no matter in registries.

    Raises:
        SpecError: it names nothing, or nothing that is there, or several.
        UntrustedError: what is there is damaged, or not what a digest says.
        UndecidedError: it could not be asked.
    """
    place = parse_place(text)
    with open_place(place, registries, write=write) as repository:
        yield Target(place, repository, find(place, repository))


def find(place: Place, repository: Repository) -> Descriptor:
    """The image meant by ``place``; errors are those of ``open_target``."""
    wanted = place.reference.target if place.reference else place.wanted
    if wanted:
        found = repository.resolve(wanted)
        if found is not None:
            return found
    elif isinstance(repository, LayoutRepository):
        images = repository.images()
        if len(images) == 1:
            return images[0]
    names = [each for _, each in zip(range(20), repository.tags(), strict=False)]
    raise SpecError(
        f"there is no image {place}",
        why=f"wanted {wanted or 'its only image'}, {repository.name} holds "
        + (", ".join(names) or "none with a name"),
        mend="check name and tag; behind a path, `:TAG` or `@sha256:…` chooses one",
    )


def _nothing(text: str) -> SpecError:
    return SpecError(
        f"nothing is named {text[:200]!r}",
        why="there is no such file or folder, no such image in out/, and it names no registry",
        mend="write `registry.example.org/team/app:tag`, a layout folder or an archive",
    )

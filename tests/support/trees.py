"""Parts, trees and rule contexts made in memory; payloads are inline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from staunch.assemble.globs import matcher
from staunch.assemble.payloads import Payloads
from staunch.assemble.rules.base import Context
from staunch.assemble.tree import Tree
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Kind
from staunch.model.image import Assembled
from staunch.model.part import Part, PartKind
from staunch.model.platform import Platform
from staunch.model.spec import Foundation, ImageSpec, Place, Profile, Request
from tests.support.memory_store import MemoryStore

AMD64 = Platform("linux", "amd64")
_KINDS = {"deb": PartKind.DEB, "wheel": PartKind.WHEEL, "files": PartKind.FILES}


def files(owner: str, contents: Mapping[str, bytes | str | int]) -> tuple[Entry, ...]:
    """Entries by path: bytes make a file, text a link, a number a directory of that mode.

    A path may carry a mode: ``usr/bin/x 0755``.
    """
    entries = []
    for key, value in contents.items():
        path, _, mode = key.partition(" ")
        if isinstance(value, int):
            entries.append(Entry.directory(path, mode=value, owner=owner))
        elif isinstance(value, str):
            entries.append(Entry.symlink(path, value, owner=owner))
        else:
            entries.append(Entry.inline(path, value, mode=int(mode or "644", 8), owner=owner))
    return tuple(entries)


def part(
    owner: str,
    contents: Mapping[str, bytes | str | int] | None = None,
    *,
    metadata: Mapping[str, bytes] | None = None,
    elf: Mapping[str, ElfFacts] | None = None,
    version: str = "1.0-1",
) -> Part:
    """A part; a package gets a control file unless ``metadata`` has one."""
    kind, _, name = owner.partition(":")
    members = dict(metadata or {})
    if kind == "deb":
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nDescription: test\n"
        members.setdefault("control", control.encode())
    return Part(
        owner,
        _KINDS[kind],
        name,
        version,
        metadata=tuple(sorted(members.items())),
        entries=files(owner, contents or {}),
        elf=tuple((elf or {}).items()),
    )


def hard_link(path: str, target: str, owner: str) -> Entry:
    return Entry(path, Kind.HARDLINK, 0o644, link=target, owner=owner)


def with_entries(made: Part, *entries: Entry) -> Part:
    return replace(made, entries=(*made.entries, *entries))


class NoReader:
    """A PartReader of a part without members."""

    def payloads(self, wanted: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        return iter(())


def payloads() -> Payloads:
    return Payloads(lambda owner: NoReader(), MemoryStore())


def image_spec(profile: Profile = Profile.INFERENCE, **fields: object) -> ImageSpec:
    """A spec with defaults; ``packages`` may be given as texts."""
    names = fields.pop("packages", ())
    place = Place("spec.yaml", 3, 5)
    requests = tuple(Request(str(name), place) for name in names)  # type: ignore[attr-defined]
    spec = ImageSpec(
        "example", Foundation("debian", "13"), profile, (AMD64,), Path("spec.yaml"), Path("/")
    )
    return replace(spec, packages=requests, **fields)  # type: ignore[arg-type]


def context(
    parts: Iterable[Part], spec: ImageSpec | None = None, *, direct: Iterable[str] = ()
) -> Context:
    """A context over a tree of ``parts``."""
    parts = tuple(parts)
    spec = spec or image_spec()
    tree = Tree()
    for each in parts:
        tree.add_part(each)
    return Context(
        tree,
        {each.id: each for each in parts},
        spec,
        AMD64,
        payloads(),
        matcher(spec.keep, what="keep"),
        frozenset(direct),
    )


def assembled(*parts: Part) -> Assembled:
    """A finished tree of ``parts``, as it is."""
    tree = Tree()
    for each in parts:
        tree.add_part(each)
    return Assembled(AMD64, parts, tree.entries(), (), (), ())


def elf(
    *needed: str,
    soname: str = "",
    runpath: tuple[str, ...] = (),
    rpath: tuple[str, ...] = (),
    wants: Mapping[str, tuple[str, ...]] | None = None,
    offers: tuple[str, ...] = (),
    machine: int = 62,
    bits: int = 64,
    interpreter: str = "",
) -> ElfFacts:
    """Facts of a shared library (or, with ``interpreter``, of a program)."""
    return ElfFacts(
        machine,
        bits,
        3,
        soname,
        interpreter,
        needed,
        runpath or rpath,
        bool(rpath),
        tuple((wants or {}).items()),
        offers,
    )

"""Byte code of every Python module of a tree, as parts of their own (DESIGN.md §2, promise 2).

The ``.pyc`` files are hash-based (PEP 552), so no time stamp is in them: unchecked in inference
images, whose modules never change, checked in training images.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from staunch.assemble.interpreter import CHECKED, UNCHECKED, Compiled, Interpreter, Module
from staunch.errors import UntrustedError
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.entry import Entry, Inline, Kind, Member, Slice
from staunch.model.part import Part, PartKind
from staunch.model.spec import Profile
from staunch.ports import PartReader, Progress, Store

KIND = "bytecode"
_FORMAT = "1"  # of the record and of how keys are made
_LIBRARY = re.compile(r"usr/(?:lib|local/lib)/python(3|3\.\d+)/")


@dataclass(frozen=True, slots=True, order=True)
class Skipped:
    """A module without byte code, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class ByteCode:
    """Byte code parts, sorted by id, to be added to the tree; ``skipped`` sorted by path.

    ``hits`` counts parts whose byte code lay in the store, ``misses`` those compiled now.
    """

    parts: tuple[Part, ...]
    skipped: tuple[Skipped, ...]
    hits: int
    misses: int


def compile_tree(
    entries: Iterable[Entry],
    parts: Sequence[Part],
    *,
    reader_of: Callable[[str], PartReader],
    interpreter: Interpreter,
    store: Store,
    profile: Profile,
    traced: Collection[str] | None = None,
    progress: Progress | None = None,
) -> ByteCode:
    """Compile the modules among ``entries``, which are those of the tree after the rules.

    A module is a ``.py`` file below ``usr/lib/python3``, ``usr/lib/pythonX.Y``, their twins in
    ``usr/local/lib``, or of a part that comes from the spec's ``files:``. Links are left alone.

    Args:
        entries: of the tree; only paths, owners and bodies are looked at.
        parts: those that own the entries; each gives at most one byte code part.
        reader_of: gives the reader of a part by its id.
        interpreter: compiles what the store does not hold yet.
        store: keeps the ``.pyc`` files of one part in one blob, and a record that finds it.
        profile: inference gets unchecked, training checked hashes.
        traced: paths of the only modules to compile, or None for all.
        progress: is told of each part that must be compiled.

    Returns:
        Parts of kind PACK with the ids ``pyc:<owner id>``, with their ``__pycache__`` folders.

    Raises:
        UndecidedError: the interpreter does not run here, or fell over a module.
        UntrustedError: a module is not what its digest says.
    """
    flags = UNCHECKED if profile is Profile.INFERENCE else CHECKED
    owners = {part.id: part for part in parts}
    modules: dict[str, list[Entry]] = {}
    skipped: list[Skipped] = []
    for entry in entries:
        if not entry.path.endswith(".py") or entry.owner not in owners:
            continue
        if not _is_module(entry, owners[entry.owner], interpreter.version):
            continue
        if entry.kind is not Kind.FILE or (traced is not None and entry.path not in traced):
            continue
        if entry.size > limits.METADATA_BYTES:
            why = f"it is larger than {limits.METADATA_BYTES} bytes"
            skipped.append(Skipped(entry.path, why))
            continue
        modules.setdefault(entry.owner, []).append(entry)
    for owner in modules:
        modules[owner].sort(key=lambda entry: entry.path)
    keys = {owner: _key(interpreter, flags, modules[owner]) for owner in sorted(modules)}
    packs = {owner: pack for owner, key in keys.items() if (pack := _known(store, key))}
    hits = len(packs)
    missing = {owner: modules[owner] for owner in keys if owner not in packs}
    sources = _all_sources(missing, reader_of, store, progress)
    # one stream over all parts, so that no worker waits where one part ends and the next begins
    results = interpreter.compile(sources, flags=flags)
    for owner, found in missing.items():
        packs[owner] = _packed(islice(results, len(found)), store)
        store.put_record(KIND, keys[owner], packs[owner].dump())
        if progress is not None:
            progress.finish(f"pyc:{owner}")
    skipped += (Skipped(*each) for pack in packs.values() for each in pack.skipped)
    made = (_part(owners[owner], packs[owner], interpreter.tag) for owner in keys)
    return ByteCode(
        tuple(part for part in made if part.entries), tuple(sorted(skipped)), hits, len(missing)
    )


@dataclass(frozen=True, slots=True)
class _Pack:
    """The ``.pyc`` files of one part: their blob, and (module path, size, digest) back to back."""

    blob: Digest
    files: tuple[tuple[str, int, str], ...]
    skipped: tuple[tuple[str, str], ...]

    def dump(self) -> bytes:
        document = {"blob": self.blob.hex, "files": self.files, "skipped": self.skipped}
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def load(cls, data: bytes) -> _Pack:
        document: dict[str, Any] = json.loads(data)
        return cls(
            Digest.from_hex(document["blob"]),
            tuple((path, size, digest) for path, size, digest in document["files"]),
            tuple((path, why) for path, why in document["skipped"]),
        )


def _is_module(entry: Entry, owner: Part, version: str) -> bool:
    if owner.kind is PartKind.FILES:
        return True
    found = _LIBRARY.match(entry.path)
    return found is not None and found[1] in ("3", version)


def _key(interpreter: Interpreter, flags: int, modules: Sequence[Entry]) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {flags} {interpreter.identity}".encode())
    for entry in modules:
        digest.update(f"\0{entry.path}\0{entry.digest}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _known(store: Store, key: str) -> _Pack | None:
    data = store.record(KIND, key)
    if data is None:
        return None
    pack = _Pack.load(data)
    size = sum(size for _, size, _ in pack.files)
    return pack if store.standing(pack.blob, size) is not None else None


def _packed(results: Iterable[Compiled], store: Store) -> _Pack:
    files: list[tuple[str, int, str]] = []
    skipped: list[tuple[str, str]] = []
    with store.create() as pending:
        for each in results:
            if each.pyc is None:
                skipped.append((each.path, each.why))
            else:
                pending.write(each.pyc)
                digest = hashlib.sha256(each.pyc).hexdigest()
                files.append((each.path, len(each.pyc), digest))
    return _Pack(store.digest_of(pending), tuple(files), tuple(skipped))


def _all_sources(
    missing: Mapping[str, Sequence[Entry]],
    reader_of: Callable[[str], PartReader],
    store: Store,
    progress: Progress | None,
) -> Iterator[Module]:
    for owner, found in missing.items():
        sources = _sources(found, owner, reader_of, store)
        if progress is None:
            yield from sources
            continue
        progress.start(f"pyc:{owner}", f"compile {owner}", sum(entry.size for entry in found))
        for module in sources:
            progress.advance(f"pyc:{owner}", len(module.source))
            yield module


def _sources(
    modules: Sequence[Entry], owner: str, reader_of: Callable[[str], PartReader], store: Store
) -> Iterator[Module]:
    """The sources: those Staunch wrote first, then those of the archive, in its order."""
    members: dict[str, list[Entry]] = {}
    for entry in modules:
        match entry.body:
            case Inline(data):
                yield _checked(entry, data)
            case Slice(blob, offset):
                stored = store.standing(blob)
                yield _checked(entry, stored.pread(entry.size, offset) if stored else b"")
            case Member(name):
                members.setdefault(name, []).append(entry)
            case None:
                raise _unreadable(entry)
    if not members:
        return
    for name, pieces in reader_of(owner).payloads(sorted(members)):
        data = b"".join(pieces)
        for entry in members.pop(name):
            yield _checked(entry, data)
    if members:
        raise _unreadable(members[min(members)][0])


def _checked(entry: Entry, data: bytes) -> Module:
    got = Digest.of(data)
    if entry.digest is not None and got != entry.digest:
        raise UntrustedError(
            f"{entry.owner}: {entry.path} has changed",
            why=f"wanted {entry.digest}, got {got}",
            mend="if it is one of the spec's files, build again; "
            "else remove the package from the store (`staunch store verify`)",
        )
    return Module(entry.path, data)


def _unreadable(entry: Entry) -> UntrustedError:
    return UntrustedError(
        f"{entry.owner}: {entry.path} cannot be read",
        why="its part gives no payload of that name",
        mend="remove the package from the store (`staunch store verify`) and try again",
    )


def _part(owner: Part, pack: _Pack, tag: str) -> Part:
    id_ = f"pyc:{owner.id}"
    entries: list[Entry] = []
    folders: set[str] = set()
    offset = 0
    for path, size, digest in pack.files:
        parent, _, name = path.rpartition("/")
        folder = f"{parent}/__pycache__" if parent else "__pycache__"
        if folder not in folders:
            folders.add(folder)
            entries.append(Entry.directory(folder, owner=id_))
        target = f"{folder}/{name.removesuffix('.py')}.{tag}.pyc"
        body = Slice(pack.blob, offset)
        made = Digest(digest)
        entries.append(Entry(target, Kind.FILE, 0o644, 0, 0, size, made, "", body, id_))
        offset += size
    return Part(
        id=id_,
        kind=PartKind.PACK,
        name=owner.name,
        version=owner.version,
        digest=pack.blob,
        size=offset,
        entries=tuple(entries),
    )

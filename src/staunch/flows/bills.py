"""Make the bills of materials of a build: what the packages' own files say, written in both formats.

What is read of a file depends on the file alone, so it is kept in the store by the file's digest: the
next build of any image that holds it reads a record. Apart from ``flows.describe``: a build that
changed nothing finds its documents there, and loads none of this.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from urllib.parse import quote, urlsplit, urlunsplit

from staunch import __version__
from staunch.assemble.payloads import Payloads
from staunch.attest.sbom import PartFacts, bill, cyclonedx, index_bill, spdx
from staunch.ecosystems import foundations
from staunch.ecosystems.bundled import Bundled, may_be_bundled, recognise
from staunch.errors import UntrustedError
from staunch.formats import strict_json
from staunch.formats.copyright import parse_copyright
from staunch.formats.cyclonedx import parse_components
from staunch.formats.elf import parse_elf
from staunch.formats.spdx import parse_packages
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.elf import ElfFacts
from staunch.model.entry import Entry, Kind
from staunch.model.image import Assembled, Descriptor, PlatformImage
from staunch.model.licence import Licence
from staunch.model.lock import Lock, LockedPackage, LockedWheel
from staunch.model.part import PartKind
from staunch.model.sbom import Foreign
from staunch.model.spec import ImageSpec
from staunch.ports import Store

__all__ = ["image_documents", "index_documents", "part_facts"]

_LIBRARY_BYTES = 64 * limits.MIB  # a larger one is known by its name and SONAME alone
_LICENCE, _CARRIED = "licence", "carried"  # kinds of records
_FORMAT = "1"  # goes into their keys: raise it when what is read changes
_DOC = "usr/share/doc/"


def image_documents(
    assembled: Assembled,
    image: PlatformImage,
    spec: ImageSpec,
    lock: Lock,
    store: Store,
    *,
    payloads: Payloads,
    elf: Mapping[str, ElfFacts],
    listed: bytes,
    supplier: str,
) -> tuple[bytes, bytes]:
    """One platform's SPDX and CycloneDX documents; arguments and errors as ``flows.describe``."""
    bom = bill(
        assembled,
        name=spec.name,
        created=lock.created,
        seed=image.manifest.digest,
        staunch_version=__version__,
        file_names=_file_names(assembled, lock),
        downloads=dict(_downloads(assembled, spec, lock)),
        facts=part_facts(assembled, payloads, elf, store),
        supplier=supplier,
        listed=listed,
    )
    return spdx(bom), cyclonedx(bom)


def index_documents(
    images: Sequence[PlatformImage], index: Descriptor, name: str, lock: Lock, *, supplier: str
) -> tuple[bytes, bytes]:
    """The SPDX and CycloneDX documents of an index over ``images``."""
    bom = index_bill(
        [(each.platform, each.manifest.digest) for each in images],
        name=name,
        created=lock.created,
        seed=index.digest,
        staunch_version=__version__,
        supplier=supplier,
    )
    return spdx(bom), cyclonedx(bom)


def part_facts(
    assembled: Assembled, payloads: Payloads, elf: Mapping[str, ElfFacts], store: Store
) -> dict[str, PartFacts]:
    """Licences of Debian packages, and what lies inside wheels, by ``Part.id``.

    Args:
        assembled: the finished tree; only what is in it counts.
        payloads: reads its files.
        elf: facts of libraries, by path, for those that are too large to be read again.
        store: keeps the records.

    Raises:
        UntrustedError: a payload is not what its digest says.
    """
    found = {
        owner: PartFacts(licence=licence)
        for owner, licence in _licences(assembled, payloads, store).items()
    }
    wheels = {part.id for part in assembled.parts if part.kind is PartKind.WHEEL}
    wanted: dict[str, list[Entry]] = {}
    for entry in assembled.entries:
        if entry.kind is Kind.FILE and entry.owner in wheels and _is_carried(entry.path):
            wanted.setdefault(entry.owner, []).append(entry)
    for owner, entries in wanted.items():
        found[owner] = _carried(entries, payloads, elf, store)
    return found


def _locked(assembled: Assembled, lock: Lock) -> Iterator[tuple[str, LockedPackage | LockedWheel]]:
    """What the lock says of each part, by ``Part.id``."""
    platform = lock.on(assembled.platform)
    if platform is None:
        return
    known: dict[Digest, LockedPackage | LockedWheel] = {
        each.digest: each for each in platform.packages
    }
    known |= {each.digest: each for each in platform.wheels}
    for part in assembled.parts:
        if part.digest is not None and part.digest in known:
            yield part.id, known[part.digest]


def _file_names(assembled: Assembled, lock: Lock) -> dict[str, str]:
    """Names of the parts as downloaded."""
    return {part: each.filename.rpartition("/")[2] for part, each in _locked(assembled, lock)}


def _downloads(assembled: Assembled, spec: ImageSpec, lock: Lock) -> Iterator[tuple[str, str]]:
    """Where the files can be had: the archive's snapshot, which forgets nothing, or its first mirror.

    Of wheels only those whose index the spec names: a lock tells no address of the others.
    """
    dates: dict[str, datetime] = {}
    for suite in lock.repositories:
        dates[suite.id] = max(suite.date, dates.get(suite.id, suite.date))
    bases: dict[str, str] = {}
    for archive in foundations.release(spec.foundation).archives:
        bases[archive.id] = archive.mirrors[0]
        if archive.snapshots and archive.id in dates:
            stamp = foundations.snapshot_stamp(dates[archive.id] + foundations.SNAPSHOT_DELAY)
            bases[archive.id] = f"{archive.snapshots}/{stamp}"
    for repository in spec.repositories:
        bases[repository.id] = repository.uris[0].rstrip("/")
    indexes = dict(enumerate(spec.python.indexes if spec.python else (), 1))
    for part, each in _locked(assembled, lock):
        if isinstance(each, LockedPackage):
            if each.repository in bases:
                yield part, _public(f"{bases[each.repository]}/{quote(each.filename)}")
            continue
        kind, _, number = each.index.partition("-")
        if kind == "spec" and number.isdigit() and int(number) in indexes:
            page = f"{indexes[int(number)].rstrip('/')}/{each.name}/"
            yield part, _public(page)


def _public(url: str) -> str:
    """Without user and password; nothing of places on this machine."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


# -- licences


def _licences(assembled: Assembled, payloads: Payloads, store: Store) -> dict[str, Licence]:
    """Those of Debian packages whose copyright file is in the image, by ``Part.id``."""
    tree = {entry.path: entry for entry in assembled.entries if entry.path.startswith(_DOC)}
    files = {}
    for part in assembled.parts:
        entry = _copyright(part.name, tree) if part.kind is PartKind.DEB else None
        if entry is not None and entry.digest is not None:
            files[part.id] = entry
    known: dict[tuple[Digest | None, str], Licence] = {}
    unread = []
    for entry in files.values():
        data = store.record(_LICENCE, _key(entry))
        if data is not None:
            known[entry.digest, entry.path] = _parse_licence(data)
        else:
            unread.append(entry)
    texts = payloads.read_many(unread)
    for entry in unread:
        licence = parse_copyright(texts[entry.path], path=entry.path)
        store.put_record(_LICENCE, _key(entry), json.dumps(asdict(licence)).encode())
        known[entry.digest, entry.path] = licence
    return {owner: known[entry.digest, entry.path] for owner, entry in files.items()}


def _copyright(package: str, tree: Mapping[str, Entry]) -> Entry | None:
    """A package's copyright file; its folder, or the file, may be a link to another package's."""
    path = f"{_DOC}{package}/copyright"
    for _ in range(limits.LINK_DEPTH):
        entry = tree.get(path)
        if entry is None:
            folder = tree.get(path.rpartition("/")[0])
            if folder is None or folder.kind is not Kind.SYMLINK:
                return None
            path = f"{_followed(folder)}/copyright"
        elif entry.kind is Kind.FILE:
            return entry
        else:
            path = entry.link if entry.kind is Kind.HARDLINK else _followed(entry)
    return None


def _followed(link: Entry) -> str:
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(link.path), link.link)).lstrip(
        "/"
    )


def _key(entry: Entry) -> str:
    return Digest.of(f"{_FORMAT}\0{entry.digest}\0{entry.path}".encode("utf-8", "surrogateescape")).hex  # fmt: skip


def _parse_licence(data: bytes) -> Licence:
    """The store gives records only when their digest holds."""
    document = json.loads(data)
    return Licence(document["expression"], tuple((ref, text) for ref, text in document["texts"]))


# -- what wheels carry


def _is_carried(path: str) -> bool:
    return may_be_bundled(path) or (".dist-info/sboms/" in path and path.endswith(".json"))


def _carried(
    entries: Sequence[Entry], payloads: Payloads, elf: Mapping[str, ElfFacts], store: Store
) -> PartFacts:
    """Libraries and SBOMs of one wheel."""
    key = Digest.of("\0".join([_FORMAT, *map(_key, entries)]).encode()).hex
    data = store.record(_CARRIED, key)
    if data is not None:
        return _parse_facts(data)
    bundled: list[Bundled] = []
    merged: list[tuple[str, tuple[Foreign, ...]]] = []
    unread: list[tuple[str, str]] = []
    large = [entry for entry in entries if entry.size > _LIBRARY_BYTES]
    small = [entry for entry in entries if entry.size <= _LIBRARY_BYTES]
    for entry in large:
        if may_be_bundled(entry.path):
            bundled += filter(None, [recognise(entry.path, elf.get(entry.path), b"")])
        else:
            unread.append((entry.path, f"it has {entry.size} bytes"))
    for entry in small:  # one at a time: together they may be larger than memory
        content = payloads.read(entry, max_bytes=_LIBRARY_BYTES)
        if may_be_bundled(entry.path):
            bundled += filter(None, [recognise(entry.path, _facts(entry.path, content), content)])
            continue
        try:
            merged.append((entry.path, _told(entry.path, content)))
        except UntrustedError as fault:
            unread.append((entry.path, fault.why))
    facts = PartFacts(
        bundled=tuple(sorted(bundled, key=lambda each: each.path)),
        merged=tuple(sorted(merged)),
        unread=tuple(sorted(unread)),
    )
    store.put_record(_CARRIED, key, _render_facts(facts))
    return facts


def _facts(path: str, data: bytes) -> ElfFacts | None:
    try:
        return parse_elf(lambda size, at: data[at : at + size], len(data), what=path)
    except UntrustedError:
        return None  # the closing checks tell it


def _told(path: str, data: bytes) -> tuple[Foreign, ...]:
    """The components of an SBOM in either format (PEP 770 prescribes none)."""
    top = strict_json.read(data, what=path, mend="report it", max_bytes=limits.METADATA_BYTES)
    if top["spdxVersion"].present:
        return parse_packages(data, what=path)
    return parse_components(data, what=path)


def _render_facts(facts: PartFacts) -> bytes:
    document = {
        "bundled": [asdict(each) for each in facts.bundled],
        "merged": [[path, [asdict(each) for each in told]] for path, told in facts.merged],
        "unread": facts.unread,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _parse_facts(data: bytes) -> PartFacts:
    """Read what ``_render_facts`` wrote; the store gives records only when their digest holds."""
    document = json.loads(data)
    return PartFacts(
        bundled=tuple(Bundled(**each) for each in document["bundled"]),
        merged=tuple(
            (path, tuple(Foreign(**each) for each in told)) for path, told in document["merged"]
        ),
        unread=tuple((path, why) for path, why in document["unread"]),
    )

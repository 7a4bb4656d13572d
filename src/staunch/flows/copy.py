"""Copy an image with everything that is said about it, so that nothing dangling is ever visible.

Order in the target: blobs, manifests below an index, the manifest itself by digest; then what refers
to it (and what refers to that) in the same way; then tags of artifacts such as ``sha256-<hex>.sig``;
last the image's own tag. What the target has is not sent again, so a copy that was cut goes on
where it ended, and one that is complete moves no blob.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache

from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.flows.parallel import gathered
from staunch.formats.oci_links import Links, is_index, is_manifest, parse_links, referrers_tag
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.platform import Platform
from staunch.ports import Progress, Repository

__all__ = ["Copied", "copy", "one_platform", "plan"]

_SUFFIXES = (".sig", ".att", ".sbom")  # cosign's tags (its spec, "Signature", "Attestations")
_DEPTH = 8  # an index in an index, a signature of an SBOM of a signature…
_MANIFESTS = 20_000
_BYTES = 256 * limits.MIB  # of manifests held at once
_FOREIGN = (".foreign.", ".nondistributable.")  # layers that a registry need not have
BLOBS = 4  # at once


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did. ``manifests`` and ``referrers`` count those now in the target.

    ``sent`` manifests were missing; ``moved`` bytes of blobs were sent, ``mounted`` ones the registry
    had elsewhere, ``skipped`` ones were there. ``tagged``: whether the tag was set anew.
    """

    descriptor: Descriptor
    tag: str
    manifests: int
    referrers: int
    sent: int
    moved_blobs: int
    moved_bytes: int
    mounted_bytes: int
    skipped_bytes: int
    tagged: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One manifest to copy: what it is called by, if by anything, and whether it is about another."""

    descriptor: Descriptor
    data: bytes
    links: Links
    tag: str = ""
    about: bool = False


@dataclass
class _Count:
    blobs: int = 0
    moved: int = 0
    mounted: int = 0
    skipped: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def copy(
    source: Repository,
    top: Descriptor,
    target: Repository,
    *,
    tag: str = "",
    referrers: bool = True,
    progress: Progress,
    mount_from: str = "",
    threads: int = BLOBS,
) -> Copied:
    """Copy the manifest or index ``top`` and all below it.

    Args:
        source: has it.
        top: what to copy, as ``source`` resolves it; ``one_platform`` chooses one of an index.
        target: may have parts of it already.
        tag: given to it last; "" for a copy by digest.
        referrers: take signatures, attestations, SBOMs and other referrers along.
        progress: told of each blob.
        mount_from: the source's repository, where both are in one registry.
        threads: blobs at once.

    Raises:
        UntrustedError: a manifest or blob is not what its digest and size say.
        UndecidedError: one of the two cannot be reached, or something is missing in the source.
        SpecError: the target refuses.
        HostError: the disk is full.
    """
    items = plan(source, top, referrers=referrers)
    progress.step(f"copying {top.digest} to {target.name}")
    count = _Count()
    listed = cache(lambda subject: {each.descriptor.digest for each in target.referrers(subject)})
    missing = [each for each in _once(items) if not _there(target, each, listed)]
    _send_blobs(source, target, missing, count, progress, mount_from, threads)
    for each in missing:
        target.put_manifest(each.descriptor.media_type, each.data)
    for each in items:
        if each.tag:
            _name(target, each.descriptor, each.data, each.tag)
    tagged = bool(tag) and _name(target, top, _data(items, top), tag)
    return Copied(
        top,
        tag,
        sum(not each.about for each in items),
        sum(each.about for each in items),
        len(missing),
        count.blobs,
        count.moved,
        count.mounted,
        count.skipped + _size(items) - _size(missing),
        tagged,
    )


def _once(items: Sequence[Item]) -> list[Item]:
    """Each manifest at its first place: one may be a referrer and have a tag, too."""
    found: dict[Digest, Item] = {}
    for each in items:
        found.setdefault(each.descriptor.digest, each)
    return list(found.values())


def _size(items: Sequence[Item]) -> int:
    """Bytes of all blobs that the manifests name, each once."""
    blobs = {each.digest: each.size for item in items for each in item.links.blobs}
    return sum(blobs.values())


def _data(items: Sequence[Item], top: Descriptor) -> bytes:
    return next(each.data for each in items if each.descriptor.digest == top.digest)


def _there(target: Repository, item: Item, listed: Callable[[Digest], set[Digest]]) -> bool:
    """Whether the target has the manifest, and lists it if it refers to another.

    A copy that was cut may have sent a referrer, and not listed it yet.
    """
    descriptor, subject = item.descriptor, item.links.subject
    if subject is not None and descriptor.digest not in listed(subject.digest):
        return False
    if is_manifest(descriptor.media_type):
        return target.has(descriptor)
    return target.resolve(str(descriptor.digest)) is not None


def _name(target: Repository, descriptor: Descriptor, data: bytes, tag: str) -> bool:
    """Set the tag unless it stands, and see that it stands."""
    found = target.resolve(tag)
    if found is not None and found.digest == descriptor.digest:
        return False
    target.put_manifest(descriptor.media_type, data, tag=tag)
    found = target.resolve(tag)
    if found is None or found.digest != descriptor.digest:
        raise UndecidedError(
            f"{target.name}:{tag} is not what was pushed",
            why=f"wanted {descriptor.digest}, found {found.digest if found else 'nothing'}",
            mend="see whether somebody else pushes to that tag, then try again",
        )
    return True


# -- what to copy


def plan(source: Repository, top: Descriptor, *, referrers: bool = True) -> tuple[Item, ...]:
    """Every manifest to copy, each after all that it names or is about.

    Raises:
        UntrustedError: one is not what its digest says, or they are nested without end.
        UndecidedError: one is missing.
    """
    planner = _Planner(source, referrers=referrers)
    planner.add(top, depth=_DEPTH)
    return tuple(planner.items)


class _Planner:
    """Walks from a manifest to what it names, and to what is about it."""

    def __init__(self, source: Repository, *, referrers: bool) -> None:
        self._source, self._referrers = source, referrers
        self.items: list[Item] = []
        self._seen: set[tuple[Digest, str]] = set()
        self._bytes = 0

    def add(
        self, descriptor: Descriptor, *, depth: int, tag: str = "", about: bool = False
    ) -> None:
        if (descriptor.digest, tag) in self._seen:
            return
        self._seen.add((descriptor.digest, tag))
        self._bytes += descriptor.size
        if depth == 0 or len(self._seen) > _MANIFESTS or self._bytes > _BYTES:
            raise UntrustedError(
                f"{self._source.name} holds manifests without end",
                why=f"more than {_DEPTH} deep, {_MANIFESTS:,} or 256 MiB, at {descriptor.digest}",
                mend="copy a manifest below it, or leave artifacts with `--no-referrers`",
            )
        data = self._source.manifest(descriptor)
        links = parse_links(data, descriptor.media_type)
        for child in links.children:
            self.add(child.descriptor, depth=depth - 1, about=about)
        self.items.append(Item(descriptor, data, links, tag, about))
        if self._referrers:
            self._about(descriptor.digest, depth - 1)

    def _about(self, subject: Digest, depth: int) -> None:
        for referrer in self._source.referrers(subject):
            each = referrer.descriptor
            self.add(Descriptor(each.media_type, each.digest, each.size), depth=depth, about=True)
        for suffix in _SUFFIXES:
            tag = referrers_tag(subject) + suffix
            found = self._source.resolve(tag)
            if found is not None:
                self.add(found, depth=depth, tag=tag, about=True)


def one_platform(source: Repository, top: Descriptor, platform: Platform) -> Descriptor:
    """The image of that platform in an index; an image that is no index is itself.

    Raises:
        SpecError: there is none, or more than one.
    """
    if not is_index(top.media_type):
        return top
    links = parse_links(source.manifest(top), top.media_type)
    fitting = [each for each in links.children if _fits(each.platform, platform)]
    if len(fitting) == 1:
        return fitting[0].descriptor
    there = ", ".join(each.platform or "one without platform" for each in links.children)
    raise SpecError(
        f"{source.name} has {'several images' if fitting else 'no image'} for {platform}",
        why=f"{top.digest} holds {there or 'nothing'}",
        mend="name one of these with `--platform`, or copy all without it",
    )


def _fits(said: str, wanted: Platform) -> bool:
    return said == str(wanted) or (said == "linux/arm64/v8" and str(wanted) == "linux/arm64")


# -- blobs


def _send_blobs(
    source: Repository,
    target: Repository,
    items: Sequence[Item],
    count: _Count,
    progress: Progress,
    mount_from: str,
    threads: int,
) -> None:
    """Every blob that the manifests name, each once, largest first: the last one decides the time."""
    blobs = {each.digest: each for item in items for each in item.links.blobs}

    def send(blob: Descriptor) -> None:
        if any(word in blob.media_type for word in _FOREIGN) and not source.has(blob):
            return
        if target.has(blob):
            with count.lock:
                count.skipped += blob.size
            return
        sent = target.put(blob, _content(source, blob, progress), mount_from=mount_from)
        with count.lock:
            count.blobs += sent
            count.moved += blob.size if sent else 0
            count.mounted += 0 if sent else blob.size

    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="copy") as pool:
        ordered = sorted(blobs.values(), key=lambda each: (-each.size, each.digest))
        gathered([pool.submit(send, each) for each in ordered])


def _content(
    source: Repository, blob: Descriptor, progress: Progress
) -> Callable[[], AbstractContextManager[Iterator[bytes]]]:
    @contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        key = str(blob.digest)
        progress.start(key, key[7:19], blob.size)
        try:
            with source.stream(blob) as pieces:
                yield _told(pieces, key, progress)
        finally:
            progress.finish(key)

    return opened


def _told(pieces: Iterator[bytes], key: str, progress: Progress) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        progress.advance(key, len(piece))

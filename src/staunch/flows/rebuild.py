"""Build an image again from its attested lock, and compare: digest, diff_ids, files.

Nothing that an earlier build derived is used: segments, layers, byte code and records are made anew in a
store of their own. Packages as downloaded are taken from the user's store, where they are kept by the
digests that the lock names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from staunch import __version__
from staunch.attest.contents import compare_files
from staunch.attest.provenance import Provenance
from staunch.attest.verification import Check
from staunch.flows.build import BuildOptions, Compression, build
from staunch.flows.contents import Layers, describe_change, layers_in, read_contents
from staunch.flows.diff import compare_config
from staunch.flows.signed_build import StoreRepository
from staunch.flows.verify import manifests_of
from staunch.flows.world import World
from staunch.formats import estargz, oci
from staunch.formats.lock import MEDIA_TYPE, parse_lock
from staunch.model import limits
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.lock import Lock
from staunch.model.platform import Platform
from staunch.model.spec import ImageSpec
from staunch.model.verdict import Passed, Refused, Unknown
from staunch.ports import Blob, Pending, Repository, Store

__all__ = ["FreshStore", "Rebuilt", "check_rebuild", "find_lock", "rebuild"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of building again. ``wanted`` is the digest of the image, ``got`` that of ours.

    ``layers`` counts the diff_ids that are the same, of all. ``differences`` are lines for people:
    none where the digests are equal.
    """

    wanted: Digest
    got: Digest
    layers: tuple[int, int]
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the image was reproduced, bit for bit."""
        return self.wanted == self.got


def find_lock(
    repository: Repository, image: Descriptor, said: tuple[Provenance, ...] = ()
) -> tuple[Lock, Digest, bool] | None:
    """The lock that an image was built from, its digest, and whether a trusted signer attests it.

    Args:
        repository: where the image is.
        image: a manifest or index.
        said: trusted provenance about it; the lock in it is preferred to an attached one.

    Raises:
        UntrustedError: the attached lock is damaged.
        SpecError: it is none that this version reads.
    """
    named = {each.lock for each in said if each.lock is not None}
    for each in said:
        if each.lock_bytes is not None and each.lock is not None:
            return parse_lock(each.lock_bytes, file="the attested lock"), each.lock, True
    for referrer in repository.referrers(image.digest):
        manifest = oci.parse_manifest(repository.manifest(referrer.descriptor))
        for layer in manifest.layers:
            if layer.media_type == MEDIA_TYPE and layer.size <= limits.LOCK_BYTES:
                if named and layer.digest not in named:
                    continue
                with repository.stream(layer) as pieces:
                    data = b"".join(pieces)
                return parse_lock(data, file="the attached lock"), layer.digest, bool(named)
    return None


def rebuild(
    repository: Repository,
    image: Descriptor,
    spec: ImageSpec,
    lock: Lock,
    world: World,
    fresh: Store,
) -> Rebuilt:
    """Build ``image`` again.

    Args:
        repository: where the image is.
        image: a manifest or index.
        spec: what it was built from, with its ``files``.
        lock: what it was built from.
        world: for the build; of its store only downloads are used.
        fresh: an empty store, for everything that is made.

    Raises:
        SpecError: the lock does not fit the spec, or asks for another encoder.
        UntrustedError: a package is not what the lock promises, or the image is damaged.
        UndecidedError: something could not be fetched.
    """
    wanted = {_platform(layers): layers for layers in _images(repository, image)}
    spec = replace(spec, platforms=tuple(sorted(wanted)))
    store = FreshStore(world.store, fresh)
    with store.scratch() as folder:
        options = BuildOptions(folder / "image", compression=_compression(wanted))
        report = build(spec, lock, replace(world, store=store), options)
        made = {each.image.platform: each for each in report.platforms}
        got = report.published.digest
        ours = StoreRepository(store, spec.name)
        lines: list[str] = []
        same = total = 0
        for platform in sorted(wanted.keys() | made.keys()):
            if platform not in wanted or platform not in made:
                lines.append(
                    f"{platform}: {'not in the image' if platform in made else 'not built'}"
                )
                continue
            theirs = wanted[platform]
            built = layers_in(ours, made[platform].image.manifest)
            total += len(theirs.diff_ids)
            same += len(set(theirs.diff_ids) & set(built.diff_ids))
            if got != image.digest:
                lines += _explained(platform, theirs, built)
    return Rebuilt(image.digest, got, (same, total), tuple(lines))


def _images(repository: Repository, image: Descriptor) -> Iterator[Layers]:
    for each in manifests_of(repository, image):
        manifest = oci.parse_manifest(repository.manifest(each))
        if not manifest.artifact_type and manifest.subject is None:
            yield layers_in(repository, each)


def _platform(layers: Layers) -> Platform:
    return Platform.parse(f"{layers.config.os}/{layers.config.architecture}")


def _compression(images: dict[Platform, Layers]) -> Compression:
    layers = [each for image in images.values() for each in image.descriptors]
    if all(estargz.TOC_DIGEST in dict(each.annotations) for each in layers):
        return "estargz"
    return "gzip" if all(each.media_type.endswith("gzip") for each in layers) else "zstd"


def _explained(platform: Platform, theirs: Layers, ours: Layers) -> Iterator[str]:
    """Why two images differ: files, configuration, else the layers' encoding."""
    told = False
    if theirs.diff_ids != ours.diff_ids:
        for change in compare_files(read_contents(theirs).files, read_contents(ours).files):
            told = True
            yield f"{platform}: {describe_change(change)}"
        if not told:
            yield f"{platform}: the same files, in other layers: {_names(theirs)} → {_names(ours)}"
        return
    for value in compare_config(theirs.config_bytes, ours.config_bytes):
        told = True
        before, after = value.before or "nothing", value.after or "nothing"
        yield f"{platform}: {value.key}: wanted {before}, got {after}"
    if theirs.descriptors != ours.descriptors:
        told = True
        yield f"{platform}: the same layers, encoded otherwise"
    if not told:
        yield f"{platform}: the same layers and settings in another manifest or configuration"


def _names(layers: Layers) -> str:
    return ", ".join(each.hex[:12] for each in layers.diff_ids)


def check_rebuild(found: Rebuilt, lock: Digest, *, attested: bool, built_by: str = "") -> Check:
    """The answer as a check of ``staunch verify``.

    Args:
        found: what came of it.
        lock: digest of the lock.
        attested: whether a trusted signer named that lock.
        built_by: the version of Staunch that the provenance names, "" if untold.
    """
    same, total = found.layers
    word = "attested" if attested else "attached"
    notes = () if attested else ("no trusted signer names this lock",)
    if found.same:
        held = f"built again from the {word} lock {lock}: the same digest, {total} layers"
        return Check("rebuild", Passed(), held, notes)
    lines = found.differences[:_SHOWN]
    if len(found.differences) > _SHOWN:
        lines += (f"and {len(found.differences) - _SHOWN} more",)
    what = f"built again it is {found.got}, {same} of {total} layers are the same"
    if built_by and built_by != __version__:
        reason = f"{what}; it was built by Staunch {built_by}, this is {__version__}"
        return Check("rebuild", Unknown((reason, *lines)), notes=notes)
    return Check("rebuild", Refused((what, *lines)), notes=notes)


@dataclass(frozen=True, slots=True)
class FreshStore:
    """ports.Store: downloads are ``base``'s, everything that is derived is ``fresh``'s alone."""

    base: Store
    fresh: Store

    def blob(self, digest: Digest) -> Blob | None:
        """Made here, or downloaded before: a blob is what its digest says, whoever made it."""
        return self.fresh.blob(digest) or self.base.blob(digest)

    def standing(self, digest: Digest, size: int | None = None) -> Blob | None:
        """As ``blob``."""
        return self.fresh.standing(digest, size) or self.base.standing(digest, size)

    def careful(self) -> Store:
        """See ``Store``."""
        return FreshStore(self.base.careful(), self.fresh.careful())

    def put(self, data: bytes) -> Digest:
        """See ``Store``."""
        return self.fresh.put(data)

    def download(self, digest: Digest, size: int | None) -> AbstractContextManager[Pending]:
        """Into the user's store, where the next build finds it."""
        return self.base.download(digest, size)

    def create(self) -> AbstractContextManager[Pending]:
        """See ``Store``."""
        return self.fresh.create()

    def digest_of(self, pending: Pending) -> Digest:
        """See ``Store``."""
        return self.fresh.digest_of(pending)

    def file(self, kind: str, key: str) -> Blob | None:
        """Only what was made here."""
        return self.fresh.file(kind, key)

    def create_file(self, kind: str, key: str) -> AbstractContextManager[Pending]:
        """See ``Store``."""
        return self.fresh.create_file(kind, key)

    def record(self, kind: str, key: str) -> bytes | None:
        """Only what was made here."""
        return self.fresh.record(kind, key)

    def put_record(self, kind: str, key: str, data: bytes) -> None:
        """See ``Store``."""
        self.fresh.put_record(kind, key, data)

    def scratch(self) -> AbstractContextManager[Path]:
        """See ``Store``."""
        return self.fresh.scratch()

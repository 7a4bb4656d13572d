"""What a build says of its own image, signed: "signed", its SBOM and its provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from staunch import __version__
from staunch.assemble.debian import deb_purl
from staunch.attest.provenance import (
    LOCAL_BUILDER,
    PREDICATE_TYPE,
    Invocation,
    files_digest,
    provenance,
)
from staunch.attest.sbom import file_list
from staunch.attest.trust import type_of
from staunch.errors import SpecError
from staunch.flows.signing import Scheme, Written, attest_image, sign_image
from staunch.formats import oci
from staunch.model.digest import Digest
from staunch.model.image import Assembled, Descriptor, PlatformImage
from staunch.model.lock import Lock
from staunch.model.spec import ImageSpec
from staunch.ports import Blob, KeylessSigner, Referrer, Repository, Signer, Store
from staunch.publish.repository import open_layout

__all__ = ["Described", "Said", "Signing", "StoreRepository", "plan_statements", "sign_build", "tag_build"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs a build, and what he says of where and why it ran (``provenance.Invocation``)."""

    signer: Signer | KeylessSigner
    builder: str = LOCAL_BUILDER
    invocation: str = ""
    source: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """One platform of the finished image, and its SBOM as SPDX and CycloneDX, JSON."""

    assembled: Assembled
    image: PlatformImage
    sbom: bytes
    cyclonedx: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """One thing to say of a manifest: ``kind`` "" for "signed", else a predicate's type."""

    image: Descriptor
    kind: str = ""
    predicate: bytes = b""


def plan_statements(
    spec: ImageSpec,
    lock: Lock,
    built: Sequence[Described],
    store: Store,
    signing: Signing,
    *,
    compression: str,
    started: datetime,
    finished: datetime,
) -> tuple[Said, ...]:
    """What is said of a build: of each platform's manifest, and of the index over several."""
    invocation = Invocation(
        started, finished, signing.builder, signing.invocation, signing.source, signing.commit
    )
    first = built[0].assembled
    predicate = provenance(
        spec,
        lock,
        invocation,
        staunch_version=__version__,
        compression=compression,
        files=files_digest(first, file_list(first)),
        purl_of=lambda each: deb_purl(each, lock.foundation),
    )
    said: list[Said] = []
    for image in (*(each.image.manifest for each in built), *_index(built, store)):
        said += [Said(image), Said(image, PREDICATE_TYPE, predicate)]
    for each in built:
        said.append(Said(each.image.manifest, type_of("spdx"), each.sbom))
        said.append(Said(each.image.manifest, type_of("cyclonedx"), each.cyclonedx))
    return tuple(said)


def sign_build(
    said: Sequence[Said], store: Store, name: str, signer: Signer | KeylessSigner
) -> tuple[Written, ...]:
    """Write it as referrers into the store, for ``write_layout``."""
    return _write(said, StoreRepository(store, name), name, signer, Scheme.REFERRERS)


def tag_build(
    said: Sequence[Said], layout: Path, name: str, signer: Signer | KeylessSigner
) -> tuple[Written, ...]:
    """Write it a second time for older cosigns, as tags of the finished layout; keys only."""
    if isinstance(signer, KeylessSigner):
        return ()
    with open_layout(layout, write=True, image_name=name) as repository:
        return _write(said, repository, name, signer, Scheme.TAGS)


def _write(
    said: Sequence[Said],
    repository: Repository,
    name: str,
    signer: Signer | KeylessSigner,
    scheme: Scheme,
) -> tuple[Written, ...]:
    written: list[Written] = []
    for each in said:
        if each.kind:
            written += attest_image(
                repository, each.image, each.kind, each.predicate, signer,
                name=name, schemes=(scheme,),
            )  # fmt: skip
        else:
            written += sign_image(repository, each.image, signer, reference=name, schemes=(scheme,))
    return tuple(written)


def _index(built: Sequence[Described], store: Store) -> Iterator[Descriptor]:
    """The index over several platforms, as ``publish.layout`` makes it."""
    if len(built) > 1:
        images = sorted((each.image for each in built), key=lambda each: each.platform)
        data = oci.index([(each.platform, each.manifest) for each in images])
        yield Descriptor(oci.MEDIA_INDEX, store.put(data), len(data))


@dataclass(frozen=True, slots=True)
class StoreRepository:
    """ports.Repository for what is being written into the store: it has no tags, and lists nothing."""

    store: Store
    name: str

    def tags(self) -> Iterator[str]:
        """None."""
        return iter(())

    def resolve(self, name: str) -> Descriptor | None:
        """Never: the store does not know which of its blobs are manifests."""
        return None

    def manifest(self, descriptor: Descriptor) -> bytes:
        """From the store, checked there."""
        blob = self.blob(descriptor)
        return blob.pread(blob.size, 0)

    @contextmanager
    def stream(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """A blob at once: only small ones are read through this."""
        yield iter((self.manifest(descriptor),))

    def blob(self, descriptor: Descriptor) -> Blob:
        """From the store.

        Raises:
            SpecError: it is not there.
        """
        blob = self.store.blob(descriptor.digest)
        if blob is None:
            raise SpecError(
                f"{descriptor.digest} is not in the store",
                why="it was never written, or removed since",
                mend="build again",
            )
        return blob

    def referrers(self, subject: Digest, *, artifact_type: str = "") -> tuple[Referrer, ...]:
        """None are known."""
        return ()

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the store holds it."""
        return self.store.blob(descriptor.digest) is not None

    def put(
        self,
        descriptor: Descriptor,
        content: Callable[[], AbstractContextManager[Iterator[bytes]]],
        *,
        mount_from: str = "",
    ) -> bool:
        """Keep a small blob."""
        if self.has(descriptor):
            return False
        with content() as pieces:
            self.store.put(b"".join(pieces))
        return True

    def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
        """Keep a manifest; it gets no tag."""
        return Descriptor(media_type, self.store.put(data), len(data))

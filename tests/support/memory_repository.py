"""A repository in memory: ``ports.Repository`` without disk or network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from staunch.errors import SpecError, UntrustedError
from staunch.formats import oci
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.ports import Blob, Referrer


@dataclass(frozen=True, slots=True)
class _Bytes:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def pread(self, size: int, offset: int) -> bytes:
        return self.data[offset : offset + size]


@dataclass
class MemoryRepository:
    """Tests may change ``blobs`` under it: what it gives is checked, as the port asks."""

    name: str = "registry.example.org/team/app"
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, tuple[str, bytes]] = field(default_factory=dict)
    tagged: dict[str, Digest] = field(default_factory=dict)
    puts: int = 0

    def tags(self) -> Iterator[str]:
        yield from sorted(self.tagged)

    def resolve(self, name: str) -> Descriptor | None:
        digest = Digest.parse(name) if ":" in name else self.tagged.get(name)
        if digest is None or digest not in self.manifests:
            return None
        media_type, data = self.manifests[digest]
        return Descriptor(media_type, digest, len(data))

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self._checked(descriptor, self.manifests.get(descriptor.digest, ("", b""))[1])

    @contextmanager
    def stream(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        data = self._checked(descriptor, self.blobs.get(descriptor.digest, b""))
        yield (data[at : at + 1000] for at in range(0, len(data), 1000))

    def blob(self, descriptor: Descriptor) -> Blob:
        return _Bytes(self.blobs[descriptor.digest])

    def referrers(self, subject: Digest, *, artifact_type: str = "") -> tuple[Referrer, ...]:
        found = []
        for digest, (media_type, data) in sorted(self.manifests.items()):
            try:
                manifest = oci.parse_manifest(data)
            except UntrustedError:
                continue
            if manifest.subject == subject and artifact_type in ("", manifest.artifact_type):
                descriptor = Descriptor(media_type, digest, len(data))
                found.append(Referrer(descriptor, manifest.artifact_type))
        return tuple(found)

    def has(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self.blobs or descriptor.digest in self.manifests

    def put(
        self,
        descriptor: Descriptor,
        content: Callable[[], AbstractContextManager[Iterator[bytes]]],
        *,
        mount_from: str = "",
    ) -> bool:
        if self.has(descriptor):
            return False
        with content() as chunks:
            self.blobs[descriptor.digest] = self._checked(descriptor, b"".join(chunks))
        self.puts += 1
        return True

    def put_manifest(self, media_type: str, data: bytes, *, tag: str = "") -> Descriptor:
        digest = Digest.of(data)
        if media_type == oci.MEDIA_MANIFEST:
            manifest = oci.parse_manifest(data)
            for each in (manifest.config, *manifest.layers):
                if not self.has(each):
                    raise SpecError(f"{each.digest} is missing", why="put it first", mend="")
        self.manifests[digest] = (media_type, data)
        if tag:
            self.tagged[tag] = digest
        return Descriptor(media_type, digest, len(data))

    def _checked(self, descriptor: Descriptor, data: bytes) -> bytes:
        if Digest.of(data) != descriptor.digest or len(data) != descriptor.size:
            raise UntrustedError(
                f"{self.name} does not hold what it promises",
                why=f"wanted {descriptor.digest}, got {Digest.of(data)}",
                mend="fetch it again",
            )
        return data

"""One image's layers, wherever it lies: opened by number, in one way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from staunch.errors import SpecError, UntrustedError
from staunch.flows.targets import Target
from staunch.formats import oci
from staunch.formats.toc import has_toc
from staunch.model.digest import Digest
from staunch.model.image import Descriptor
from staunch.model.platform import Platform
from staunch.ports import Blob, Repository
from staunch.publish.read import SourceImage, open_image
from staunch.scan.unpacked import unpacked

__all__ = ["LayeredImage", "of_repository", "open_docker_archive"]

_DEPTH = 4  # of indexes in indexes


@dataclass(frozen=True, slots=True)
class LayeredImage:
    """An image and how to read its layers, base first.

    ``digest`` is that of its manifest (None for a docker archive). ``tar`` gives a layer's tar,
    whose stored bytes are checked as it ends; ``table`` its descriptor and blob where it has a table of contents.
    """

    digest: Digest | None
    platform: Platform | None
    config: oci.Config
    config_bytes: bytes
    tar: Callable[[int], Generator[bytes, None, None]]
    table: Callable[[int], tuple[Descriptor, Blob] | None]
    layers: tuple[Descriptor, ...] = ()  # as stored; a docker archive's have their diff_ids


@contextmanager
def open_docker_archive(path: Path, platform: Platform | None) -> Iterator[LayeredImage]:
    """An archive of ``docker save``; raises as ``open_image``."""
    with open_image(path) as source:
        image = source.image(platform)
        yield LayeredImage(
            image.manifest.digest if image.manifest else None,
            image.platform,
            image.config,
            image.config_bytes,
            lambda number: _raw(image, number),
            lambda _: None,
            image.layers,
        )


def _raw(image: SourceImage, number: int) -> Generator[bytes, None, None]:
    yield from image.raw_layer(number)


def of_repository(target: Target, platform: Platform | None, host: Platform) -> LayeredImage:
    """The image that a target names: of ``platform``, else the only one, else ``host``'s.

    Raises:
        SpecError: it holds no such image.
        UntrustedError: something is not what it promises.
        UndecidedError: it could not be asked.
    """
    repository = target.repository
    descriptor, manifest = _manifest(repository, target.descriptor, platform, host)
    config_bytes = _small(repository, manifest.config)
    config = oci.parse_config(config_bytes)
    if len(config.diff_ids) != len(manifest.layers):
        raise UntrustedError(
            f"cannot read the image {target.name}",
            why=f"{len(manifest.layers)} layers, {len(config.diff_ids)} diff_ids",
            mend="fetch or write the image again",
        )

    def tar(number: int) -> Generator[bytes, None, None]:
        layer = manifest.layers[number]
        with repository.stream(layer) as stored:
            yield from unpacked(stored, size=layer.size, what=f"layer {layer.digest}")
            for _ in stored:  # behind the end of what was unpacked: it is checked at its end
                pass

    def table(number: int) -> tuple[Descriptor, Blob] | None:
        layer = manifest.layers[number]
        return (layer, repository.blob(layer)) if has_toc(layer) else None

    return LayeredImage(
        descriptor.digest, _platform(config), config, config_bytes, tar, table, manifest.layers
    )


def _manifest(
    repository: Repository, descriptor: Descriptor, platform: Platform | None, host: Platform
) -> tuple[Descriptor, oci.Manifest]:
    """Down through indexes to the manifest of one platform."""
    for _ in range(_DEPTH):
        data = repository.manifest(descriptor)
        if not ("index" in descriptor.media_type or "manifest.list" in descriptor.media_type):
            return descriptor, oci.parse_manifest(data)
        entries = [
            each
            for each in oci.parse_index(data).manifests
            if each.platform is not None or "index" in each.descriptor.media_type
        ]
        descriptor = _choose(repository, entries, platform, host)
    raise UntrustedError(
        f"cannot read the image {descriptor.digest}",
        why=f"indexes are nested more than {_DEPTH} deep",
        mend="name the image of one platform by its digest",
    )


def _choose(
    repository: Repository,
    entries: list[oci.IndexEntry],
    platform: Platform | None,
    host: Platform,
) -> Descriptor:
    wanted = platform if platform or len(entries) == 1 else host
    fitting = [each for each in entries if wanted in (None, each.platform)]
    if len(fitting) == 1:
        return fitting[0].descriptor
    there = ", ".join(sorted(str(each.platform) for each in entries if each.platform))
    raise SpecError(
        f"{repository.name} has no single image to choose",
        why=f"wanted {wanted or 'its only platform'}, it holds {there or 'none that is known'}",
        mend="name one of its platforms with `--platform`",
    )


def _platform(config: oci.Config) -> Platform | None:
    try:
        return Platform.parse(f"{config.os}/{config.architecture}")
    except SpecError:
        return None


def _small(repository: Repository, descriptor: Descriptor) -> bytes:
    """A blob whole, checked as it ends."""
    if descriptor.size > oci.DOCUMENT_BYTES:
        raise UntrustedError(
            "cannot read the image's configuration",
            why=f"it has {descriptor.size} bytes; the limit is {oci.DOCUMENT_BYTES}",
            mend="fetch or write the image again",
        )
    with repository.stream(descriptor) as chunks:
        return b"".join(chunks)

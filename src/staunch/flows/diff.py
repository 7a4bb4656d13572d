"""What changed between two images: packages, files, layers and configuration.

Packages are found and files are hashed in the layers themselves; what a builder says of his image
is not asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from staunch.attest.contents import compare_files
from staunch.flows.contents import Layers, read_contents
from staunch.flows.inventory import take_inventory
from staunch.flows.layers import LayeredImage, of_repository, open_docker_archive
from staunch.flows.targets import open_target
from staunch.model.contents import Contents
from staunch.model.difference import (
    Compared,
    ConfigChange,
    Difference,
    LayerSize,
    PackageChange,
)
from staunch.model.image import Descriptor
from staunch.model.inventory import FoundPackage, Gap, Inventory
from staunch.model.platform import Platform
from staunch.ports import Registries
from staunch.publish.read import open_files

__all__ = ["compare_packages", "diff"]

_HOST = Platform("linux", "amd64")
_LEFT_OUT = ("created", "history", "rootfs", "container", "container_config", "docker_version")


@dataclass(frozen=True, slots=True)
class _Side:
    inventory: Inventory
    contents: Contents | None
    config: bytes
    layers: tuple[Descriptor, ...]


def diff(
    before: str,
    after: str,
    *,
    registries: Registries,
    host: Platform = _HOST,
    platform: Platform | None = None,
    files: bool = True,
    threads: int = 2,
) -> Difference:
    """Compare two targets.

    Args:
        before: an image in a registry, a layout, an OCI or docker archive; also what
            ``take_inventory`` knows beside images, of which packages alone are compared.
        after: likewise.
        registries: opens references.
        host: which platform of several, if none is named.
        platform: which of several.
        files: whether to hash every file; without, only packages, layers and configuration.
        threads: layers read at once.

    Raises:
        SpecError: a target is none.
        UntrustedError: it is not what its digests promise.
        UndecidedError: it could not be fetched.
    """
    sides = [
        _side(each, registries, host, platform, files=files, threads=threads)
        for each in (before, after)
    ]
    old, new = sides
    changes = None
    if old.contents is not None and new.contents is not None:
        changes = compare_files(old.contents.files, new.contents.files)
    return Difference(
        _compared(before, old),
        _compared(after, new),
        compare_packages(old.inventory.packages, new.inventory.packages),
        changes,
        tuple(_layers(old, new)),
        compare_config(old.config, new.config),
        tuple((name, gap) for name, side in zip(("before", "after"), sides, strict=True) for gap in _gaps(side)),
    )  # fmt: skip


def _side(
    target: str,
    registries: Registries,
    host: Platform,
    platform: Platform | None,
    *,
    files: bool,
    threads: int,
) -> _Side:
    inventory = take_inventory(
        target, registries=registries, platform=platform, host=host, whole=files, threads=threads
    )
    if not inventory.layers:  # a root, an SBOM, a lock
        return _Side(inventory, None, b"", ())
    with _opened(target, registries, host, platform) as image:
        layers = Layers(target, image.config, image.layers, image.tar)
        contents = read_contents(layers, threads=threads) if files else None
        return _Side(inventory, contents, image.config_bytes, image.layers)


@contextmanager
def _opened(
    target: str, registries: Registries, host: Platform, platform: Platform | None
) -> Iterator[LayeredImage]:
    path = Path(target.removeprefix("docker-archive:"))
    if path.exists() and _is_docker(path):
        with open_docker_archive(path, platform) as image:
            yield image
        return
    with open_target(target, registries) as found:
        yield of_repository(found, platform, host)


def _is_docker(path: Path) -> bool:
    with open_files(path) as opened:
        return opened.open("oci-layout") is None


def _compared(name: str, side: _Side) -> Compared:
    return Compared(
        name,
        side.inventory.digest,
        sum(each.size for each in side.layers),
        len(side.layers),
        len(side.inventory.packages),
        None if side.contents is None else len(side.contents.files),
    )


def _gaps(side: _Side) -> list[Gap]:
    found = set(side.inventory.gaps)
    if side.contents is not None:
        found.update(side.contents.gaps)
    return sorted(found)


def _layers(old: _Side, new: _Side) -> Iterator[LayerSize]:
    """Base first: those of ``before``, then what ``after`` adds."""
    theirs = set(new.inventory.layers)
    for diff_id, layer in zip(old.inventory.layers, old.layers, strict=True):
        yield LayerSize(diff_id, layer.size, "both" if diff_id in theirs else "before")
    ours = set(old.inventory.layers)
    for diff_id, layer in zip(new.inventory.layers, new.layers, strict=True):
        if diff_id not in ours:
            yield LayerSize(diff_id, layer.size, "after")


def compare_packages(
    before: Iterable[FoundPackage], after: Iterable[FoundPackage]
) -> tuple[PackageChange, ...]:
    """By type, namespace and name: a package that has one version on each side has changed.

    Where there are several versions of one name, those that went are removed and those that came
    are added. Places do not count, nor does architecture.
    """
    old, new = _versions(before), _versions(after)
    found = []
    for key in old.keys() | new.keys():
        was, now = old.get(key, {}), new.get(key, {})
        gone = {purl: was[purl] for purl in was.keys() - now.keys()}
        come = {purl: now[purl] for purl in now.keys() - was.keys()}
        if len(gone) == len(come) == 1:
            ((purl_gone, left),), ((purl_come, right),) = gone.items(), come.items()
            found.append(PackageChange(key[0], left.name, purl_gone, purl_come, left.version, right.version))  # fmt: skip
            continue
        found += [PackageChange(key[0], each.name, purl, "", each.version, "") for purl, each in gone.items()]  # fmt: skip
        found += [PackageChange(key[0], each.name, "", purl, "", each.version) for purl, each in come.items()]  # fmt: skip
    return tuple(sorted(found))


def _versions(
    packages: Iterable[FoundPackage],
) -> dict[tuple[str, str, str], dict[str, FoundPackage]]:
    found: dict[tuple[str, str, str], dict[str, FoundPackage]] = {}
    for each in packages:
        key = each.purl.type, each.purl.namespace, each.purl.name
        found.setdefault(key, {}).setdefault(str(each.purl), each)
    return found


def compare_config(before: bytes, after: bytes) -> tuple[ConfigChange, ...]:
    """Values of two configurations (image-spec, config.md), but for what each build makes anew."""
    old, new = dict(_values(before)), dict(_values(after))
    return tuple(
        ConfigChange(key, old.get(key, ""), new.get(key, ""))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def _values(data: bytes) -> Iterator[tuple[str, str]]:
    """Key and JSON of each value; environment and labels by name."""
    document = json.loads(data) if data else {}  # parsed strictly when the image was opened
    inner = document.pop("config", None) or {}
    for key in _LEFT_OUT:
        document.pop(key, None)
    for name, value in (*document.items(), *inner.items()):
        if name == "Env" and isinstance(value, list):
            for each in value:
                variable, _, text = str(each).partition("=")
                yield f"Env.{variable}", json.dumps(text, ensure_ascii=False)
        elif isinstance(value, dict):
            for key in value:
                yield f"{name}.{key}", json.dumps(value[key], ensure_ascii=False, sort_keys=True)
        elif value not in (None, "", [], False):
            yield name, json.dumps(value, ensure_ascii=False, sort_keys=True)

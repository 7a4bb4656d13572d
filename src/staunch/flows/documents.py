"""Targets that are documents: an SBOM, a lock, a spec by its lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from staunch.assemble.debian import deb_purl
from staunch.errors import HostError, SpecError
from staunch.formats.lock import parse_lock
from staunch.model import limits
from staunch.model.inventory import Distribution, FoundPackage, Inventory, Location
from staunch.model.platform import Platform
from staunch.model.purl import Purl
from staunch.scan.sbom import inventory_of_sbom

__all__ = ["inventory_of_document", "is_document"]

_SPECS = (".yaml", ".yml")


def is_document(path: Path) -> bool:
    """Whether a file is a lock, a spec, or JSON by its first sign."""
    if not path.is_file():
        return False
    if path.suffix in (*_SPECS, ".lock"):
        return True
    with path.open("rb") as stream:
        return stream.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def inventory_of_document(target: str, path: Path, platform: Platform | None) -> Inventory:
    """What an SBOM, a lock or a spec's lock tells.

    Raises:
        SpecError: the file is not there, a spec has no lock, or none for that platform.
        UntrustedError: an SBOM that cannot be read.
    """
    if path.suffix in _SPECS:
        lock = path.with_suffix(".lock")
        if not lock.is_file():
            raise SpecError(
                f"{path} has no lock",
                why=f"a spec says what is wanted, its lock what it becomes; there is no {lock}",
                mend=f"run `staunch lock {path}`, or scan the image",
            )
        return _of_lock(target, lock, platform)
    if path.suffix == ".lock":
        return _of_lock(target, path, platform)
    return inventory_of_sbom(_chunks(path), target=target)


def _of_lock(target: str, path: Path, platform: Platform | None) -> Inventory:
    data = b"".join(_chunks(path, max_bytes=limits.LOCK_BYTES))
    lock = parse_lock(data, file=str(path))
    there = [each for each in lock.platforms if platform in (None, each.platform)]
    if not there:
        raise SpecError(
            f"{path} is for other platforms",
            why=f"wanted {platform}, it has {', '.join(str(p.platform) for p in lock.platforms)}",
            mend="name one of these with `--platform`, or lock again",
        )
    distribution = Distribution(lock.foundation.distribution, lock.foundation.release)
    place = (Location(path.name),)
    found: dict[Purl, FoundPackage] = {}
    for each in there:
        for package in each.packages:
            purl = deb_purl(package, lock.foundation)
            found[purl] = FoundPackage(
                purl,
                package.name,
                package.version,
                "lock",
                architecture=package.architecture,
                source=package.source,
                source_version=package.source_version,
                distribution=distribution,
                locations=place,
            )
        for wheel in each.wheels:
            purl = Purl.make("pypi", "", wheel.name, wheel.version)
            found[purl] = FoundPackage(purl, wheel.name, wheel.version, "lock", locations=place)
    return Inventory(
        target,
        tuple(found[purl] for purl in sorted(found, key=str)),
        platform=there[0].platform if len(there) == 1 else None,
        distribution=distribution,
    )


def _chunks(path: Path, *, max_bytes: int | None = None) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            if max_bytes is not None:
                yield stream.read(max_bytes + 1)
                return
            while chunk := stream.read(limits.MIB):
                yield chunk
    except FileNotFoundError as error:
        raise SpecError(
            f"there is no file {path}", why="it does not exist", mend="name one that does"
        ) from error
    except OSError as error:
        raise HostError(
            f"cannot read {path}",
            why=error.strerror or str(error),
            mend="give yourself permission, or name another file",
        ) from error

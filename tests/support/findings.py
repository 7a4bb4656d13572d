"""Packages and findings for tests of what is done with them."""

from __future__ import annotations

from staunch.model.digest import Digest
from staunch.model.finding import Evidence, Finding, Level, State
from staunch.model.inventory import Distribution, FoundPackage, Inventory, Location
from staunch.model.purl import Purl

DEBIAN = Distribution("debian", "13", "trixie")
IMAGE = Digest.of(b"an image")
LAYER = Digest.of(b"a layer")


def deb(name: str, version: str = "1.0-1", *, source: str = "", **more: object) -> FoundPackage:
    """A Debian package."""
    return FoundPackage(
        purl=Purl.make("deb", "debian", name, version, arch="amd64", distro="debian-13"),
        name=name,
        version=version,
        found_by="dpkg-status.d",
        source=source or name,
        source_version=version,
        distribution=DEBIAN,
        locations=(Location(f"var/lib/dpkg/status.d/{name}", LAYER),),
        **more,  # type: ignore[arg-type]  # by the caller's word
    )


def wheel(name: str, version: str = "1.0", **more: object) -> FoundPackage:
    """A Python package."""
    return FoundPackage(
        purl=Purl.make("pypi", "", name, version),
        name=name,
        version=version,
        found_by="dist-info",
        locations=(
            Location(f"usr/lib/python3/dist-packages/{name}-{version}.dist-info/METADATA", LAYER),
        ),
        **more,  # type: ignore[arg-type]  # by the caller's word
    )


def finding(
    id_: str,
    package: FoundPackage,
    *,
    state: State = State.AFFECTED,
    level: Level = Level.HIGH,
    **more: object,
) -> Finding:
    """A finding with evidence."""
    evidence = (Evidence("debian-tracker", id_, "deb-source-version", package.version, "2.0-1"),)
    return Finding(
        id=id_,
        package=package,
        state=state,
        level=level,
        level_source="debian",
        evidence=evidence,
        **more,  # type: ignore[arg-type]  # by the caller's word
    )


def inventory(*packages: FoundPackage, **more: object) -> Inventory:
    """An inventory of an image."""
    return Inventory(
        **{  # type: ignore[arg-type]  # by the caller's word
            "target": "registry.example.org/team/app:1",
            "packages": packages,
            "digest": IMAGE,
            "distribution": DEBIAN,
            "layers": (LAYER,),
            **more,
        }
    )

"""Libraries that wheels carry along, CUDA among them, and what wheels themselves say of theirs."""

from __future__ import annotations

from collections.abc import Iterator

from staunch.ecosystems.bundled import Bundled, may_be_bundled, recognise
from staunch.ecosystems.cuda import major_driver
from staunch.errors import UntrustedError
from staunch.model.entry import Kind
from staunch.model.inventory import Confidence, FoundPackage, Gap, Location
from staunch.scan.content import Facts
from staunch.scan.programs import Program
from staunch.scan.sbom import inventory_of_sbom
from staunch.scan.tree import Leaf, shown
from staunch.scan.view import Find, View, gap, kept

__all__ = ["find_native", "find_told_by_wheels", "least_driver"]

_RUNTIME = "cuda_cudart"  # the one library of CUDA that asks for a driver


def least_driver(component: str, version: str) -> str:
    """The oldest driver that a version of the CUDA runtime needs; "" for other components."""
    return major_driver(version.partition(".")[0]) if component == _RUNTIME and version else ""


def find_native(view: View) -> Iterator[Find | Gap]:
    """Each shared library that lies among Python packages and is another project's."""
    for path, leaf in view.tree.leaves():
        if leaf.kind is Kind.FILE and may_be_bundled(path):
            bundled = _bundled(path, leaf)
            if bundled is not None:
                yield Find(_package(bundled, view.location(path, leaf)))


def _bundled(path: str, leaf: Leaf) -> Bundled | None:
    content = leaf.content
    if isinstance(content, Facts) and isinstance(content.value, Program):
        return content.value.bundled
    return recognise(shown(path), None, b"")  # left unread: its name alone tells


def _package(bundled: Bundled, place: Location) -> FoundPackage:
    facts = {
        "build-id": bundled.build_id,
        "soname": bundled.soname,
        "driver": least_driver(bundled.name, bundled.version),
    }
    return FoundPackage(
        bundled.purl,
        bundled.name,
        bundled.version,
        bundled.kind,
        locations=(place,),
        known_by=bundled.known_by,
        confidence=Confidence.MEDIUM if bundled.version else Confidence.LOW,
        facts=tuple(sorted((key, value) for key, value in facts.items() if value)),
    )


def find_told_by_wheels(view: View) -> Iterator[Find | Gap]:
    """What a wheel's own SBOMs list (PEP 770): libraries, and the packages they were taken from."""
    for item in kept(view, "python-sbom", "pep770"):
        if isinstance(item, Gap):
            yield item
            continue
        path, leaf, data = item
        try:
            told = inventory_of_sbom([data], target=shown(path))
        except UntrustedError as fault:
            yield gap("pep770", path, fault)
            continue
        yield from (Gap("pep770", shown(path), each.why) for each in told.gaps)
        for package in told.packages:
            if package.purl.type != "pypi":  # the wheel itself is told by its metadata
                yield Find(_told(package, view.location(path, leaf)))


def _told(package: FoundPackage, place: Location) -> FoundPackage:
    return FoundPackage(
        package.purl,
        package.name,
        package.version,
        "bundled-library",
        architecture=package.architecture,
        source=package.source,
        source_version=package.source_version,
        distribution=package.distribution,
        locations=(place,),
        known_by="pep770",
        confidence=Confidence.MEDIUM,
    )

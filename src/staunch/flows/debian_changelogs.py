"""Fixed-in facts from the signed Debian archive: InRelease → Packages → deb → changelog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from urllib.parse import quote

from staunch.ecosystems import deb as versions
from staunch.ecosystems import foundations
from staunch.errors import SpecError, UndecidedError, UntrustedError
from staunch.fetch.archive import fetch_index, fetch_release
from staunch.fetch.blobs import download
from staunch.flows.world import World
from staunch.formats import debian_changelog
from staunch.formats.deb import data_members
from staunch.formats.debian_changelog import CHANGELOG_BYTES, SourceFixes
from staunch.formats.packages import Binary, PackageIndex, Suite
from staunch.formats.stream import inflate
from staunch.model import limits
from staunch.model.advisory import Broken
from staunch.model.entry import Kind
from staunch.model.spec import Foundation

TRIES = 6  # binaries of one source that are looked into
DEB_BYTES = 64 * limits.MIB  # larger ones are not fetched for their changelog


@dataclass(frozen=True, slots=True)
class Found:
    """What the archive of one release says; ``broken`` are sources whose changelog was not read."""

    codename: str
    fixes: tuple[SourceFixes, ...]
    broken: tuple[Broken, ...]
    date: str


def read_changelogs(
    world: World,
    release: str,
    *,
    sources: Iterable[str] | None = None,
    security_only: bool = True,
) -> Found:
    """Read the changelogs of one release's sources, through the existing trust chain.

    Args:
        world: ports; debs are kept in its store.
        release: number of a Debian release, ``12``.
        sources: only these; None for all.
        security_only: only sources that are newer in the security archive than in the main one.

    Raises:
        UntrustedError, UndecidedError: the archive's indexes cannot be had.
    """
    foundation = foundations.release(Foundation("debian", release))
    now = world.clock.now()
    suites: list[Suite] = []
    mirrors: dict[str, Sequence[str]] = {}
    dates = []
    for archive in foundation.archives:
        mirrors[archive.id] = world.mirrors(archive, None)
        for suite in archive.suites:
            trusted = fetch_release(
                archive, suite, mirrors=mirrors[archive.id], transport=world.transport,
                store=world.store, progress=world.progress, now=now,
            )  # fmt: skip
            dates.append(trusted.locked.date)
            for component in trusted.locked.components:
                suites += [
                    Suite(archive.id, suite, text)
                    for text in fetch_index(
                        trusted, component, world.architecture, mirrors=mirrors[archive.id],
                        transport=world.transport, store=world.store, progress=world.progress,
                    )
                ]  # fmt: skip
    grouped = _by_source(PackageIndex(suites, architecture=world.architecture))
    wanted = _wanted(grouped, sources, security_only=security_only)
    reader = _Reader(world, foundation.codename, release, mirrors)
    with ThreadPoolExecutor(max_workers=max(world.threads, 1)) as pool:
        results = list(pool.map(lambda name: reader.read(name, grouped[name]), wanted))
    fixes = tuple(each for each in results if isinstance(each, SourceFixes))
    broken = tuple(each for each in results if isinstance(each, Broken))
    return Found(foundation.codename, fixes, broken, max(dates).strftime("%Y-%m-%dT%H:%M:%SZ"))


def join(releases: Sequence[Found]) -> tuple[Found, ...]:
    """Let releases learn ids from each other by bug numbers."""
    by_source: dict[str, list[SourceFixes]] = defaultdict(list)
    for each in releases:
        for fixes in each.fixes:
            by_source[fixes.source].append(fixes)
    return tuple(
        replace(
            each,
            fixes=tuple(
                debian_changelog.joined(one, (o for o in by_source[one.source] if o is not one))
                for one in each.fixes
            ),
        )
        for each in releases
    )


def _by_source(index: PackageIndex) -> dict[str, dict[tuple[str, str], list[Binary]]]:
    """Binaries by source, then by (version, suite)."""
    found: dict[str, dict[tuple[str, str], list[Binary]]] = {}
    for name in index.names():
        for binary in index.packages(name):
            source, version = binary.source
            found.setdefault(source, {}).setdefault((version, binary.suite), []).append(binary)
    return found


def _wanted(
    grouped: Mapping[str, Mapping[tuple[str, str], list[Binary]]],
    sources: Iterable[str] | None,
    *,
    security_only: bool,
) -> list[str]:
    names = sorted(grouped if sources is None else set(sources) & grouped.keys())
    if not security_only:
        return names
    return [name for name in names if _newest(grouped[name])[1].endswith("-security")]


def _newest(versions_: Mapping[tuple[str, str], object]) -> tuple[str, str]:
    """Version and suite of the newest build; the main suite where it has the same."""
    return max(
        versions_, key=lambda each: (versions.order(each[0]), not each[1].endswith("-security"))
    )


class _Reader:
    """Reads one source's changelog from the smallest binaries that have it."""

    def __init__(
        self, world: World, codename: str, number: str, mirrors: Mapping[str, Sequence[str]]
    ) -> None:
        self._world, self._mirrors = world, mirrors
        self._codename, self._number = codename, number

    def read(
        self, source: str, builds: Mapping[tuple[str, str], list[Binary]]
    ) -> SourceFixes | Broken:
        version, suite = _newest(builds)
        binaries = sorted(builds[version, suite], key=lambda each: (each.file[1], each.name))
        why = "none of its binary packages holds a changelog"
        names = {each.name: each for each in binaries}
        queue, seen = [each.name for each in binaries], set[str]()
        while queue and len(seen) < TRIES:
            name = queue.pop(0)
            if name in seen or name not in names:
                continue
            seen.add(name)
            try:
                data, sibling = self._changelog(names[name])
                if sibling:
                    queue.insert(0, sibling)
                if data is None:
                    continue
                changelog = debian_changelog.parse_changelog(data, what=f"changelog of {source}")
                fixes = debian_changelog.fixes_of(
                    changelog, codename=self._codename, number=self._number, order=versions.order
                )
            except (UntrustedError, UndecidedError, SpecError) as error:
                why = f"{name}: {error.what}: {error.why}"
                continue
            if fixes.version != version:
                why = (
                    f"{name}: its changelog begins with {fixes.version}, the archive has {version}"
                )
                continue
            repositories = tuple(sorted({(where, which) for which, where in builds}))
            return replace(fixes, source=source, binary=name, repositories=repositories)
        return Broken(source, why)

    def _changelog(self, binary: Binary) -> tuple[bytes | None, str]:
        """Its changelog, or the package whose documentation its own is a link to."""
        filename, size, digest = binary.file
        if size > DEB_BYTES:
            raise UndecidedError(
                f"{binary} is not looked into", why=f"it has {size:,} bytes", mend="-"
            )
        path = quote(filename, safe="/+~:@!$&'()*,;=")
        verified = download(
            [f"{mirror.rstrip('/')}/{path}" for mirror in self._mirrors[binary.repository]],
            digest=digest, size=size, what=f"{binary} (deb)", transport=self._world.transport,
            store=self._world.store, progress=self._world.progress,
            origin=f"{binary.repository} {binary.suite} InRelease → Packages",
        )  # fmt: skip
        folder = f"usr/share/doc/{binary.name}"
        native: bytes | None = None
        for place, member in data_members(verified.blob, owner=str(binary)):
            if place == folder and member.kind is Kind.SYMLINK:
                return None, member.link.rstrip("/").rpartition("/")[2]
            if place in (f"{folder}/changelog.Debian.gz", f"{folder}/changelog.gz"):
                if member.kind is Kind.SYMLINK:
                    parts = member.link.strip("/").split("/")
                    return None, parts[-2] if len(parts) > 1 else ""
                text = _unpacked(member.pieces(), f"{place} of {binary}")
                if place.endswith("changelog.Debian.gz"):
                    return text, ""
                native = text  # of a native package, unless the other follows
        return native, ""


def _unpacked(pieces: Iterable[bytes], what: str) -> bytes:
    return b"".join(inflate(pieces, format="gz", max_bytes=CHANGELOG_BYTES, what=what))

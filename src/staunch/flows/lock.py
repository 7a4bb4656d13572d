"""Spec → lock: verified indexes, resolved packages and wheels (DESIGN.md §1, §5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches

from staunch import spec as specs
from staunch.ecosystems import foundations
from staunch.ecosystems.cuda import cuda_facts
from staunch.ecosystems.foundations import Archive, FoundationRelease
from staunch.ecosystems.script_only import SCRIPT_ONLY
from staunch.errors import SpecError, UndecidedError
from staunch.fetch.archive import TrustedRelease, fetch_index, fetch_release
from staunch.flows.world import World
from staunch.formats import zstd
from staunch.formats.packages import PackageIndex, Suite
from staunch.model.lock import (
    HeldBack,
    Lock,
    LockedPackage,
    LockedPlatform,
    LockedRepository,
    LockedWheel,
    Tools,
)
from staunch.model.platform import Platform
from staunch.model.sources import with_spec
from staunch.model.spec import ImageSpec, Place, Profile, Request
from staunch.resolve.debian import Solution, solve
from staunch.resolve.wheels import solve_wheels

# What a training image has beyond the inference image's packages and Debian's Essential set.
TRAINING = ("apt", "ca-certificates", "git", "procps")
LOCALE = "libc-bin"  # holds C.UTF-8, which every image with a C library sets as LANG
_SHOWN = 300  # characters of a reason
TRAINING_PYTHON = ("python3", "python3-pip", "python3-venv")


@dataclass(frozen=True, slots=True)
class _Archives:
    """Every archive of a spec with its verified suites."""

    suites: tuple[tuple[Archive, TrustedRelease], ...]

    @property
    def locked(self) -> tuple[LockedRepository, ...]:
        return tuple(sorted(trusted.locked for _, trusted in self.suites))


def lock(
    spec: ImageSpec,
    world: World,
    previous: Lock | None = None,
    upgrade: frozenset[str] | None = frozenset(),
) -> Lock:
    """Resolve a spec to exact files.

    Args:
        spec: what is wanted.
        world: the ports.
        previous: the lock that stands; its versions are kept where they are still offered, its
            repository dates are never gone below.
        upgrade: names that may move; None means all.

    Raises:
        SpecError: no set of packages or wheels fits the request, or a wheel is held back too far.
        UntrustedError: an index is not what its archive signed.
        UndecidedError: an archive or an index does not answer.
    """
    now = world.clock.now()
    release = foundations.release(spec.foundation)
    if previous is not None and previous.foundation != spec.foundation:
        previous = None
    archives = _archives(spec, release, world, now, previous)
    architectures = sorted(
        {platform.deb for platform in spec.platforms}
        | ({world.architecture} if spec.python else set())
    )
    indexes = {each: _index(archives, each, world, spec.snapshot) for each in architectures}
    world.progress.step("resolving packages")
    platforms = tuple(
        _platform(spec, release, platform, indexes[platform.deb], world, now, previous, upgrade)
        for platform in sorted(spec.platforms)
    )
    tools = (
        tuple(_tools(release, each, indexes[each], previous, upgrade) for each in architectures)
        if spec.python
        else ()
    )
    _refuse_unknown(upgrade or frozenset(), platforms)
    return Lock(
        name=spec.name,
        foundation=spec.foundation,
        inputs=specs.inputs_digest(spec),
        python=release.python if spec.python else None,
        libc=release.libc,
        encoder=zstd.ENCODER_ID,
        created=max(each.date for each in archives.locked),
        repositories=archives.locked,
        platforms=platforms,
        tools=tools,
    )


def _refuse_unknown(names: frozenset[str], platforms: Sequence[LockedPlatform]) -> None:
    """A name to upgrade that the image does not have is a misspelling, not a wish fulfilled."""
    known = {
        name
        for each in platforms
        for package in each.packages
        for name in (package.name, package.source)
    } | {wheel.name for each in platforms for wheel in each.wheels}
    for name in sorted(names - known):
        close = get_close_matches(name, sorted(known), n=3)
        raise SpecError(
            f"cannot upgrade {name!r}: the image has nothing of that name",
            why=f"the nearest names are {', '.join(close)}" if close else "no name is like it",
            mend=f"write `--upgrade {close[0]}`" if close else "see the lock for what there is",
        )


def interpreter_packages(release: FoundationRelease) -> tuple[str, ...]:
    """The foundation's Python without what only maintainer scripts need (DESIGN.md §7)."""
    return (f"python{release.python}-minimal", f"libpython{release.python}-stdlib")


def _archives(
    spec: ImageSpec,
    release: FoundationRelease,
    world: World,
    now: datetime,
    previous: Lock | None,
) -> _Archives:
    world.progress.step(f"verifying the indexes of {spec.foundation}")
    before = {(each.id, each.suite): each for each in previous.repositories} if previous else {}
    suites = []
    for archive in (*release.archives, *(Archive.of(each) for each in spec.repositories)):
        mirrors = world.mirrors(archive, spec.snapshot)
        for suite in archive.suites:
            trusted = fetch_release(
                archive,
                suite,
                mirrors=mirrors,
                transport=world.transport,
                store=world.store,
                progress=world.progress,
                now=now,
                snapshot=spec.snapshot,
                previous=before.get((archive.id, suite)),
            )
            suites.append((archive, trusted))
    return _Archives(tuple(suites))


def _index(
    archives: _Archives, architecture: str, world: World, snapshot: datetime | None
) -> PackageIndex:
    suites = []
    for archive, trusted in archives.suites:
        mirrors = world.mirrors(archive, snapshot)
        texts: list[bytes] = []
        for component in trusted.locked.components:
            texts += fetch_index(
                trusted,
                component,
                architecture,
                mirrors=mirrors,
                transport=world.transport,
                store=world.store,
                progress=world.progress,
            )
        suites += [Suite(archive.id, trusted.locked.suite, text) for text in texts]
    return PackageIndex(suites, architecture=architecture)


def _platform(
    spec: ImageSpec,
    release: FoundationRelease,
    platform: Platform,
    index: PackageIndex,
    world: World,
    now: datetime,
    previous: Lock | None,
    upgrade: frozenset[str] | None,
) -> LockedPlatform:
    before = previous.on(platform) if previous else None
    kept = {each.name: each.version for each in before.packages} if before else {}
    packages, lowered = _packages(
        spec, release, index, {} if upgrade is None else kept, upgrade or ()
    )
    if spec.python is None:
        return LockedPlatform(platform, packages, (), lowered)
    wheels, held_back = _wheels(spec, release, platform, packages, world, now, before, upgrade)
    cuda_facts(wheels)  # refuses two major versions in one process
    return LockedPlatform(platform, packages, wheels, (*lowered, *held_back))


def _packages(
    spec: ImageSpec,
    release: FoundationRelease,
    index: PackageIndex,
    kept: Mapping[str, str],
    upgrade: Sequence[str] | frozenset[str],
) -> tuple[tuple[LockedPackage, ...], tuple[HeldBack, ...]]:
    """Both profiles' packages; training takes the versions that inference took.

    With them, which of the inference image's are not the newest there are: kept from the lock that
    stands, asked for so by the spec, or held by the relations of others.
    """
    python = interpreter_packages(release) if spec.python else ()
    wanted = (*spec.packages, *_requests(python, "the interpreter"))

    def lean(requests: Sequence[Request]) -> Solution:
        return solve(
            index,
            requests,
            recommends=spec.recommends,
            prefer=kept,
            upgrade=upgrade,
            exclude=SCRIPT_ONLY,
        )

    inference = lean(wanted)
    if any(each.package.name == "libc6" for each in inference.packages):
        wanted = (*wanted, *_requests((LOCALE,), "LANG=C.UTF-8"))
        inference = lean(wanted)
    more = TRAINING + (TRAINING_PYTHON if spec.python else ())
    training = solve(
        index,
        (*wanted, *_requests(more, "the training profile")),
        essential=True,
        recommends=spec.recommends,
        prefer={
            **kept,
            **{each.package.name: each.package.version for each in inference.packages},
        },
        upgrade=upgrade,
    )
    both = {each.package.name: each.locked((Profile.INFERENCE,)) for each in inference.packages}
    for each in training.packages:
        name = each.package.name
        other = both.get(name)
        if other is not None and other.version == each.package.version:
            both[name] = replace(other, profiles=(Profile.INFERENCE, Profile.TRAINING))
        else:
            both[f"{name} (training)"] = each.locked((Profile.TRAINING,))
    held = tuple(
        HeldBack(each.name, each.newest, each.got, "the lock, the spec or a relation holds it")
        for each in inference.lowered
    )
    return tuple(sorted(both.values())), held


def _tools(
    release: FoundationRelease,
    architecture: str,
    index: PackageIndex,
    previous: Lock | None,
    upgrade: frozenset[str] | None,
) -> Tools:
    """The interpreter for the build host: of the version, not of the architecture, of the image."""
    kept = {
        package.name: package.version
        for each in (previous.tools if previous else ())
        if each.architecture == architecture
        for package in each.packages
    }
    solution = solve(
        index,
        _requests(interpreter_packages(release), "the byte compiler"),
        prefer={} if upgrade is None else kept,
        upgrade=upgrade or (),
        exclude=SCRIPT_ONLY,
    )
    return Tools(architecture, tuple(each.locked(()) for each in solution.packages))


def _wheels(
    spec: ImageSpec,
    release: FoundationRelease,
    platform: Platform,
    packages: Sequence[LockedPackage],
    world: World,
    now: datetime,
    before: LockedPlatform | None,
    upgrade: frozenset[str] | None,
) -> tuple[tuple[LockedWheel, ...], tuple[HeldBack, ...]]:
    python = spec.python
    if python is None or not (python.requirements or python.requirements_files):
        return (), ()
    if world.uv is None:
        raise UndecidedError(
            "cannot resolve Python requirements",
            why="the program `uv` is missing, which resolves them",
            mend="install Staunch with its dependencies (`pip install staunch-images`), or put uv on PATH",
        )
    world.progress.step(f"resolving wheels for {platform}")
    kept = {each.name: each.version for each in before.wheels} if before else {}
    with world.store.scratch() as scratch:
        solution = solve_wheels(
            python,
            version=release.python,
            platform=platform,
            libc=_libc(packages) or release.libc,
            sources=with_spec(world.sources(), python),
            transport=world.transport,
            runner=world.runner,
            uv=world.uv,
            scratch=scratch,
            now=now,
            previous={} if upgrade is None else kept,
            upgrade=upgrade,
        )
    for held in solution.held_back:
        world.progress.note(
            f"held back: {held.name} wanted {held.wanted}, got {held.got}: {_short(held.why)}"
        )
    if solution.unknown_ages:
        world.progress.note(
            f"age unknown, so the cooldown could not be judged: {', '.join(solution.unknown_ages)}"
        )
    return solution.wheels, solution.held_back


def _short(why: str) -> str:
    """The beginning of a resolver's long explanation; the lock holds it whole."""
    return why if len(why) <= _SHOWN else why[:_SHOWN].rsplit(" ", 1)[0] + " …"


def _libc(packages: Sequence[LockedPackage]) -> str | None:
    """Glibc's version as the locked libc6 says it: ``2.41-12+deb13u1`` is ``2.41``."""
    version = next((each.version for each in packages if each.name == "libc6"), "")
    upstream = version.rpartition(":")[2].partition("-")[0]
    return ".".join(upstream.split(".")[:2]) or None


def _requests(names: Sequence[str], why: str) -> tuple[Request, ...]:
    return tuple(Request(name, Place(why)) for name in names)

"""Which lock a command works with: the one that stands, if it fits, else a new one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from staunch.apps.cli.places import read_lock, write_lock
from staunch.flows.fit import fits
from staunch.flows.world import World
from staunch.model.lock import Lock
from staunch.model.spec import ImageSpec
from staunch.model.verdict import Passed, Refused

__all__ = ["Standing", "resolve", "standing", "standing_or_new"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The lock at ``path`` as it is, and why it does not serve (nothing if it does)."""

    path: Path
    lock: Lock | None
    reasons: tuple[str, ...]


def standing(spec: ImageSpec, path: Path) -> Standing:
    """Read the lock and compare it with the spec."""
    found = read_lock(path)
    if found is None:
        return Standing(path, None, (f"there is no {path}",))
    match fits(spec, found):
        case Refused(reasons):
            return Standing(path, found, reasons)
        case Passed():
            pass
        case unknown:
            return Standing(path, found, unknown.reasons)
    missing = [str(each) for each in spec.platforms if found.on(each) is None]
    if missing:
        return Standing(path, found, (f"the lock has nothing for {', '.join(missing)}",))
    return Standing(path, found, ())


def standing_or_new(spec: ImageSpec, path: Path, world: World) -> Lock:
    """The lock that stands if it fits; else one is made, keeping what it can, and written."""
    found = standing(spec, path)
    if found.lock is not None and not found.reasons:
        return found.lock
    if found.lock is not None:
        world.progress.note(f"{path} does not fit any more, so it is made anew: {found.reasons[0]}")
    return resolve(spec, path, world, found.lock, frozenset())[0]


def resolve(
    spec: ImageSpec,
    path: Path,
    world: World,
    previous: Lock | None,
    upgrade: frozenset[str] | None,
) -> tuple[Lock, bool]:
    """Make a lock and write it; also whether the file changed."""
    from staunch.flows.lock import lock  # resolvers take a while to import; most builds need none

    made = lock(spec, world, previous, upgrade)
    return made, write_lock(path, made)

"""What a build lacks, from mirrors and indexes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache

from staunch.ecosystems.foundations import SNAPSHOT_DELAY, archives
from staunch.fetch.archive import fetch_package
from staunch.fetch.wheels import fetch_wheel
from staunch.flows.parallel import gathered
from staunch.flows.world import World
from staunch.model.digest import Digest
from staunch.model.lock import Lock, LockedPackage, LockedWheel
from staunch.model.sources import IndexSources, with_spec
from staunch.model.spec import ImageSpec
from staunch.ports import Verified

__all__ = ["fetch"]

_DOWNLOADS = 6  # at once: more do not help one mirror, and annoy it


def fetch(
    spec: ImageSpec, lock: Lock, missing: Sequence[LockedPackage | LockedWheel], world: World
) -> dict[Digest, Verified]:
    """Get these files of the lock; its hashes decide, wherever they come from.

    Raises:
        UntrustedError: what comes is not what the lock promises.
        UndecidedError: nobody has one of them, or nobody answers.
    """
    mirrors = _mirrors(spec, lock, world)

    @cache  # asked for only when a wheel is not in the store: it starts a process
    def sources() -> IndexSources:
        return with_spec(world.sources(), spec.python) if spec.python else world.sources()

    def deb(each: LockedPackage) -> Verified:
        return fetch_package(
            each,
            mirrors=mirrors[each.repository],
            transport=world.transport,
            store=world.store,
            progress=world.progress,
        )

    def wheel(each: LockedWheel) -> Verified:
        return fetch_wheel(
            each,
            sources(),
            transport=world.transport,
            store=world.store,
            progress=world.progress,
        )

    def one(each: LockedPackage | LockedWheel) -> Verified:
        return wheel(each) if isinstance(each, LockedWheel) else deb(each)

    with ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="fetch") as pool:
        waiting = [pool.submit(one, each) for each in missing]
        return {each.digest: each for each in gathered(waiting)}


def _mirrors(spec: ImageSpec, lock: Lock, world: World) -> dict[str, tuple[str, ...]]:
    """Base URLs by repository; last, the snapshot a day after the lock's, which forgets nothing.

    Asked for a moment, the service shows the import before it. That of the index's own ``Date``
    may not hold its newest packages yet; a day later they are there, and none is dropped so soon.
    """
    dates: dict[str, datetime] = {}
    for each in lock.repositories:
        dates[each.id] = max(each.date, dates.get(each.id, each.date))
    found = {}
    for archive in archives(spec):
        mirrors = world.mirrors(archive, spec.snapshot)
        if archive.snapshots and archive.id in dates:
            mirrors += world.mirrors(archive, dates[archive.id] + SNAPSHOT_DELAY)
        found[archive.id] = tuple(dict.fromkeys(mirrors))
    return found

"""``staunch verify --rebuild``: from the user's words to the check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from staunch.apps.cli.console import Console
    from staunch.attest.verification import Check
    from staunch.flows.verify import Verification
    from staunch.ports import Repository

__all__ = ["Rebuilding"]


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """What the image is said to be built from, and where to build it."""

    spec: str
    context: Path | None = None
    profile: str | None = None
    store: Path | None = None
    offline: bool = False

    def check(self, console: Console, repository: Repository, done: Verification) -> Check:
        """Build it again from the lock that is attested, else from the one that is attached.

        Raises:
            SpecError: the spec is wrong, or is not the one that the lock was made from.
            UntrustedError: something is not what it is promised to be.
            UndecidedError: something could not be fetched.
        """
        from staunch.adapters.store import FileStore
        from staunch.apps.cli.places import spec_source
        from staunch.apps.cli.world import open_world
        from staunch.assemble.rules.registry import names
        from staunch.attest.verification import Check, find_provenance
        from staunch.flows.rebuild import check_rebuild, find_lock, rebuild
        from staunch.model.spec import Profile
        from staunch.model.verdict import Unknown
        from staunch.spec import load

        said = find_provenance(done.judged)
        found = find_lock(repository, done.image, said)
        if found is None:
            reason = f"no lock is attested for {done.image.digest} or attached to it"
            return Check("rebuild", Unknown((reason,)))
        lock, digest, attested = found
        wanted = load(
            spec_source(self.spec),
            profile=Profile(self.profile) if self.profile else None,
            context=self.context,
            foundation=str(lock.foundation),
            platforms=tuple(str(each.platform) for each in lock.platforms),
            known_rules=names(),
        )
        progress = console.progress()
        with (
            open_world(
                wanted, store=self.store, offline=self.offline, jobs=None, progress=progress
            ) as world,
            world.store.scratch() as folder,
        ):
            again = rebuild(
                repository, done.image, wanted, lock, world, FileStore(folder / "fresh")
            )
        built_by = next((each.staunch for each in said if each.staunch), "")
        return check_rebuild(again, digest, attested=attested, built_by=built_by)

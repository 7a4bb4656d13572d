"""The real Debian archive through our own trust chain, fetched once per test run."""

from __future__ import annotations

from functools import cache

from staunch.adapters.apt_config import archive_mirrors
from staunch.adapters.clock import SystemClock
from staunch.adapters.http import HttpTransport
from staunch.ecosystems.foundations import release
from staunch.fetch.archive import TrustedRelease, fetch_index, fetch_release
from staunch.formats.packages import Suite
from staunch.model.spec import Foundation
from tests.support.memory_store import MemoryStore
from tests.support.quiet import Quiet


@cache
def trusted(number: str) -> tuple[TrustedRelease, ...]:
    """Every suite of ``debian:<number>``, verified now."""
    return tuple(
        fetch_release(
            archive,
            suite,
            mirrors=archive_mirrors(archive),
            transport=_TRANSPORT,
            store=_STORE,
            progress=Quiet(),
            now=SystemClock({}).now(),
        )
        for archive in release(Foundation("debian", number)).archives
        for suite in archive.suites
    )


@cache
def suites(number: str, architecture: str = "amd64") -> tuple[Suite, ...]:
    """Their packages."""
    archives = {each.id: each for each in release(Foundation("debian", number)).archives}
    return tuple(
        Suite(each.locked.id, each.locked.suite, text)
        for each in trusted(number)
        for component in each.locked.components
        for text in fetch_index(
            each,
            component,
            architecture,
            mirrors=archive_mirrors(archives[each.locked.id]),
            transport=_TRANSPORT,
            store=_STORE,
            progress=Quiet(),
        )
    )


_TRANSPORT, _STORE = HttpTransport(), MemoryStore()

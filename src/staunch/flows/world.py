"""Everything outside the process, bundled: flows take a World and nothing else from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from staunch.ecosystems.foundations import Archive
from staunch.model.sources import IndexSources
from staunch.ports import Clock, Progress, Runner, Store, Transport


@dataclass(frozen=True, slots=True)
class World:
    """The ports that a flow works through.

    ``mirrors`` gives an archive's base URLs, best first, for now or for a snapshot in time;
    ``sources`` gives the host's wheel indexes; ``uv`` is the resolver's program, None where it is
    missing; ``architecture`` is Debian's name of the build host's; ``threads`` bounds the workers.
    """

    store: Store
    transport: Transport
    clock: Clock
    runner: Runner
    progress: Progress
    mirrors: Callable[[Archive, datetime | None], tuple[str, ...]]
    sources: Callable[[], IndexSources]
    uv: Path | None
    architecture: str
    threads: int = 2

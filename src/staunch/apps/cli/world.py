"""The adapters, wired together into what flows take."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from staunch import __version__
from staunch.adapters.apt_config import archive_mirrors
from staunch.adapters.clock import SystemClock
from staunch.adapters.http import HttpTransport, OfflineTransport
from staunch.adapters.pip_config import host_sources
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.store import FileStore, default_root
from staunch.errors import HostError
from staunch.flows.world import World
from staunch.model.sources import IndexSources
from staunch.model.spec import ImageSpec
from staunch.ports import Progress, Registries, Runner, Transport

__all__ = ["closing", "feeds_folder", "find_uv", "open_registries", "open_store", "open_world"]

_MOST_THREADS = 8  # more add memory (a block each) and hardly speed
_HOSTS = {"x86_64": "amd64", "aarch64": "arm64"}


@contextmanager
def open_world(
    spec: ImageSpec, *, store: Path | None, offline: bool, jobs: int | None, progress: Progress
) -> Iterator[World]:
    """A world for one build or lock of ``spec``; holds the store against ``store gc``.

    Raises:
        HostError: the store cannot be written, or this machine is of no known architecture.
        UndecidedError: the host's package index configuration cannot be read.
    """
    architecture = _HOSTS.get(platform.machine())
    if architecture is None:
        raise HostError(
            f"this machine is {platform.machine() or 'of an unknown kind'}",
            why=f"byte code is compiled by packages for {', '.join(sorted(_HOSTS))} only",
            mend="build on such a machine; images for the other can be built there, too",
        )
    runner = ProcessRunner()
    uv = find_uv(runner)
    with ExitStack() as stack:
        opened = open_store(store)
        stack.enter_context(opened.session())
        stack.enter_context(closing(progress))
        transport: Transport = OfflineTransport()
        if not offline:
            transport = http = HttpTransport(user_agent=f"staunch/{__version__}")
            stack.callback(http.close)
        yield World(
            store=opened,
            transport=transport,
            clock=SystemClock(),
            runner=runner,
            progress=progress,
            mirrors=lambda archive, snapshot: archive_mirrors(archive, snapshot=snapshot),
            sources=lambda: _sources(spec, runner, uv),
            uv=uv,
            architecture=architecture,
            threads=jobs or min(_processors(), _MOST_THREADS),
        )


@contextmanager
def open_registries(*, insecure: Sequence[str] = ()) -> Iterator[Registries]:
    """Registries, asked with the user's own credentials and certificates.

    Args:
        insecure: hosts of this machine that are spoken to without TLS.

    Raises:
        SpecError: one of them is not this machine.
    """
    from staunch.adapters.registry import Registries as Opened

    opened = Opened(insecure=insecure, user_agent=f"staunch/{__version__}")
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def open_archives(*, store: Path | None, offline: bool, progress: Progress) -> Iterator[World]:
    """A world without a spec: for what reads the archives of distributions alone.

    Raises:
        HostError: the store cannot be written.
    """
    runner = ProcessRunner()
    with ExitStack() as stack:
        opened = open_store(store)
        stack.enter_context(opened.session())
        stack.enter_context(closing(progress))
        transport: Transport = OfflineTransport()
        if not offline:
            transport = http = HttpTransport(user_agent=f"staunch/{__version__}")
            stack.callback(http.close)
        yield World(
            store=opened,
            transport=transport,
            clock=SystemClock(),
            runner=runner,
            progress=progress,
            mirrors=lambda archive, snapshot: archive_mirrors(archive, snapshot=snapshot),
            sources=IndexSources,
            uv=None,
            architecture=_HOSTS.get(platform.machine(), "amd64"),
            threads=min(_processors(), _MOST_THREADS),
        )


@contextmanager
def closing(progress: Progress) -> Iterator[None]:
    """Give the terminal back at the end, however it comes."""
    try:
        yield
    finally:
        close = getattr(progress, "close", None)
        if close is not None:
            close()


def open_store(path: Path | None) -> FileStore:
    """The store at ``path``, or the user's own."""
    return FileStore(default_root() if path is None else path.resolve())


def feeds_folder(store: Path | None) -> Path:
    """Where downloads of feeds are kept: below the store."""
    return (default_root() if store is None else store.resolve()) / "feeds"


def find_uv(runner: Runner) -> Path | None:
    """The uv that came with Staunch, else one on PATH, else None."""
    try:
        from uv import find_uv_bin
    except ImportError:
        return runner.which("uv")
    try:
        return Path(find_uv_bin())
    except FileNotFoundError:
        return runner.which("uv")


def _sources(spec: ImageSpec, runner: Runner, uv: Path | None) -> IndexSources:
    """Asked for only where wheels are: reading the configuration starts a process."""
    python = spec.python
    if python is None or not (python.requirements or python.requirements_files):
        return IndexSources()
    return host_sources(runner, uv)


def _processors() -> int:
    return len(os.sched_getaffinity(0))

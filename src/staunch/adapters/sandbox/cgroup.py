"""Memory limits for a whole tree of processes, by the kernel's control groups (v1 and v2)."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TRIES = 100
_PAUSE_S = 0.02


@contextmanager
def memory_group(max_bytes: int | None) -> Iterator[Path | None]:
    """The ``cgroup.procs`` file of a new group held to ``max_bytes``; None where none can be made.

    Leaving kills what is still in the group, and removes it.
    """
    group = None if max_bytes is None else _make(max_bytes)
    try:
        yield None if group is None else group / "cgroup.procs"
    finally:
        if group is not None:
            _remove(group)


def _make(max_bytes: int) -> Path | None:
    name = f"staunch-{os.getpid()}-{secrets.token_hex(4)}"
    for above, limit, swap, no_swap in _places():
        group = above / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(max_bytes))
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        with suppress(OSError):  # a kernel that does not count swap
            if (group / swap).exists():
                (group / swap).write_text(str(max_bytes) if no_swap is None else no_swap)
        return group
    return None


def _places() -> Iterator[tuple[Path, str, str, str | None]]:
    """Folders where a group may be made: below our own first, then the top."""
    own = _own_groups()
    for mount, version in _mounts():
        names = (
            ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", None)
            if version == 1
            else ("memory.max", "memory.swap.max", "0")
        )
        path = own.get("memory" if version == 1 else "", "/").lstrip("/")
        for above in dict.fromkeys((mount / path, mount)):
            yield above, *names


def _mounts() -> Iterator[tuple[Path, int]]:
    """Mounted hierarchies that can limit memory (proc_pid_mountinfo(5))."""
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            fields, kind = left.split(), right.split()
            if len(fields) > 4 and len(kind) > 2:
                if kind[0] == "cgroup" and "memory" in kind[2].split(","):
                    yield Path(fields[4]), 1
                elif kind[0] == "cgroup2":
                    yield Path(fields[4]), 2


def _own_groups() -> dict[str, str]:
    """Controller to our own group's path; the unified hierarchy has no name (cgroups(7))."""
    own: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = [*line.split(":", 2), "", ""][:3]
            own.update(dict.fromkeys(names.split(","), path))
    return own


def _remove(group: Path) -> None:
    """Kill its members and take it away; they need a moment to die."""
    for _ in range(_TRIES):
        try:
            group.rmdir()
        except OSError:
            with suppress(OSError, ValueError):
                for pid in (group / "cgroup.procs").read_text().split():
                    os.kill(int(pid), 9)
            time.sleep(_PAUSE_S)
        else:
            return

"""bubblewrap: namespaces without a daemon, for root and for ordinary users."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox.cgroup import memory_group
from staunch.adapters.sandbox.frame import Prepared, ToolSandbox
from staunch.adapters.sandbox.held import (
    NO_COMMAND,
    failed,
    hard_limit,
    host_binds,
    launched,
    make_mount_points,
)
from staunch.ports import Completed, Confinement

_SHARED = (
    "as an ordinary user, bubblewrap maps one user only: "
    "the image's files all seem to be the running user's"
)
_UNFILTERED = "bubblewrap filters no system calls, as runc, podman and docker do"
_PER_PROCESS = "no control group can be made here: the memory limit holds for each process alone"


class Bubblewrap(ToolSandbox):
    """``ports.Sandbox`` by ``bwrap``.

    As root, the process becomes the image's user before bubblewrap maps that user to itself, so
    files are read and refused as in a container. An ordinary user is mapped to the image's user.
    """

    name = "bubblewrap"

    def __init__(self, runner: ProcessRunner, program: Path, *, memory_groups: bool) -> None:
        """Use ``program``; ``memory_groups`` tells whether control groups can be made."""
        super().__init__(runner, program)
        self._memory_groups = memory_groups

    @property
    def notes(self) -> tuple[str, ...]:
        """What it cannot do as a person would expect."""
        shared = () if os.geteuid() == 0 else (_SHARED,)
        limited = () if self._memory_groups else (_PER_PROCESS,)
        return (*shared, *limited, _UNFILTERED)

    @contextmanager
    def _prepared(
        self, root: Path, argv: Sequence[str], held: Confinement, *, attached: bool
    ) -> Iterator[Prepared]:
        make_mount_points(root, held)
        # a terminal of its own: the image cannot push characters into ours (TIOCSTI)
        terminal = attached and os.isatty(0)
        with self._limit(held) as procs:
            line = self._line(root, argv, held, procs, session=not terminal, terminal=terminal)
            yield Prepared(line, terminal=terminal)

    def _limit(self, held: Confinement) -> AbstractContextManager[Path | None]:
        return memory_group(held.memory_bytes) if self._memory_groups else nullcontext(None)

    def _line(
        self,
        root: Path,
        argv: Sequence[str],
        held: Confinement,
        procs: Path | None,
        *,
        session: bool,
        terminal: bool = False,
    ) -> list[str]:
        become = None
        if os.geteuid() == 0 and all(
            _reachable(path, held.uid, held.gid) for path in (root, self._program)
        ):
            become = (held.uid, held.gid, held.groups)
        data = held.memory_bytes if procs is None else None
        limit = hard_limit(resource.RLIMIT_DATA)
        if data is not None and limit is not None:
            data = min(data, limit)
        return launched(
            [str(self._program), *_arguments(root, held, session=session), "--", *argv],
            data_bytes=data,
            memory_groups=[] if procs is None else [procs],
            become=become,
            terminal=terminal,
        )

    def _judged(self, done: Completed) -> Completed:
        last = done.stderr.rsplit(b"bwrap: ", 1)
        if done.returncode != 1 or len(last) == 1 or b"\n" in last[1].strip():
            return done
        if last[1].startswith(b"execvp "):
            return Completed(NO_COMMAND, done.stdout, last[1].removeprefix(b"execvp "))
        raise failed("bubblewrap", done.stderr)


def _arguments(root: Path, held: Confinement, *, session: bool) -> list[str]:
    words = ["--unshare-all", "--unshare-user", "--die-with-parent", "--cap-drop", "ALL"]
    words += ["--uid", str(held.uid), "--gid", str(held.gid), "--hostname", "staunch"]
    words += ["--new-session"] if session else []
    words += ["--share-net"] if held.network else []
    words += ["--ro-bind" if held.read_only else "--bind", str(root), "/"]
    words += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys"]
    for path, mode in (("/dev/shm", "1777"), ("/tmp", "1777"), ("/run", "0755")):  # noqa: S108
        words += ["--perms", mode, "--tmpfs", path]
    if held.network:
        for name in host_binds():
            words += ["--ro-bind", name, name]
    for bind in held.binds:
        kind = "--ro-bind" if bind.read_only else "--bind"
        words += [kind, str(bind.source), bind.target]
    words += ["--chdir", held.workdir, "--clearenv"]
    for key, value in held.env:
        words += ["--setenv", key, value]
    return words


def _reachable(path: Path, uid: int, gid: int) -> bool:
    """Whether that user may pass through every folder above ``path``."""
    for above in path.parents:
        status = above.stat()
        bit = 0o100 if status.st_uid == uid else 0o010 if status.st_gid == gid else 0o001
        if not status.st_mode & bit:
            return False
    return True

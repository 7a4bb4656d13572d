"""podman and docker: container engines, told to hold a folder instead of an image."""

from __future__ import annotations

import os
import resource
import secrets
import stat
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox.frame import Prepared, ToolSandbox
from staunch.adapters.sandbox.held import (
    MOUNT_POINTS,
    NO_COMMAND,
    failed,
    hard_limit,
    host_binds,
    make_mount_points,
    quietly,
)
from staunch.ports import Completed, Confinement

_ENGINE_FAILED = 125  # podman-run(1), docker run: "the error is with the engine itself"
_CANNOT_INVOKE = 126
_PER_PROCESS = "{} cannot limit memory here: the limit holds for each process alone"


def ulimits() -> tuple[str, ...]:
    """Limits within our own hard ones, for engines whose defaults lie above what we may set.

    Not the hard ones themselves: an engine's helpers may have lowered theirs on the way.
    """
    words: list[str] = []
    for name, which, most in (
        ("nofile", resource.RLIMIT_NOFILE, 16384),
        ("nproc", resource.RLIMIT_NPROC, 16384),
    ):
        if (limit := hard_limit(which)) is not None:
            limit = min(limit, most)
            words += ["--ulimit", f"{name}={limit}:{limit}"]
    return tuple(words)


class _Engine(ToolSandbox):
    """What both have in common. ``variant`` are further words for ``run``."""

    files: tuple[str, ...] = ()  # that it mounts upon, whatever is asked for

    def __init__(
        self,
        runner: ProcessRunner,
        program: Path,
        variant: tuple[str, ...] = (),
        *,
        memory_groups: bool = True,
    ) -> None:
        """Use ``program`` in that way; without ``memory_groups`` each process is limited alone."""
        super().__init__(runner, program)
        self._variant, self._memory_groups = variant, memory_groups

    @property
    def notes(self) -> tuple[str, ...]:
        """What it cannot do as a person would expect."""
        return () if self._memory_groups else (_PER_PROCESS.format(self.name),)

    @contextmanager
    def _prepared(
        self, root: Path, argv: Sequence[str], held: Confinement, *, attached: bool
    ) -> Iterator[Prepared]:
        make_mount_points(root, held, files=self.files)
        name = f"staunch-{os.getpid()}-{secrets.token_hex(4)}"
        words = ["--interactive", *(["--tty"] if attached and os.isatty(0) else [])]
        with self._image(root, held) as image:
            yield Prepared(
                [
                    *(str(self._program), "run", "--rm", "--name", name, *words),
                    *(*self._variant, *self._held(held), *image, *argv),
                ],
                [str(self._program), "rm", "--force", name],
                cwd=root.parent,  # conmon leaves a file `oom` in its own when memory runs out
            )

    @abstractmethod
    def _image(self, root: Path, held: Confinement) -> AbstractContextManager[list[str]]:
        """The words that say what to run: the last of them ends the options."""

    def _held(self, held: Confinement) -> list[str]:
        words = ["--user", f"{held.uid}:{held.gid}", "--workdir", held.workdir]
        words += ["--hostname", "staunch"] if not held.network else []
        words += ["--network", "host" if held.network else "none"]
        words += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
        words += ["--read-only"] if held.read_only else []
        words += ["--tmpfs", "/tmp:rw,exec,nosuid,nodev,mode=1777"]  # noqa: S108
        words += ["--tmpfs", "/run:rw,nosuid,nodev,mode=755"]
        for group in held.groups:
            words += ["--group-add", str(group)]
        if held.memory_bytes is not None:
            size = str(held.memory_bytes)
            if self._memory_groups:
                words += ["--memory", size, "--memory-swap", size]
            else:
                words += ["--ulimit", f"data={size}:{size}"]
        for key, value in held.env:
            words += ["--env", f"{key}={value}"]
        for bind in held.binds:
            access = "ro" if bind.read_only else "rw"
            words += ["--volume", f"{bind.source}:{bind.target}:{access}"]
        return words

    def _judged(self, done: Completed) -> Completed:
        if done.returncode == _ENGINE_FAILED:
            raise failed(self.name, done.stderr)
        if done.returncode == _CANNOT_INVOKE and b"no such file" in done.stderr.lower():
            return Completed(NO_COMMAND, done.stdout, done.stderr)
        return done


class Podman(_Engine):
    """``ports.Sandbox`` by ``podman run --rootfs``."""

    name = "podman"

    @contextmanager
    def _image(self, root: Path, held: Confinement) -> Iterator[list[str]]:
        # without a stop timeout of 0, removing a container that ignores SIGTERM takes ten seconds
        words = ["--http-proxy=false", "--read-only-tmpfs=false", "--stop-timeout", "0"]
        for name in host_binds() if held.network else ():
            words += ["--volume", f"{name}:{name}:ro"]
        words += [] if held.network else ["--no-hosts"]
        yield [*words, "--rootfs", str(root)]


class Docker(_Engine):
    """``ports.Sandbox`` by ``docker run``.

    docker has no ``--rootfs``, and copying gigabytes into it is slow: it gets an image of the top
    folders alone, empty, and the real ones are mounted upon them.
    """

    name = "docker"
    files = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")

    @contextmanager
    def _image(self, root: Path, held: Confinement) -> Iterator[list[str]]:
        top = sorted(os.listdir(root))  # noqa: PTH208  # names, not paths
        line = ["tar", "--create", "--no-recursion", "--numeric-owner", "--directory", str(root)]
        skeleton = self._runner.run([*line, "--", *(f"./{name}" for name in top)])
        tag = f"staunch-{os.getpid()}-{secrets.token_hex(4)}:latest"
        made = self._runner.run([str(self._program), "import", "-", tag], stdin=skeleton.stdout)
        if skeleton.returncode or made.returncode:
            raise failed(self.name, skeleton.stderr + made.stderr)
        words = ["--pull=never", "--entrypoint="]
        access = "ro" if held.read_only else "rw"
        taken = {*MOUNT_POINTS, *(bind.target.strip("/") for bind in held.binds)}
        for name in top:
            if name not in taken and stat.S_ISDIR((root / name).lstat().st_mode):
                words += ["--volume", f"{root / name}:/{name}:{access}"]
        try:
            yield [*words, tag]
        finally:
            quietly(self._runner, [str(self._program), "rmi", "--force", tag])


def engine_variants(runner: ProcessRunner, program: Path, kind: type[_Engine]) -> Iterator[_Engine]:
    """Ways to use an engine, the plainest first.

    Its default runtime may refuse this machine's control groups, its default ``ulimit``s may lie
    above our own, and an ordinary user may have no control group to limit memory with.
    """
    runtimes: list[tuple[str, ...]] = [()]
    if kind is Podman:
        runtimes += [("--runtime", name) for name in ("crun", "runc") if runner.which(name)]
    for memory_groups in (True, False):
        for limits in dict.fromkeys(((), ulimits())):
            for runtime in runtimes:
                yield kind(runner, program, (*runtime, *limits), memory_groups=memory_groups)

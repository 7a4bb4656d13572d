"""runc: the reference runtime, on a bundle made here (OCI runtime-spec, config.md)."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from staunch.adapters.rooted import host_errors
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox.frame import Prepared, ToolSandbox
from staunch.adapters.sandbox.held import NO_COMMAND, failed, host_binds, make_mount_points
from staunch.adapters.sandbox.seccomp import profile
from staunch.ports import Completed, Confinement

_PER_PROCESS = "runc cannot use control groups here: the memory limit holds for each process alone"
_MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


class Runc(ToolSandbox):
    """``ports.Sandbox`` by ``runc``, for root alone; ``variant`` is how memory is held.

    Without root it wants container root mapped to us, so the image's own user could not be.

    ``memory-swap`` and ``memory`` are control groups with and without swap, ``data`` a limit of
    each process's data, for machines where runc cannot write control groups.
    """

    name = "runc"
    variants = ("memory-swap", "memory", "data")

    def __init__(self, runner: ProcessRunner, program: Path, variant: str) -> None:
        """Use ``program`` in that way."""
        super().__init__(runner, program)
        self._variant = variant

    @property
    def notes(self) -> tuple[str, ...]:
        """What it cannot do as a person would expect."""
        return (_PER_PROCESS,) if self._variant == "data" else ()

    @contextmanager
    def _prepared(
        self, root: Path, argv: Sequence[str], held: Confinement, *, attached: bool
    ) -> Iterator[Prepared]:
        make_mount_points(root, held)
        name = f"staunch-{os.getpid()}-{secrets.token_hex(4)}"
        with host_errors("prepare the sandbox"):
            folder = Path(tempfile.mkdtemp(prefix="staunch-runc-"))
        try:
            terminal = attached and os.isatty(0)
            config = self._config(root, argv, held, name, terminal=terminal)
            (folder / "config.json").write_text(json.dumps(config))
            runc = [str(self._program), "--root", str(folder / "state")]
            yield Prepared(
                [*runc, "run", "--bundle", str(folder), name],
                [*runc, "delete", "--force", name],
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _config(
        self, root: Path, argv: Sequence[str], held: Confinement, name: str, *, terminal: bool
    ) -> dict[str, object]:
        process: dict[str, object] = {
            "terminal": terminal,
            "user": {
                "uid": held.uid,
                "gid": held.gid,
                "additionalGids": list(held.groups),
            },
            "args": list(argv),
            "env": [f"{key}={value}" for key, value in held.env],
            "cwd": held.workdir,
            "capabilities": {},
            "noNewPrivileges": True,
        }
        if self._variant == "data" and held.memory_bytes is not None:
            limit = held.memory_bytes
            process["rlimits"] = [{"type": "RLIMIT_DATA", "hard": limit, "soft": limit}]
        kinds = ["pid", "ipc", "uts", "mount"]
        kinds += [] if held.network else ["network"]
        linux: dict[str, object] = {
            "namespaces": [{"type": kind} for kind in kinds],
            "cgroupsPath": f"/{name}",
            "maskedPaths": _MASKED,
            "readonlyPaths": _READ_ONLY,
            "seccomp": profile(),
        }
        if self._variant != "data" and held.memory_bytes is not None:
            memory = {"limit": held.memory_bytes}
            if self._variant == "memory-swap":
                memory["swap"] = held.memory_bytes
            linux["resources"] = {"memory": memory}
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(root), "readonly": held.read_only},
            "hostname": "staunch",
            "process": process,
            "mounts": _mounts(held),
            "linux": linux,
        }

    def _judged(self, done: Completed) -> Completed:
        if b"runc run failed" not in done.stderr and b"container_linux.go" not in done.stderr:
            return done
        if b"executable file not found" in done.stderr or b"exec:" in done.stderr:
            return Completed(NO_COMMAND, done.stdout, done.stderr)
        raise failed("runc", done.stderr)


def _mounts(held: Confinement) -> list[dict[str, object]]:
    def mount(target: str, kind: str, source: str, *options: str) -> dict[str, object]:
        return {"destination": target, "type": kind, "source": source, "options": list(options)}

    safe = ("nosuid", "nodev")
    mounts = [
        mount("/proc", "proc", "proc"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666"),
        mount("/dev/shm", "tmpfs", "shm", *safe, "mode=1777"),  # noqa: S108
        mount("/tmp", "tmpfs", "tmpfs", *safe, "mode=1777"),  # noqa: S108
        mount("/run", "tmpfs", "tmpfs", *safe, "mode=755"),
        mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
        if held.network
        else mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
    ]
    if held.network:
        mounts += [mount(name, "none", name, "bind", *safe, "ro") for name in host_binds()]
    for bind in held.binds:
        access = "ro" if bind.read_only else "rw"
        mounts.append(mount(bind.target, "none", str(bind.source), "rbind", *safe, access))
    return mounts

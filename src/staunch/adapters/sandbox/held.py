"""What the sandboxes share: running with a deadline, mount points, limits and machines."""

from __future__ import annotations

import errno
import os
import platform
import resource
import stat
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from staunch.adapters.rooted import Rooted, host_errors, parts_of
from staunch.adapters.runner import DeadlineError, ProcessRunner
from staunch.errors import SpecError, UndecidedError
from staunch.model import limits
from staunch.ports import Completed, Confinement, Outcome

MOUNT_POINTS = ("proc", "sys", "dev", "tmp", "run")
HOST_FILES = ("/etc/resolv.conf", "/etc/hosts")  # seen by a sandbox that has the host's network
NO_COMMAND = 127
KILLED = 128 + 9
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_EMULATORS = {"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}


def runs_here(architecture: str) -> bool:
    """Whether the kernel starts programs of that OCI architecture, natively or by an emulator."""
    if _MACHINES.get(platform.machine()) == architecture:
        return True
    entry = Path("/proc/sys/fs/binfmt_misc") / _EMULATORS.get(architecture, "-")
    try:
        text = entry.read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags:")), "")
    return text.startswith("enabled") and "F" in flags  # F: works inside other roots, too


def finished(
    run: Callable[[], Completed], held: Confinement, *, clean: Callable[[], None] | None = None
) -> Outcome:
    """Run, time it, and tell how it ended; ``clean`` is called whatever happens."""
    began = time.monotonic()
    try:
        done = run()
    except DeadlineError as late:
        seconds = time.monotonic() - began
        return Outcome(KILLED, late.stdout, late.stderr, seconds, timed_out=True)
    finally:
        if clean is not None:
            clean()
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    killed = code == KILLED and held.memory_bytes is not None
    return Outcome(code, done.stdout, done.stderr, time.monotonic() - began, out_of_memory=killed)


def failed(tool: str, stderr: bytes) -> UndecidedError:
    """The sandbox itself broke down."""
    said = stderr.decode("utf-8", "replace").strip()[-600:] or "it said nothing"
    return UndecidedError(
        f"{tool} could not set up the sandbox",
        why=said,
        mend="try another one (--sandbox), or see `staunch run -v` for the command",
    )


def make_mount_points(root: Path, held: Confinement, *, files: Sequence[str] = ()) -> None:
    """Make what is mounted upon (``files`` too), and the working directory, where it is missing.

    Raises:
        SpecError: a link of the image stands there.
    """
    with Rooted(root) as rooted, host_errors("prepare the sandbox"):
        for name in MOUNT_POINTS:
            _folder(rooted, parts_of(name))
        # older runc gives a tmpfs the mode of what it is mounted upon
        os.fchmod(rooted.folder(("tmp",)), 0o1777)
        if not _below_mount(held.workdir):
            _folder(rooted, parts_of(held.workdir), links=True)
        for bind in held.binds:
            parts = parts_of(bind.target)
            if not parts:
                raise _link_there("/")
            if bind.source.is_dir():
                _folder(rooted, parts)
            else:
                _file(rooted, parts)
        for name in (*files, *(HOST_FILES if held.network else ())):
            _file(rooted, parts_of(name))


def program_is_there(root: Path, program: str, held: Confinement) -> bool:
    """Whether the image has that program: by its path, else on the ``PATH`` it is given.

    Links are followed inside ``root``. Where anything is mounted in, nobody looks: True.
    """
    if held.binds:
        return True
    if "/" in program:
        start = "" if program.startswith("/") else held.workdir
        return _exists(root, f"{start}/{program}")
    folders = dict(held.env).get("PATH", "/usr/bin:/bin").split(":")
    return any(_exists(root, f"{folder or held.workdir}/{program}") for folder in folders)


def _exists(root: Path, path: str) -> bool:
    todo, done, links = list(reversed(path.split("/"))), list[str](), 0
    while todo:
        name = todo.pop()
        if name in ("", ".", ".."):
            del done[len(done) - (name == "..") :]
            continue
        try:
            target = str(root.joinpath(*done, name).readlink())
        except OSError as error:
            if error.errno != errno.EINVAL:  # it is no link, but it is there
                return False
            done.append(name)
            continue
        links += 1
        if links > limits.LINK_DEPTH:
            return False
        done = [] if target.startswith("/") else done
        todo.extend(reversed(target.split("/")))
    return True


def _below_mount(path: str) -> bool:
    return parts_of(path)[:1] in {(name,) for name in MOUNT_POINTS}


def _folder(rooted: Rooted, parts: tuple[str, ...], *, links: bool = False) -> None:
    """Make a folder; ``links`` leaves a link as it is (the runtime follows it inside)."""
    for length in range(1, len(parts) + 1):
        kind = rooted.kind(parts[:length])
        if kind == stat.S_IFLNK and links:
            return
        if kind not in {None, stat.S_IFDIR}:
            raise _link_there("/" + "/".join(parts[:length]))
        rooted.folder(parts[:length])


def _file(rooted: Rooted, parts: tuple[str, ...]) -> None:
    _folder(rooted, parts[:-1])
    kind = rooted.kind(parts)
    if kind is None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(parts[-1], flags, 0o644, dir_fd=rooted.folder(parts[:-1])))
    elif kind != stat.S_IFREG:
        raise _link_there("/" + "/".join(parts))


def _link_there(path: str) -> SpecError:
    return SpecError(
        f"cannot mount anything at {path}",
        why="a link, or something of another kind, stands there in the image",
        mend="name a path that does not exist in the image, or is of the same kind",
    )


def host_binds() -> tuple[str, ...]:
    """Files that a sandbox with network takes from the host, as far as they are there."""
    return tuple(name for name in HOST_FILES if Path(name).is_file())


def hard_limit(which: int) -> int | None:
    """Our own hard limit, or None for none."""
    hard = resource.getrlimit(which)[1]
    return None if hard == resource.RLIM_INFINITY else hard


# Takes a terminal, joins memory groups, limits data, drops privileges; becomes the program. That
# gets no variable of ours: bubblewrap is process 1 of its sandbox, where /proc/1/environ shows them.
_LAUNCH = """
import fcntl, os, resource, sys, termios
tty, data, groups, uid, gid, more = sys.argv[1:7]
if tty:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for path in filter(None, groups.split(":")):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
if data:
    resource.setrlimit(resource.RLIMIT_DATA, (int(data), int(data)))
if uid:
    os.setgroups([int(each) for each in more.split(",") if each])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
os.execve(sys.argv[7], sys.argv[7:], {"LC_ALL": "C.UTF-8"})
"""


def launched(
    argv: Sequence[str],
    *,
    data_bytes: int | None = None,
    memory_groups: Sequence[Path] = (),
    become: tuple[int, int, tuple[int, ...]] | None = None,
    terminal: bool = False,
) -> list[str]:
    """A command line that runs ``argv`` (an absolute program) in those groups and limits."""
    uid, gid, more = become if become is not None else ("", "", ())
    return [
        *(sys.executable, "-I", "-S", "-c", _LAUNCH),
        "tty" if terminal else "",
        str(data_bytes or ""),
        ":".join(str(path) for path in memory_groups),
        str(uid),
        str(gid),
        ",".join(str(each) for each in more),
        *argv,
    ]


def quietly(runner: ProcessRunner, argv: Sequence[str]) -> None:
    """Run something whose failure does not matter (tidying up)."""
    try:
        runner.run(argv, timeout_s=30.0)
    except UndecidedError:
        return

"""Which sandbox works on this machine: found out by running something in each."""

from __future__ import annotations

import os
import platform
import pwd
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from staunch.adapters.rooted import host_errors, remove_tree
from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox.bubblewrap import Bubblewrap
from staunch.adapters.sandbox.cgroup import memory_group
from staunch.adapters.sandbox.engine import Docker, Podman, engine_variants
from staunch.adapters.sandbox.runc import Runc
from staunch.errors import SpecError, StaunchError, UndecidedError, UntrustedError
from staunch.formats.elf import parse_elf
from staunch.model import limits
from staunch.ports import Confinement, Sandbox

AS_ROOT = ("runc", "podman", "docker", "bubblewrap")
AS_USER = ("podman", "bubblewrap", "docker")
_PROGRAMS = {"runc": "runc", "podman": "podman", "docker": "docker", "bubblewrap": "bwrap"}
_ANSWER = 42
_CODE = {  # exit(42)
    "x86_64": (62, bytes.fromhex("bf2a000000b83c0000000f05")),
    "aarch64": (183, struct.pack("<III", 0xD2800540, 0xD2800BA8, 0xD4000001)),
}
_PROBE_S = 60.0


def choose_sandbox(
    runner: ProcessRunner, *, prefer: str | None = None, names: Sequence[str] | None = None
) -> Sandbox:
    """The first sandbox that really runs a program, in this order of preference.

    Args:
        runner: starts the tools.
        prefer: this one and no other.
        names: the order; by default the most faithful first for the user we are.

    Raises:
        UndecidedError: none works; the message says why, one by one.
        SpecError: ``prefer`` names none that Staunch knows.
    """
    if prefer is not None and prefer not in _PROGRAMS:
        raise SpecError(
            f"unknown sandbox {prefer[:40]!r}",
            why=f"Staunch knows {', '.join(AS_ROOT)}",
            mend="name one of these, or leave it out to take what works",
        )
    order = names if names is not None else AS_ROOT if os.geteuid() == 0 else AS_USER
    failures: list[str] = []
    for name in [prefer] if prefer is not None else order:
        program = runner.which(_PROGRAMS[name])
        if program is None:
            failures.append(f"{name}: not installed")
            continue
        said = _missing(name)
        for candidate in () if said else _MAKERS[name](runner, program):
            said = probe(candidate)
            if not said:
                return candidate
        failures.append(f"{name}: {said}")
    raise UndecidedError(
        "no sandbox works on this machine, so the image could not be tried",
        why="; ".join(failures),
        mend="install one (`apt-get install bubblewrap`, or `apt-get install podman uidmap`)",
    )


def probe(sandbox: Sandbox) -> str:
    """Run a tiny program in it; what went wrong, or nothing."""
    with host_errors("try a sandbox"):
        above = Path(tempfile.mkdtemp(prefix="staunch-probe-"))
    try:
        with host_errors("try a sandbox"):
            above.chmod(0o711)
            root = above / "root"
            root.mkdir(mode=0o755)
            program = root / "probe"
            program.write_bytes(tiny_program())
            for path in (root, program):
                path.chmod(0o755)
        held = Confinement(65532, 65532, memory_bytes=limits.GIB, timeout_s=_PROBE_S)
        outcome = sandbox.run(root, ["/probe"], held)
    except StaunchError as error:
        return " ".join(error.why.split())[-300:]
    finally:
        remove_tree(above)
    if outcome.returncode == _ANSWER:
        return ""
    said = outcome.stderr.decode("utf-8", "replace").strip()[-300:]
    return f"a trial ended with {outcome.returncode} instead of {_ANSWER}: {said}"


def tiny_program() -> bytes:
    """A static ELF program for this machine that ends with 42 and needs nothing (gABI, ch. 4, 5).

    Raises:
        UndecidedError: Staunch has none for this machine.
    """
    if platform.machine() not in _CODE:
        raise UndecidedError(
            "cannot try sandboxes on this machine",
            why=f"it is a {platform.machine()}; images are for {' and '.join(sorted(_CODE))}",
            mend="run this on one of these machines",
        )
    machine, code = _CODE[platform.machine()]
    base, start = 0x400000, 64 + 56
    size = start + len(code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(identity, 2, machine, 1, base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + code


def static_shell(runner: ProcessRunner) -> Path | None:
    """This machine's busybox, if it needs no library of the image it will be seen in; else None."""
    for name in ("busybox", "busybox-static"):
        program = runner.which(name)
        if program is None:
            continue
        try:
            data = program.read_bytes()
            facts = parse_elf(partial(_cut, data), len(data))
        except (OSError, UntrustedError):
            continue
        if facts is not None and not facts.interpreter and not facts.needed:
            return program.resolve()
    return None


def _cut(data: bytes, size: int, offset: int) -> bytes:
    return data[offset : offset + size]


def _missing(name: str) -> str:
    """What an ordinary user lacks for it, told before minutes go by in trials."""
    if os.geteuid() == 0:
        return ""
    if name == "runc":
        return "it holds the image's own user only when started by root"
    if name == "podman":
        wanted = {str(os.geteuid())}
        with suppress(KeyError):
            wanted.add(pwd.getpwuid(os.geteuid()).pw_name)
        with suppress(OSError):
            for line in Path("/etc/subuid").read_text().splitlines():
                if line.partition(":")[0] in wanted:
                    return ""
        return "this user has no subordinate ids (/etc/subuid)"
    return ""


def _bubblewraps(runner: ProcessRunner, program: Path) -> Iterator[Sandbox]:
    with memory_group(limits.GIB) as procs:
        possible = procs is not None
    yield from (
        Bubblewrap(runner, program, memory_groups=groups)
        for groups in ((True, False) if possible else (False,))
    )


def _runcs(runner: ProcessRunner, program: Path) -> Iterator[Sandbox]:
    yield from (Runc(runner, program, variant) for variant in Runc.variants)


_MAKERS: dict[str, Callable[[ProcessRunner, Path], Iterator[Sandbox]]] = {
    "runc": _runcs,
    "bubblewrap": _bubblewraps,
    "podman": lambda runner, program: engine_variants(runner, program, Podman),
    "docker": lambda runner, program: engine_variants(runner, program, Docker),
}

"""Run a command as a whole process and tell its seconds and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# A small process starts what is measured: the kernel counts the memory of whoever calls exec as the
# new program's peak, and this program's own may be large.
_LAUNCH = """\
import os, subprocess, sys, time
start = time.monotonic()
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
wall = time.monotonic() - start
os.write(int(sys.argv[1]), b"%f %f %d" % (wall, used.ru_utime + used.ru_stime, used.ru_maxrss))
sys.exit(min(os.waitstatus_to_exitcode(status), 255) & 255)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished command: wall seconds, user+system seconds, peak resident bytes.

    ``peak`` is the largest single process of the tree, as the kernel accounts it.
    """

    wall_s: float
    cpu_s: float
    peak: int


def run(
    argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Run:
    """Run to the end; a failure ends the benchmark with the command's output.

    Programs in Python may keep their byte code, as they do where they are installed: an environment
    that forbids it would have each of them compile itself again every time.
    """
    inherited = {
        key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    }
    read, write = os.pipe()
    with os.fdopen(read) as told:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, str(write), *(str(each) for each in argv)],
            env={**inherited, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write,),
        )
        os.close(write)
        assert process.stdout is not None
        output = process.stdout.read()
        code = process.wait()
        figures = told.read().split()
    if code:
        sys.stderr.write(output.decode(errors="replace")[-4000:])
        raise SystemExit(f"benchmark: {argv[0]} ended with {code}")
    wall, cpu, peak = map(float, figures)
    return Run(wall, cpu, int(peak) * 1024)


def median(measure: Callable[[], Run], *, runs: int) -> Run:
    """The run of median wall time of several."""
    finished = sorted((measure() for _ in range(runs)), key=lambda each: each.wall_s)
    return finished[(len(finished) - 1) // 2]

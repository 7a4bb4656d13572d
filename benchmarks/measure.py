"""Run a command as a whole process and tell its seconds and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


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
    started = time.monotonic()
    process = subprocess.Popen(
        [str(each) for each in argv],
        env={**inherited, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - started
    if process.returncode:
        sys.stderr.write(output.decode(errors="replace")[-4000:])
        raise SystemExit(f"benchmark: {argv[0]} ended with {process.returncode}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def median(measure: Callable[[], Run], *, runs: int) -> Run:
    """The run of median wall time of several."""
    finished = sorted((measure() for _ in range(runs)), key=lambda each: each.wall_s)
    return finished[(len(finished) - 1) // 2]

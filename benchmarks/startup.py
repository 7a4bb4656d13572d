"""How long a command needs before it does work, over a bare interpreter."""

from __future__ import annotations

import sys

from benchmarks.measure import median, run
from benchmarks.report import Figure


def figures(runs: int) -> list[Figure]:
    """``staunch --help`` and two verbs' help, each against ``python -c pass``."""
    found = []
    for words in (["--help"], ["build", "--help"], ["lock", "--help"]):
        bare = median(lambda: run([sys.executable, "-c", "pass"]), runs=max(runs, 9))
        ours = median(
            lambda words=words: run([sys.executable, "-m", "staunch.apps.cli.main", *words]),
            runs=max(runs, 9),
        )
        over = (ours.wall_s - bare.wall_s) * 1000
        found.append(
            Figure(
                f"`staunch {' '.join(words)}` over a bare interpreter",
                f"{over:.0f} ms",
                "≤ 150 ms",
                over <= 150,
                f"{ours.wall_s * 1000:.0f} ms against {bare.wall_s * 1000:.0f} ms",
            )
        )
    return found

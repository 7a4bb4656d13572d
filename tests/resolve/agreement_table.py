"""Prints the table of docs/resolving.md: ``python -m tests.resolve.agreement_table``."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from staunch.errors import SpecError
from staunch.model.spec import Place, Request
from staunch.resolve.debian import solve
from tests.resolve.test_apt_agreement import NUMBERS, SETS, Pair

RANDOM = 40


def main() -> None:
    """Every named set, then ``RANDOM`` random ones, on each release."""
    sys.stdout.write("| release | requests | apt | Staunch | differences | Staunch, ms |\n")
    sys.stdout.write("|---|---|---:|---:|---|---:|\n")
    for number in NUMBERS:
        with tempfile.TemporaryDirectory() as folder:
            pair = Pair(number, Path(folder))
            for line in SETS:
                sys.stdout.write(row(pair, number, line.split(), line))
            names = sorted(pair.index.names())
            for seed in range(RANDOM):
                rng = random.Random(seed)
                chosen = sorted(rng.sample(names, rng.choice([1, 2, 3, 5, 8, 13, 20])))
                label = f"random set {seed}: {len(chosen)} names"
                sys.stdout.write(row(pair, number, chosen, label))


def row(pair: Pair, number: str, names: list[str], label: str) -> str:
    """One line of the table."""
    requests = [Request(name, Place("set", line, 1)) for line, name in enumerate(names, 1)]
    started = time.perf_counter()
    try:
        count = str(len(solve(pair.index, requests).packages))
    except SpecError:
        count = "–"
    spent = (time.perf_counter() - started) * 1000
    theirs = pair.apt.install(names)
    found = "–" if theirs is None else str(len(theirs))
    difference = pair.differ(names) or "none"
    return f"| debian:{number} | {label} | {found} | {count} | {difference} | {spent:.0f} |\n"


if __name__ == "__main__":
    main()

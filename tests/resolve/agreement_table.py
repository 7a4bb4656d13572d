"""Prints the table of docs/resolving.md: ``python -m tests.resolve.agreement_table``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.resolve.test_apt_agreement import NUMBERS, SETS, Pair, random_set

RANDOM = 20


def main() -> None:
    """Every named set, then ``RANDOM`` random ones, on each release."""
    sys.stdout.write("| release | requests | apt | Staunch | differences | Staunch, ms |\n")
    sys.stdout.write("|---|---|---:|---:|---|---:|\n")
    for number in NUMBERS:
        with tempfile.TemporaryDirectory() as folder:
            pair = Pair(number, Path(folder))
            for line in SETS:
                sys.stdout.write(row(pair, number, line.split(), line))
            for seed in range(RANDOM):
                chosen = random_set(pair.index, seed)
                label = f"random set {seed}: {len(chosen)} names"
                sys.stdout.write(row(pair, number, chosen, label))


def row(pair: Pair, number: str, names: list[str], label: str) -> str:
    """One line of the table."""
    found = pair.compare(names)
    theirs, ours = ("–" if each is None else len(each) for each in (found.theirs, found.ours))
    spent = f"{found.spent_ms:.0f}"
    return f"| debian:{number} | {label} | {theirs} | {ours} | {str(found) or 'none'} | {spent} |\n"


if __name__ == "__main__":
    main()

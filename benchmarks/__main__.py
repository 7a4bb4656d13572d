"""Measure the budgets of DESIGN.md §13 that the build line has, and write docs/benchmarks-results.md.

Usage: python -m benchmarks [--runs N] [--only NAME…]
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
from pathlib import Path

from benchmarks import advisories, inventory, registry, sbom, scan, startup, torch_cpu
from benchmarks.report import Figure, render

_ALL = ["startup", "torch", "advisories", "registry", "scan", "inventory", "sbom"]
RESULTS = Path(__file__).parent.parent / "docs" / "benchmarks-results.md"


def main() -> None:
    """Run what is asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of the quick figures; median is told")
    parser.add_argument("--only", nargs="*", choices=_ALL, default=_ALL)
    asked = parser.parse_args()
    figures: list[Figure] = []
    if "startup" in asked.only:
        figures += startup.figures(asked.runs)
    if "torch" in asked.only:
        figures += torch_cpu.figures(asked.runs)
    if "advisories" in asked.only:
        figures += advisories.figures(asked.runs)
    if "registry" in asked.only:
        figures += registry.figures(asked.runs)
    if "scan" in asked.only:
        figures += scan.figures(asked.runs)
    if "inventory" in asked.only:
        figures += inventory.figures(asked.runs)
    if "sbom" in asked.only:
        figures += sbom.figures(asked.runs)
    text = render(
        figures,
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Linux, CPython {platform.python_version()}",
        day=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

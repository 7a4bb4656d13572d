"""Lists of versions in ascending order, as they lie under tests/ecosystems/vectors."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "ecosystems" / "vectors"


def ascending(name: str) -> list[tuple[bool, str]]:
    """Each version of ``<name>.txt``, and whether it equals the one before it."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [(line[0] == "=", line[2:]) for line in lines if not line.startswith("#")]

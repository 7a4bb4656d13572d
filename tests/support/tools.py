"""Real tools that tests ask: there, or the test is skipped here and fails in CI."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

# What ``scripts/peers`` takes from newer suites: cosign-2, cosign-3, crane, oras, umoci-0.6.
TOOLS = Path(__file__).parents[2] / ".tools"


def need(program: str) -> Path:
    """Where ``program`` is (``.tools``, PATH, the administrator's folders, by the interpreter)."""
    folders = [
        str(TOOLS),
        os.environ.get("PATH", os.defpath),
        "/usr/sbin",
        "/sbin",
        str(Path(sys.executable).parent),
    ]
    found = shutil.which(program, path=os.pathsep.join(folders))
    if found:
        return Path(found)
    if os.environ.get("CI"):
        pytest.fail(f"{program} is missing; in CI every tool must be there")
    pytest.skip(f"{program} is not installed")

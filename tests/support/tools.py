"""Real tools that tests ask: there, or the test is skipped here and fails in CI."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def need(program: str) -> Path:
    """Where ``program`` is (PATH, the administrator's folders, beside the interpreter)."""
    folders = [
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

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from staunch.apps.cli.main import run


@dataclass(frozen=True, slots=True)
class Told:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Told]:
    """Runs a command line in this process, in an empty folder, with a store of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STAUNCH_STORE", str(tmp_path / "store"))

    def call(*args: str | Path) -> Told:
        capfd.readouterr()
        code = run([str(each) for each in args])
        out, err = capfd.readouterr()
        return Told(code, out, err)

    return call

"""The command line as users run it: a process of its own, against a store of the test session."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its standard output as JSON."""
        return json.loads(self.out)


def in_process(*args: str | Path, cwd: Path, code: int | None = 0, **env: str) -> Finished:
    """The command line in this process: for tests that call it many times."""
    from staunch.apps.cli.main import run

    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, env),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        got = run([str(each) for each in args])
    if code is not None:
        assert got == code, f"{args}: {got}\n{out.getvalue()}\n{err.getvalue()}"
    return Finished(got, out.getvalue(), err.getvalue())


@dataclass(frozen=True, slots=True)
class Staunch:
    """Runs ``staunch`` with a store; ``python`` may be another interpreter that has Staunch."""

    store: Path
    python: str = sys.executable

    def argv(self, *args: str | Path) -> list[str]:
        return [self.python, "-m", "staunch.apps.cli.main", *map(str, args)]

    def env(self, **more: str) -> dict[str, str]:
        return {**os.environ, "STAUNCH_STORE": str(self.store), "NO_COLOR": "1", **more}

    def __call__(
        self,
        *args: str | Path,
        code: int | None = 0,
        cwd: Path | None = None,
        prefix: tuple[str, ...] = (),
        timeout: float = 900,
        **env: str,
    ) -> Finished:
        """Run to the end and expect exit code ``code`` (None: any)."""
        done = subprocess.run(
            [*prefix, *self.argv(*args)],
            env=self.env(**env),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, (
                f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return Finished(done.returncode, done.stdout, done.stderr)

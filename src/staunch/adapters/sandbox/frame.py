"""What is the same for every tool: a command is prepared, run, judged, and tidied up after."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from staunch.adapters.runner import ProcessRunner
from staunch.adapters.sandbox.held import (
    NO_COMMAND,
    finished,
    program_is_there,
    quietly,
    runs_here,
)
from staunch.ports import Completed, Confinement, Outcome

_NO_DEADLINE_S = float(1 << 31)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command line that runs something in a sandbox.

    ``clean`` is run afterwards, whatever happened; empty for nothing. ``cwd`` is for ``run``
    alone. ``terminal``: an attached process gets a terminal of its own.
    """

    line: Sequence[str]
    clean: Sequence[str] = ()
    cwd: Path | None = None
    terminal: bool = False


class ToolSandbox(ABC):
    """``ports.Sandbox`` by a program of this host."""

    name = ""

    def __init__(self, runner: ProcessRunner, program: Path) -> None:
        """Use ``program``."""
        self._runner, self._program = runner, program

    def runs(self, architecture: str) -> bool:
        """Whether programs of that OCI architecture run here."""
        return runs_here(architecture)

    def run(
        self,
        root: Path,
        argv: Sequence[str],
        held: Confinement,
        *,
        stdin: bytes = b"",
        max_output_bytes: int = 1 << 20,
    ) -> Outcome:
        """Run to the end, deadline or memory limit."""
        with self._prepared(root, argv, held, attached=False) as prepared:

            def run() -> Completed:
                done = self._runner.run(
                    prepared.line,
                    stdin=stdin,
                    cwd=prepared.cwd,
                    timeout_s=held.timeout_s or _NO_DEADLINE_S,
                    max_output_bytes=max_output_bytes,
                )
                return self._judged(done)

            return finished(run, held, clean=lambda: self._clean(prepared))

    def attach(self, root: Path, argv: Sequence[str], held: Confinement) -> int:
        """Run on our own standard streams, with a terminal if standard input is one.

        A program that the image does not have is 127, as for a shell: the tools have other codes.
        """
        if not program_is_there(root, argv[0], held):
            os.write(2, f"{argv[0]}: there is no such program in the image\n".encode())
            return NO_COMMAND
        with self._prepared(root, argv, held, attached=True) as prepared:
            try:
                return self._runner.attached(
                    prepared.line, timeout_s=held.timeout_s, terminal=prepared.terminal
                )
            finally:
                self._clean(prepared)

    def _clean(self, prepared: Prepared) -> None:
        if prepared.clean:
            quietly(self._runner, prepared.clean)

    @abstractmethod
    def _prepared(
        self, root: Path, argv: Sequence[str], held: Confinement, *, attached: bool
    ) -> AbstractContextManager[Prepared]:
        """Make what is needed to run ``argv``, and undo it on leaving."""

    @abstractmethod
    def _judged(self, done: Completed) -> Completed:
        """Tell a command that is not there (``NO_COMMAND``) from a sandbox that broke down.

        Raises:
            UndecidedError: the sandbox broke down.
        """

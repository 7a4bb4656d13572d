"""What every verb shares: ``--json``, ``--quiet``, ``-v``, and where output goes.

Standard output carries the answer alone (text, or one JSON document); progress, notes and errors
go to standard error.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from staunch.apps.cli.failures import write

if TYPE_CHECKING:
    from staunch.ports import Progress

__all__ = ["Console", "verb"]


@dataclass(frozen=True, slots=True)
class Console:
    """How much to say, and how."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def progress(self) -> Progress:
        """For a person at a terminal, for a log, or for nobody."""
        from staunch.apps.cli.progress import LineProgress, NoProgress, terminal_progress

        if self.quiet:
            return NoProgress()
        if sys.stderr.isatty():
            return terminal_progress(sys.stderr)
        return LineProgress(sys.stderr)

    def answer(self, document: Mapping[str, object], text: str, brief: str = "") -> None:
        """Print the document for ``--json``, else the text; ``brief`` is all that ``--quiet`` leaves."""
        if self.json:
            write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        elif not self.quiet:
            write(text.rstrip("\n") + "\n")
        elif brief:
            write(brief + "\n")


def verb(
    name: str, *, epilog: str = "", cls: type[click.Command] = click.Command
) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a command of a function whose first argument is a ``Console``."""

    def decorate(function: Callable[..., int | None]) -> click.Command:
        @functools.wraps(function)
        def called(*, json: bool, quiet: bool, verbose: bool, **values: object) -> int | None:
            return function(Console(json, quiet, verbose), **values)

        called = click.option("-v", "--verbose", is_flag=True, help="Say more.")(called)
        called = click.option("-q", "--quiet", is_flag=True, help="Say only what matters.")(called)
        called = click.option("--json", is_flag=True, help="Answer with a JSON document.")(called)
        settings = {"help_option_names": ["-h", "--help"]}
        make = click.command(name, cls=cls, epilog=epilog or None, context_settings=settings)
        return make(called)

    return decorate

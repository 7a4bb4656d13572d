"""Native twins of commands, by name: one table that evaluation and the docs both read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from staunch.assemble.scripts.evaluate import Shell

Handler = Callable[[Shell, list[str]], int]


@dataclass(frozen=True, slots=True)
class Twin:
    """Commands with one handler: what group they belong to, and what is done instead."""

    names: tuple[str, ...]
    group: str
    does: str


COMMANDS: dict[str, Handler] = {}
TWINS: list[Twin] = []


def command(*names: str, group: str) -> Callable[[Handler], Handler]:
    """Register a handler under ``names``; its docstring's first line says what is done."""

    def register(handler: Handler) -> Handler:
        TWINS.append(Twin(names, group, (handler.__doc__ or "").strip().splitlines()[0]))
        for name in names:
            COMMANDS[name] = handler
        return handler

    return register


def without_effect(*names: str, why: str) -> None:
    """Register commands that change nothing in an image, and why."""

    def handler(shell: Shell, arguments: list[str]) -> int:
        del arguments
        shell.ignore(why)
        return 0

    TWINS.append(Twin(names, "no effect in an image", why))
    for name in names:
        COMMANDS[name] = handler

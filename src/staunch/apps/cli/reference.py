"""The reference of all verbs, written from the commands themselves."""

from __future__ import annotations

import inspect
from importlib import import_module

import click

from staunch.apps.cli.main import VERBS, staunch

__all__ = ["describe"]

_HEAD = """\
# The command line

<!-- Written by `staunch.apps.cli.reference.describe()` from the commands; a test compares. -->

{help}

Every verb takes `--json` (one document on standard output, with a versioned `schema`), `--quiet`
(`-q`) and `--verbose` (`-v`). Progress, notes and errors go to standard error; bars show on a
terminal, plain lines elsewhere. Errors have three parts, and with `--json` they are a document,
too (`staunch.dev/error/v1`).

| exit code | meaning |
| --- | --- |
| 0 | done; the answer is yes |
| 1 | the answer is no: a test failed, a lock does not fit, the store was damaged |
| 2 | the request is wrong: spec, lock, option, or no set of packages fits |
| 3 | it could not be found out: network, missing tool, no sandbox |
| 4 | the bytes are not what was promised |
| 70 | a fault of Staunch itself |
| 74 | the machine failed: disk full, no permission |
| 130 | interrupted |
"""
_COMMON = ("json", "quiet", "verbose")


def describe() -> str:
    """Markdown: one section per verb, in the order of use."""
    parts = [_HEAD.format(help=inspect.cleandoc(staunch.help or ""))]
    for name in VERBS:
        command = import_module(f"staunch.apps.cli.commands.{name}").command
        parts.append(_section(command, f"staunch {name}", "##"))
        if isinstance(command, click.Group):
            parts += [
                _section(each, f"staunch {name} {each.name}", "###")
                for each in command.commands.values()
            ]
    return "\n".join(parts)


def _section(command: click.Command, path: str, level: str) -> str:
    context = click.Context(command, info_name=path)
    lines = [f"{level} `{path}`", "", inspect.cleandoc(command.help or ""), ""]
    if not isinstance(command, click.Group):
        usage = " ".join(command.collect_usage_pieces(context))
        lines += ["```text", f"{path} {usage}", "```", ""]
    rows = [
        record
        for param in command.params
        if param.name not in _COMMON and (record := param.get_help_record(context)) is not None
    ]
    if rows:
        lines += ["| option | meaning |", "| --- | --- |"]
        lines += [f"| `{_cell(names)}` | {_cell(' '.join(text.split()))} |" for names, text in rows]
        lines.append("")
    if command.epilog:
        lines += [" ".join(command.epilog.split()), ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

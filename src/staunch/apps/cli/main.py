"""The command ``staunch``: which verbs there are, and how failures leave it.

Nothing heavy is imported here: a verb's module is loaded when that verb is run or asked for help.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from staunch import __version__
from staunch.apps.cli import failures

__all__ = ["main", "run", "staunch"]

# Verb -> one line for `--help`; a test compares each with the verb's own. In the order of use.
VERBS = {
    "init": "Write a commented spec to begin with.",
    "images": "List the catalogue: specs that are ready to build.",
    "lock": "Resolve a spec to exact files, named by hash.",
    "check": "Tell whether an image will run on a machine's driver and GPUs.",
    "build": "Build an image from a spec or a catalogue entry.",
    "test": "Run an image's own tests in a sandbox.",
    "run": "Run a command in an image, in a sandbox.",
    "db": "Fill and check the database of advisories.",
    "exceptions": "List and change accepted risks.",
    "vex": "Write and check statements about what does not affect an image.",
    "scan": "Tell what is in an image and what is wrong with it.",
    "sbom": "Print an image's software bill of materials.",
    "sign": "Sign an image in a registry or a layout.",
    "attest": "Attest something of an image, signed.",
    "verify": "Verify who signed an image, and what is attested of it.",
    "bundle": "Carry everything over an air gap in one signed file.",
    "key": "Make keys to sign with, and show them.",
    "push": "Push an image and all that is said about it.",
    "pull": "Pull an image and all that is said about it.",
    "copy": "Copy an image and all that is said about it.",
    "mirror": "Keep a mirror of images that hold your conditions.",
    "diff": "Tell what changed between two images.",
    "schema": "Print the JSON Schema of specs, for editors.",
    "store": "Check or shrink the store of downloads and layers.",
    "completion": "Print the completion script of a shell.",
}


class Verbs(click.Group):
    """A group whose commands are modules of ``apps.cli.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use, not of the alphabet."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the verb's module."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"staunch.apps.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table above, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with the nearest verb named."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0][:80]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `staunch build python`, or `staunch init` and `staunch build`. "
    "Exit codes: 0 done, 1 no, 2 wrong request, 3 could not tell, 4 not trusted, 74 machine failed.",
)
@click.version_option(__version__, "-V", "--version", prog_name="staunch")
@click.pass_context
def staunch(ctx: click.Context) -> None:
    """Build hardened, AI-ready container images from signed packages and hash-locked wheels.

    No daemon, no root, no package code run. Same inputs, same digest.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line; its exit code (STYLE.md §6). Prints what went wrong."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with failures.interruptible():
            code = staunch.main(args, prog_name="staunch", standalone_mode=False)
    except BaseException as e:  # noqa: BLE001 - the main function: every failure gets its code here
        return failures.report(e, args)
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console script."""
    # Entries and records by the ten thousand, and no cycles among them: looking for those every
    # 700 objects costs a tenth of a build.
    gc.set_threshold(100_000, 20, 20)
    # Plug-ins of pydantic are looked for in every installed distribution, and none is wanted here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code = run()
    gc.freeze()  # the interpreter looks through everything once more at its end, for nothing
    sys.exit(code)


if __name__ == "__main__":
    main()

"""``staunch init``."""

from __future__ import annotations

from pathlib import Path

import click

from staunch.apps.cli.console import Console, verb
from staunch.apps.cli.options import SPEC
from staunch.apps.cli.places import DEFAULT_SPEC
from staunch.errors import HostError, SpecError


@verb("init", epilog="Example: `staunch init pytorch`, then edit, then `staunch build`")
@click.argument("framework", type=SPEC, required=False, metavar="[FRAMEWORK]")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_SPEC,
    metavar="FILE",
    help=f"Where to write it. Default: {DEFAULT_SPEC}.",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def command(console: Console, framework: str | None, output: Path, *, force: bool) -> None:
    """Write a commented spec to begin with.

    FRAMEWORK is an entry of the catalogue (default: python); `staunch images` lists them.
    """
    from staunch.apps.cli.starter import starter

    text = starter(framework or "python", output)
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as e:
        raise SpecError(
            f"{output} is there already",
            why="it may hold your work",
            mend="name another file with `-o`, or replace it with `--force`",
        ) from e
    except OSError as e:
        raise HostError(
            f"cannot write {output}", why=e.strerror or str(e), mend="check the folder"
        ) from e
    document = {
        "schema": "staunch.dev/init/v1",
        "path": str(output),
        "framework": framework or "python",
    }
    name = "" if str(output) == DEFAULT_SPEC else f" {output}"
    console.answer(
        document,
        f"{output} is written. Edit it, then:\n\n"
        f"  staunch lock{name}     # choose exact files, once\n"
        f"  staunch build{name}    # build and test the image\n"
        f"  staunch run -- python3 -V",
        str(output),
    )

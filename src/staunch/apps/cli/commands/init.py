"""``staunch init``."""

from __future__ import annotations

import re
from dataclasses import asdict
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
@click.option(
    "--from-dockerfile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Carry over what can be; what cannot is listed with the reason.",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def command(
    console: Console,
    framework: str | None,
    output: Path,
    from_dockerfile: Path | None,
    *,
    force: bool,
) -> None:
    """Write a commented spec to begin with.

    FRAMEWORK is an entry of the catalogue (default: python); `staunch images` lists them.
    """
    if from_dockerfile:
        _from_dockerfile(console, framework, output, from_dockerfile, force=force)
        return
    from staunch.apps.cli.starter import starter

    _write(output, starter(framework or "python", output), force=force)
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


def _from_dockerfile(
    console: Console, framework: str | None, output: Path, path: Path, *, force: bool
) -> None:
    from staunch.formats.dockerfile import parse
    from staunch.model import limits
    from staunch.spec.import_dockerfile import import_dockerfile
    from staunch.spec.sources import read_limited

    if framework or output.resolve().parent != path.resolve().parent:
        raise SpecError(
            f"{path} cannot be carried over so",
            why="the spec names files beside the Dockerfile, and its catalogue entry follows from it",
            mend="name no FRAMEWORK, and with `-o` a file in the Dockerfile's folder",
        )
    steps = parse(read_limited(path, limits.SPEC_BYTES, "the Dockerfile"), str(path))
    folder = path.resolve().parent
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:100] or "my-image"
    done = import_dockerfile(steps, folder, name)
    _write(output, done.text, force=force)
    document = {
        "schema": "staunch.dev/init/v1",
        "path": str(output),
        "carried": [asdict(each) for each in done.carried],
        "not_carried": [asdict(each) for each in done.not_carried],
    }
    left = "".join(f"\n  {each.line}: {each.text}\n     {each.why}" for each in done.not_carried)
    told = f"{output} is written. Not carried over:{left}" if left else f"{output} is written."
    console.answer(document, told, str(output))


def _write(output: Path, text: str, *, force: bool) -> None:
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

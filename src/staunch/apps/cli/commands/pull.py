"""``staunch pull``."""

from __future__ import annotations

from pathlib import Path

import click

from staunch.apps.cli.console import Console, verb
from staunch.apps.cli.transfers import transfer_options


@verb("pull", epilog="Example: `staunch pull registry.example.org/team/app:1.2 -o app`")
@click.argument("reference", metavar="REF")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="OCI layout folder to write or add to. Default: out/NAME.",
)
@transfer_options
def command(
    console: Console,
    reference: str,
    output: Path | None,
    platform: str | None,
    insecure: tuple[str, ...],
    *,
    referrers: bool,
) -> None:
    """Pull an image and all that is said about it.

    It goes from a registry into an OCI layout. Every byte is checked against its digest. A pull that was cut goes on where it ended.
    """
    from staunch.apps.cli.places import OUT
    from staunch.apps.cli.transfers import answer, transfer
    from staunch.flows.targets import Place
    from staunch.model.reference import Reference

    source = Place(Reference.parse(reference))
    assert source.reference is not None  # noqa: S101 - for mypy
    target = Place(path=output or OUT / source.reference.repository.rpartition("/")[2])
    done = transfer(
        console, source, target, platform=platform, referrers=referrers, insecure=insecure
    )
    answer(console, source, target, done)

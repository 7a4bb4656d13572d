"""``staunch push``."""

from __future__ import annotations

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb
from staunch.apps.cli.transfers import transfer_options


@verb("push", epilog="Example: `staunch push out/app registry.example.org/team/app:1.2`")
@click.argument("image", type=options.IMAGE)
@click.argument("reference", metavar="REF")
@transfer_options
def command(
    console: Console,
    image: str,
    reference: str,
    platform: str | None,
    insecure: tuple[str, ...],
    *,
    referrers: bool,
) -> None:
    """Push an image and all that is said about it.

    IMAGE is an OCI layout folder, an OCI archive, or the name of one in out/. REF names registry,
    repository and tag (default: latest). The tag is set last, when everything else is there;
    what the registry has is not sent again.
    """
    from staunch.apps.cli.transfers import answer, transfer
    from staunch.flows.targets import Place, parse_place
    from staunch.model.reference import Reference

    source, target = parse_place(image), Place(Reference.parse(reference))
    done = transfer(
        console, source, target, platform=platform, referrers=referrers, insecure=insecure
    )
    answer(console, source, target, done)

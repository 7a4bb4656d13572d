"""``staunch copy``."""

from __future__ import annotations

import click

from staunch.apps.cli.console import Console, verb
from staunch.apps.cli.transfers import transfer_options


@verb(
    "copy",
    epilog="Examples: `staunch copy a.example.org/app:1 b.example.org/app`; "
    "`staunch copy a.example.org/app@sha256:… oci:app`",
)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--all-tags", is_flag=True, help="Copy every tag of the repository.")
@transfer_options
def command(
    console: Console,
    source: str,
    target: str,
    platform: str | None,
    insecure: tuple[str, ...],
    *,
    all_tags: bool,
    referrers: bool,
) -> None:
    """Copy an image and all that is said about it.

    It keeps its digest. FROM and TO are references in registries or OCI layouts (`oci:DIR`, `./DIR`); FROM may be an OCI
    archive. Where TO has no tag, it is FROM's. What is there is not sent again, and what the
    registry has in another repository is mounted.
    """
    from staunch.apps.cli.transfers import answer, transfer
    from staunch.errors import SpecError
    from staunch.flows.targets import parse_place

    origin = parse_place(source, default_tag="" if all_tags else "latest")
    place = parse_place(target, default_tag="")
    if place.digest or (place.reference and place.reference.digest):
        raise SpecError(
            f"cannot copy to {target}",
            why="a digest follows from what is copied",
            mend="name the repository, and a tag if it shall have one",
        )
    done = transfer(
        console,
        origin,
        place,
        platform=platform,
        referrers=referrers,
        insecure=insecure,
        all_tags=all_tags,
    )
    answer(console, origin, place, done)

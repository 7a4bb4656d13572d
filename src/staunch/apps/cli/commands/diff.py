"""``staunch diff``."""

from __future__ import annotations

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb


@verb(
    "diff",
    epilog="Examples: `staunch diff out/app registry.example.org/team/app:1.2`; "
    "`staunch diff old.tar new.tar --exit-code`; with it: 0 the same, 1 different, 3 unknown.",
)
@click.argument("before", type=options.IMAGE, metavar="A")
@click.argument("after", type=options.IMAGE, metavar="B")
@options.platform
@click.option(
    "--files/--no-files",
    default=True,
    show_default=True,
    help="Compare every file, which reads all layers.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 when they differ, as diff(1) does.")
@options.insecure_registry
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    metavar="N",
    help="Threads.",
)
def command(
    console: Console,
    before: str,
    after: str,
    platform: str | None,
    insecure: tuple[str, ...],
    jobs: int,
    *,
    files: bool,
    exit_code: bool,
) -> int:
    """Tell what changed between two images.

    A and B are images in registries, OCI layouts, OCI or docker archives: packages, files, size by
    layer and configuration are compared, as they are in the layers. Of a root file system, an
    SBOM or a lock, packages alone.
    """
    from staunch.apps.cli.world import open_registries
    from staunch.flows.diff import diff
    from staunch.model.platform import Platform
    from staunch.report.difference import difference_document, difference_text

    with open_registries(insecure=insecure) as registries:
        found = diff(
            before,
            after,
            registries=registries,
            platform=Platform.parse(platform) if platform else None,
            files=files,
            threads=jobs,
        )
    console.answer(difference_document(found), difference_text(found, verbose=console.verbose))
    if not exit_code:
        return 0
    return 1 if not found.same else 3 if found.gaps else 0

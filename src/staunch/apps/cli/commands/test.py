"""``staunch test``."""

from __future__ import annotations

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb


@verb(
    "test", epilog="Examples: `staunch test`; `staunch test out/onnxruntime --sandbox bubblewrap`"
)
@options.image
@options.platform
@click.option("--sandbox", metavar="NAME", help="runc, podman, docker or bubblewrap.")
def command(console: Console, image: str | None, platform: str | None, sandbox: str | None) -> int:
    """Run an image's own tests in a sandbox.

    IMAGE is an OCI layout folder, an archive, or the name of one in out/; default: that of
    staunch.yaml. Without network, and for inference with a read-only root, as the image's user and
    as an arbitrary one. Exit code 3: no sandbox works here, or the image carries no tests.
    """
    from staunch.adapters.runner import ProcessRunner
    from staunch.adapters.sandbox import choose_sandbox, static_shell
    from staunch.adapters.unpack import LayerUnpacker
    from staunch.apps.cli import render, world
    from staunch.apps.cli.places import image_path
    from staunch.flows.run import choose_image, test_image
    from staunch.model.platform import Platform
    from staunch.model.verdict import Passed, Refused
    from staunch.publish.read import open_image

    path = image_path(image)
    chosen = Platform.parse(platform) if platform else None
    progress = console.progress()
    with world.closing(progress), open_image(path) as source:
        box = choose_sandbox(ProcessRunner(), prefer=sandbox)
        report = test_image(
            choose_image(source.images, box, chosen),
            sandbox=box,
            unpacker=LayerUnpacker(),
            progress=progress,
            shell=static_shell(ProcessRunner()),
        )
    verdict = report.verdict
    document = {
        **report.document(),
        "image": str(path),
        "passed": isinstance(verdict, Passed) or (False if isinstance(verdict, Refused) else None),
    }
    text = render.tests_text(report, verbose=console.verbose)
    console.answer(document, text, "" if isinstance(verdict, Passed) else text)
    match verdict:
        case Passed():
            return 0
        case Refused():
            return 1
        case _:
            return 3

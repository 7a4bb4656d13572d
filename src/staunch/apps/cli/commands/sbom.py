"""``staunch sbom``."""

from __future__ import annotations

from pathlib import Path

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb
from staunch.apps.cli.failures import write


@verb(
    "sbom",
    epilog="Examples: `staunch sbom`; `staunch sbom out/onnxruntime --format cyclonedx -o sbom.cdx.json`",
)
@options.image
@click.option(
    "--format",
    "form",
    type=click.Choice(["spdx", "cyclonedx", "files"]),
    default="spdx",
    show_default=True,
    help="SPDX 2.3 or CycloneDX 1.6, JSON; or the list of files.",
)
@options.platform
@click.option("--index", is_flag=True, help="The SBOM of the index over several platforms.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it there instead of to standard output.",
)
def command(
    console: Console,
    image: str | None,
    form: str,
    platform: str | None,
    output: Path | None,
    *,
    index: bool,
) -> int:
    """Print an image's software bill of materials.

    IMAGE is an OCI layout folder, an OCI archive, or the name of one in out/; default: that of
    staunch.yaml. It was made from the same tree as the image and is bound to its digest.
    """
    import json

    from staunch.apps.cli.places import image_path
    from staunch.errors import HostError
    from staunch.flows.sbom import read_sbom
    from staunch.formats import cyclonedx, file_list, spdx
    from staunch.model.platform import Platform

    path = image_path(image)
    media_type = {
        "spdx": spdx.MEDIA_TYPE,
        "cyclonedx": cyclonedx.MEDIA_TYPE,
        "files": file_list.MEDIA_TYPE,
    }[form]
    wanted = Platform.parse(platform) if platform else None
    data = read_sbom(path, wanted, media_type=media_type, index=index)
    if output is not None:
        try:
            output.write_bytes(data)
        except OSError as e:
            raise HostError(
                f"cannot write {output}", why=e.strerror or str(e), mend="check the folder"
            ) from e
        document = {"schema": "staunch.dev/sbom/v1", "format": form, "path": str(output)}
        console.answer(document, f"{output} is written", str(output))
        return 0
    if console.json:
        document = {
            "schema": "staunch.dev/sbom/v1",
            "format": form,
            "image": str(path),
            "document": data.decode("utf-8", "replace") if form == "files" else json.loads(data),
        }
        console.answer(document, "")
        return 0
    write(data)
    return 0

"""``staunch sign``."""

from __future__ import annotations

from pathlib import Path

import click

from staunch.apps.cli import options, signing
from staunch.apps.cli.console import Console, verb


@verb(
    "sign",
    epilog="Examples: `staunch sign registry.example.org/team/app:1 --key release.key`; "
    "`staunch sign out/app --keyless`",
)
@click.argument("target")
@signing.signs
@signing.scheme
@click.option("--recursive", is_flag=True, help="Sign each manifest of an index, too.")
@click.option(
    "-a",
    "--annotation",
    "annotations",
    multiple=True,
    metavar="KEY=VALUE",
    help="Your own words, into the payload of the `tags` scheme.",
)
@options.insecure_registry
def command(
    console: Console,
    target: str,
    key: str | None,
    passphrase_file: Path | None,
    identity_token: Path | None,
    trust_config: Path | None,
    scheme: str,
    annotations: tuple[str, ...],
    insecure: tuple[str, ...],
    *,
    keyless: bool,
    recursive: bool,
) -> None:
    """Sign an image in a registry or a layout.

    TARGET's digest is signed, not its tag. The real cosign verifies it: versions from 3 find
    the `referrers` scheme, older ones the `tags` scheme. To sign again changes nothing.
    """
    from staunch.apps.cli.world import open_registries
    from staunch.flows.signing import sign_image
    from staunch.flows.targets import open_target
    from staunch.flows.verify import manifests_of

    words = signing.annotations_of(annotations)
    signer = signing.signer_of(
        key,
        passphrase_file,
        keyless=keyless,
        identity_token=identity_token,
        trust_config=trust_config,
    )
    with (
        open_registries(insecure=insecure) as registries,
        open_target(target, registries, write=True) as found,
    ):
        images = [found.descriptor]
        if recursive:
            images += [
                each
                for each in manifests_of(found.repository, found.descriptor)
                if each != found.descriptor
            ]
        written = [
            one
            for each in images
            for one in sign_image(
                found.repository,
                each,
                signer,
                reference=found.repository.name,
                schemes=signing.schemes_of(scheme, keyless=keyless),
                optional=words,
            )
        ]
        signing.tell(console, "sign", found.name, signer.name, written)

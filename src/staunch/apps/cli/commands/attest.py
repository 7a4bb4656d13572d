"""``staunch attest``."""

from __future__ import annotations

from pathlib import Path

import click

from staunch.apps.cli import options, signing
from staunch.apps.cli.console import Console, verb

_PREDICATE_BYTES = 64 << 20


@verb(
    "attest",
    epilog="Example: `staunch attest registry.example.org/team/app:1 --type spdx "
    "--predicate app.spdx.json --key release.key`",
)
@click.argument("target")
@click.option(
    "--type",
    "kind",
    required=True,
    metavar="TYPE",
    help="provenance, spdx, cyclonedx, vex, vuln, custom, or a predicate type's URI.",
)
@click.option(
    "--predicate",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The predicate: a JSON object.",
)
@signing.signs
@signing.scheme
@options.insecure_registry
def command(
    console: Console,
    target: str,
    kind: str,
    predicate: Path,
    key: str | None,
    passphrase_file: Path | None,
    identity_token: Path | None,
    trust_config: Path | None,
    scheme: str,
    insecure: tuple[str, ...],
    *,
    keyless: bool,
) -> None:
    """Attest something of an image, signed.

    It becomes an in-toto statement about TARGET's digest in a DSSE envelope, which the real cosign
    verifies, too.
    """
    from staunch.adapters.signers.files import read_limited
    from staunch.apps.cli.world import open_registries
    from staunch.attest.trust import type_of
    from staunch.flows.signing import attest_image
    from staunch.flows.targets import open_target
    from staunch.formats import strict_json

    data = strict_json.read(
        read_limited(predicate, max_bytes=_PREDICATE_BYTES, what="predicate"),
        what=f"the predicate {predicate}",
        mend="give a JSON object",
        max_bytes=_PREDICATE_BYTES,
    ).object()
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
        written = attest_image(
            found.repository,
            found.descriptor,
            type_of(kind),
            data,
            signer,
            name=found.repository.name,
            schemes=signing.schemes_of(scheme, keyless=keyless),
        )
        signing.tell(console, "attest", found.name, signer.name, written)

"""``staunch key``."""

from __future__ import annotations

from pathlib import Path

import click

from staunch.apps.cli import signing
from staunch.apps.cli.console import Console, verb


@click.group("key", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make keys to sign with, and show them.

    Files are those of cosign: each program reads the other's.
    """


@verb("generate", epilog="Example: `staunch key generate -o release`")
@click.option(
    "-o",
    "--output",
    "prefix",
    type=click.Path(path_type=Path),
    default="cosign",
    show_default=True,
    metavar="NAME",
    help="Write NAME.key and NAME.pub.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Holds the passphrase. Default: $COSIGN_PASSWORD, else it is asked for.",
)
def generate(console: Console, prefix: Path, passphrase_file: Path | None) -> None:
    """Make an ECDSA P-256 key, sealed by a passphrase.

    The private half can be read by its owner only. A key that is there is never overwritten.
    """
    from staunch.adapters.signers.files import generate_key

    secret = signing.passphrase(passphrase_file, confirm=True)
    private, public, key = generate_key(prefix, secret)
    document = {
        "schema": "staunch.dev/key/v1",
        "private": str(private),
        "public": str(public),
        "fingerprint": str(key),
    }
    console.answer(document, f"{private} and {public} are written\n{key}", str(public))


@verb("show", epilog="Example: `staunch key show release.key > release.pub`")
@click.argument("key")
@click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Holds the key's passphrase. Default: $COSIGN_PASSWORD, else it is asked for.",
)
def show(console: Console, key: str, passphrase_file: Path | None) -> None:
    """Print the public key of KEY, a private one: a file, `command:…`, or a plug-in's."""
    from staunch.formats.public_key import PublicKey

    signer = signing.signer_of(key, passphrase_file, keyless=False)
    public = PublicKey(signer.public_key)  # type: ignore[union-attr]  # not keyless
    document = {
        "schema": "staunch.dev/key/v1",
        "key": signer.name,
        "public_key": public.pem.decode(),
        "fingerprint": str(public),
    }
    console.answer(document, public.pem.decode(), str(public))


command.add_command(generate)
command.add_command(show)

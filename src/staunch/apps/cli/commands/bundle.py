"""``staunch bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from staunch.apps.cli import options, signing
from staunch.apps.cli.console import Console, verb

_FILE_BYTES = 64 << 20


@click.group("bundle", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Carry everything over an air gap in one signed file."""


@verb(
    "export",
    epilog="Example: `staunch bundle export registry.example.org/team/app:1 --lock app.lock "
    "--trust release.pub --file app.yaml --key release.key -o app.bundle`",
)
@click.argument("targets", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The bundle to write.",
)
@click.option(
    "--lock",
    "locks",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Take a lock and every package in it, so that it can be built there.",
)
@click.option(
    "--profile",
    "profiles",
    type=click.Choice(["inference", "training"]),
    multiple=True,
    default=("inference",),
    show_default=True,
    help="Of the locks: what is to be built there; may be given twice.",
)
@click.option(
    "--trust",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Take a public key, a policy or a trust root.",
)
@click.option(
    "--file",
    "files",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Take any other file, such as a spec.",
)
@signing.signs
@options.insecure_registry
@options.store
def export(
    console: Console,
    targets: tuple[str, ...],
    output: Path,
    locks: tuple[Path, ...],
    profiles: tuple[str, ...],
    trust: tuple[Path, ...],
    files: tuple[Path, ...],
    key: str | None,
    passphrase_file: Path | None,
    identity_token: Path | None,
    trust_config: Path | None,
    insecure: tuple[str, ...],
    store: Path | None,
    *,
    keyless: bool,
) -> None:
    """Write images, locks, packages and keys to one signed file.

    TARGETS are images in registries or layouts; all that is said about them comes along. The same
    inputs give the same bytes when a key signs.
    """
    from contextlib import ExitStack

    from staunch.adapters.signers.files import read_limited
    from staunch.apps.cli.progress import size
    from staunch.apps.cli.world import closing, open_registries, open_store
    from staunch.flows.bundle import Exported, export_bundle, plan_bundle
    from staunch.flows.targets import open_target
    from staunch.model import limits
    from staunch.model.spec import Profile

    if not (targets or locks or trust or files):
        raise click.UsageError("name an image, --lock, --trust or --file")
    signer = signing.signer_of(
        key,
        passphrase_file,
        keyless=keyless,
        identity_token=identity_token,
        trust_config=trust_config,
    )
    progress = console.progress()
    with ExitStack() as stack:
        stack.enter_context(closing(progress))
        registries = stack.enter_context(open_registries(insecure=insecure))
        images = []
        for target in targets:
            found = stack.enter_context(open_target(target, registries))
            images.append(Exported.of(found))
        opened = open_store(store)
        stack.enter_context(opened.session())
        plan = plan_bundle(
            images,
            [
                (each.name, read_limited(each, max_bytes=limits.LOCK_BYTES, what="lock"))
                for each in locks
            ],
            [
                (role, each.name, read_limited(each, max_bytes=_FILE_BYTES, what="file"))
                for role, paths in (("trust", trust), ("file", files))
                for each in paths
            ],
            opened,
            profiles=frozenset(map(Profile, profiles)),
        )
        digest = export_bundle(plan, output, signer, progress)
    contents = plan.contents()
    total = sum(each for _, each in contents.blobs)
    document = {
        "schema": "staunch.dev/bundle-export/v1",
        "path": str(output),
        "contents": str(digest),
        "signer": signer.name,
        "bytes": total,
        "images": [{"name": each.name, "tags": {tag: str(on) for tag, on in each.tags}} for each in contents.repositories],
        "files": [{"role": each.role, "name": each.name, "digest": str(each.digest)} for each in contents.files],
    }  # fmt: skip
    text = f"{output}: {len(contents.repositories)} repositories, {len(contents.files)} files, {size(total)}"
    console.answer(document, text, str(digest))


@verb(
    "import",
    epilog="Example: `staunch bundle import app.bundle --key release.pub -o here`",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="A new folder: images as OCI layouts in DIR/images, locks, keys and other files in DIR.",
)
@signing.trusts
@options.store
def import_(
    console: Console,
    bundle: Path,
    output: Path,
    policy: Path | None,
    attestations: tuple[str, ...],
    keys: tuple[Path, ...],
    store: Path | None,
) -> None:
    """Check a bundle whole, then unpack it.

    Its signature must be by a key (or identity) that you have from elsewhere: keys in the bundle
    do not count for itself. Packages go to the store, so `staunch build --offline` finds them.
    """
    from staunch.apps.cli.world import closing, open_store
    from staunch.flows.bundle import import_bundle, verified_bundle

    trusted = signing.policy_of(policy, keys, attestations)
    progress = console.progress()
    opened_store = open_store(store)
    with closing(progress), opened_store.session():
        progress.step(f"checking {bundle}")
        with verified_bundle(bundle, trusted, signing.identities(trusted)) as opened:
            done = import_bundle(opened, output, opened_store, progress)
    document = {
        "schema": "staunch.dev/bundle-import/v1",
        "images": [{"name": name, "path": str(path)} for name, path in done.layouts],
        "files": [str(each) for each in done.files],
        "packages": done.packages,
        "new_packages": done.new_packages,
    }
    lines = [f"{output}: {len(done.layouts)} repositories, {len(done.files)} files"]
    lines += [f"  {name}  {path}" for name, path in done.layouts]
    lines += [f"  {each}" for each in done.files]
    lines.append(f"{done.packages} packages, {done.new_packages} new in the store")
    console.answer(document, "\n".join(lines), str(output))


command.add_command(export)
command.add_command(import_)

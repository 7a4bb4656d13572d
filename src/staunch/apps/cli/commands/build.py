"""``staunch build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb

if TYPE_CHECKING:
    from staunch.flows.build import Compression, Format


@verb(
    "build",
    epilog="Examples: `staunch build onnxruntime`; `staunch build app.yaml -o out/app`; "
    "`staunch build app.yaml --format docker-archive -o app.tar`",
)
@options.spec
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Folder or archive to write. Default: out/NAME, archives out/NAME.oci.tar and the like.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["oci-dir", "oci-archive", "docker-archive"]),
    default="oci-dir",
    show_default=True,
    help="How the image is written; docker-archive holds one platform.",
)
@click.option(
    "--compression",
    type=click.Choice(["zstd", "gzip", "estargz"]),
    default="zstd",
    show_default=True,
    help="Of layers. zstd layers can be pulled in parts (zstd:chunked), estargz ones lazily.",
)
@click.option(
    "--profile",
    type=click.Choice(["inference", "training"]),
    help="Instead of the spec's own.",
)
@options.foundation
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="NAME",
    help="Build for this one instead of the spec's own; may be given more than once.",
)
@click.option(
    "--context",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Where the `from` of `files:` starts. Default: the spec's folder.",
)
@click.option("--offline", is_flag=True, help="Use nothing but the lock and the store.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="N", help="Threads. Default: processors."
)
@options.store
@click.option("--tag", default="latest", metavar="TAG", help="Tag inside the written image.")
@click.option(
    "--sign",
    "key",
    metavar="KEY",
    help="Sign the image and attest SBOM and provenance with this key (see `staunch sign`), "
    "or `keyless`.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Holds the key's passphrase. Default: $COSIGN_PASSWORD, else it is asked for.",
)
@click.option(
    "--push",
    metavar="REF",
    help="Push it there when its tests passed; an image that could not be tested is not pushed.",
)
@options.insecure_registry
@click.option(
    "--test/--no-test", "testing", default=True, help="Run the image's tests. Default: yes."
)
def command(
    console: Console,
    spec: str | None,
    output: Path | None,
    form: Format,
    compression: Compression,
    profile: str | None,
    foundation: str | None,
    platforms: tuple[str, ...],
    context: Path | None,
    jobs: int | None,
    store: Path | None,
    tag: str,
    key: str | None,
    passphrase_file: Path | None,
    push: str | None,
    insecure: tuple[str, ...],
    *,
    offline: bool,
    testing: bool,
) -> int:
    """Build an image from a spec or a catalogue entry.

    SPEC is a path or a catalogue name; default: staunch.yaml. A lock that stands beside it and fits
    is used, else one is made. The image is tested in a sandbox; if none works on this machine, the
    image is written all the same and the exit code is 3.
    """
    from staunch.apps.cli import locking, render, world
    from staunch.apps.cli import testing as tests
    from staunch.apps.cli.places import lock_path, output_path, spec_source
    from staunch.assemble.rules.registry import names
    from staunch.flows.build import BuildOptions, build
    from staunch.model.spec import Profile
    from staunch.publish.archive import refuse_folder
    from staunch.publish.layout import stands
    from staunch.spec import load

    wanted = load(
        spec_source(spec),
        profile=Profile(profile) if profile else None,
        context=context,
        foundation=foundation,
        platforms=platforms,
        known_rules=names(),
    )
    path = lock_path(wanted.source, wanted.name, foundation=foundation)
    out = output or output_path(wanted.name, form)
    (stands if form == "oci-dir" else refuse_folder)(out)  # told now, not after all the work
    pushing = None
    if push is not None:
        from staunch.apps.cli.transfers import Pushing

        pushing = Pushing.parse(push, form, insecure)
    signing = None
    if key is not None:  # before the work: a wrong passphrase should not cost a build
        from staunch.apps.cli.signing import signer_of, signing_of

        by = None if key == "keyless" else key
        signing = signing_of(signer_of(by, passphrase_file, keyless=by is None))
    how = BuildOptions(out, form, compression, tag, signing)
    progress = console.progress()
    with world.open_world(
        wanted, store=store, offline=offline, jobs=jobs, progress=progress
    ) as opened:
        lock = locking.standing_or_new(wanted, path, opened)
        report = build(wanted, lock, opened, how)
        tested = tests.after_build(out, wanted, progress) if testing else tests.SKIPPED
    summary = render.Build(wanted, lock, path, report, tested, form)
    document, text = summary.document(), summary.text(verbose=console.verbose)
    code = tests.exit_code(tested)
    if pushing is not None:
        document, text = pushing.run(console, out, document, text, code)
    console.answer(document, text, str(report.published.digest))
    return code

"""``staunch lock``."""

from __future__ import annotations

from pathlib import Path

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb


@verb(
    "lock",
    epilog="Examples: `staunch lock`; `staunch lock app.yaml --upgrade openssl numpy`; "
    "`staunch lock --check app.yaml` in CI",
)
@options.spec
@click.argument("packages", nargs=-1, metavar="[PKG]...")
@click.option(
    "--upgrade",
    is_flag=True,
    help="Move to the newest releases: PKG alone where named, else everything. The first word is "
    "SPEC where it is a file or a catalogue name.",
)
@click.option(
    "--check", is_flag=True, help="Only say whether the lock fits the spec; exit 1 if not."
)
@options.foundation
@click.option("--offline", is_flag=True, help="Use nothing but the store.")
@options.store
def command(
    console: Console,
    spec: str | None,
    packages: tuple[str, ...],
    foundation: str | None,
    store: Path | None,
    *,
    upgrade: bool,
    check: bool,
    offline: bool,
) -> int:
    """Resolve a spec to exact files, named by hash.

    SPEC is a path or a catalogue name; default: staunch.yaml. The lock stands beside the spec,
    with the ending .lock, and is meant to be committed with it. Versions that stand in it are kept
    until --upgrade moves them.
    """
    if packages and not upgrade:
        raise click.UsageError(
            f"{packages[0]!r} names a package, which only --upgrade takes.",
            click.get_current_context(),
        )
    if upgrade and check:
        raise click.UsageError(
            "--check changes nothing, so --upgrade makes no sense with it.",
            click.get_current_context(),
        )
    from staunch.apps.cli import locking, render, world
    from staunch.apps.cli.places import is_spec, lock_path, spec_source
    from staunch.assemble.rules.registry import names
    from staunch.spec import load

    if upgrade and spec is not None and not is_spec(spec):
        packages = (spec, *packages)
        spec = None
    wanted = load(spec_source(spec), foundation=foundation, known_rules=names())
    path = lock_path(wanted.source, wanted.name, foundation=foundation)
    found = locking.standing(wanted, path)
    if check:
        fits = not found.reasons
        document = {
            "schema": "staunch.dev/lock-check/v1",
            "lock": str(path),
            "fits": fits,
            "reasons": list(found.reasons),
        }
        text = f"{path} fits" if fits else f"{path} does not fit: " + "; ".join(found.reasons)
        console.answer(document, text, "" if fits else text)
        return 0 if fits else 1
    moving = (frozenset(packages) or None) if upgrade else frozenset()
    with world.open_world(
        wanted, store=store, offline=offline, jobs=None, progress=console.progress()
    ) as opened:
        made, changed = locking.resolve(wanted, path, opened, found.lock, moving)
    moves = render.moves(found.lock, made)
    document = render.lock_document(made, path, changed=changed, moves=moves)
    text = render.lock_text(made, path, changed=changed, moves=moves)
    console.answer(document, text, str(path))
    return 0

"""``staunch store``."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb

if TYPE_CHECKING:
    from staunch.adapters.store import StoreReport

_DAYS = {"h": 1 / 24, "d": 1, "w": 7}
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@click.group("store", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Check or shrink the store of downloads and layers.

    Everything in it can be fetched or made again; concurrent builds share it.
    """


def _age(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6})([hdw])", value)
    if found is None:
        raise click.BadParameter("an age such as 12h, 30d or 8w is wanted", ctx, param)
    return timedelta(days=int(found[1]) * _DAYS[found[2]])


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,12})([kmgt]?)b?", value.lower())
    if found is None:
        raise click.BadParameter("a size such as 500M or 20G is wanted", ctx, param)
    return int(found[1]) * _SIZES[found[2]]


@verb("gc", epilog="Example: `staunch store gc --max-age 30d --max-size 20G`")
@click.option(
    "--max-age", callback=_age, metavar="AGE", help="Remove what was not used for so long."
)
@click.option(
    "--max-size", callback=_size, metavar="SIZE", help="Then the longest unused above this size."
)
@options.store
def gc(
    console: Console, max_age: timedelta | None, max_size: int | None, store: Path | None
) -> None:
    """Remove what is no longer needed.

    Without limits only what killed builds left behind. Waits for no build: while one runs it
    refuses.
    """
    from staunch.apps.cli.world import open_store

    opened = open_store(store)
    report = opened.gc(max_age=max_age, max_bytes=max_size)
    _answer(console, "gc", opened.root, report, "removed")


@verb("verify", epilog="Example: `staunch store verify`")
@options.store
def verify(console: Console, store: Path | None) -> int:
    """Check every entry against its digest; remove what is damaged.

    Exit code 1 when something was: what is missing is fetched or made again by the next build.
    """
    from staunch.apps.cli.world import open_store

    opened = open_store(store)
    report = opened.verify()
    _answer(console, "verify", opened.root, report, "damaged and removed")
    return 1 if report.removed else 0


def _answer(console: Console, name: str, root: Path, report: StoreReport, word: str) -> None:
    from staunch.apps.cli.progress import size

    document = {
        "schema": f"staunch.dev/store-{name}/v1",
        "store": str(root),
        "entries": report.entries,
        "bytes": report.bytes,
        "removed": list(report.removed),
        "removed_bytes": report.removed_bytes,
    }
    lines = [f"{root}: {report.entries:,} entries, {size(report.bytes)}"]
    lines.append(f"{len(report.removed):,} {word}, {size(report.removed_bytes)}")
    if console.verbose or name == "verify":
        lines += [f"  {each}" for each in report.removed]
    console.answer(document, "\n".join(lines))


command.add_command(gc)
command.add_command(verify)

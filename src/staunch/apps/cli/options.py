"""Options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

__all__ = ["IMAGE", "SPEC", "foundation", "image", "insecure_registry", "platform", "spec", "store"]


def _offer(incomplete: str, found: list[str], endings: tuple[str, ...]) -> list[CompletionItem]:
    """Names of ours and files of these endings; where there are none, the shell offers any file.

    Not both: told to offer files, bash forgets all names that it was given.
    """
    folder = Path(incomplete).parent if not incomplete.endswith("/") else Path(incomplete)
    try:
        there = sorted(each for each in folder.iterdir() if each.name.endswith(endings))
    except OSError:
        there = []
    files = [text for each in there if (text := str(each)).startswith(incomplete)]
    offered = [CompletionItem(each) for each in dict.fromkeys([*found, *files])]
    return offered or [CompletionItem(incomplete, type="file")]


class _SpecType(click.ParamType):  # type: ignore[type-arg]  # generic in stubs of newer clicks only
    """A path or a catalogue name; completes both."""

    name = "spec"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Catalogue names first, then files."""
        from staunch.spec.entries import names

        found = [each for each in names() if each.startswith(incomplete)]
        return _offer(incomplete, found, (".yaml", ".yml"))


class _ImageType(click.ParamType):  # type: ignore[type-arg]  # as above
    """A path, or the name of an image in ``out/``; completes both."""

    name = "image"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Images in ``out/`` first, then files."""
        from staunch.apps.cli.places import OUT

        there = sorted(each.name for each in OUT.iterdir()) if OUT.is_dir() else []
        found = [path for each in there if (path := f"{OUT}/{each}").startswith(incomplete)]
        return _offer(incomplete, found, (".tar",))


SPEC: Any = _SpecType()
IMAGE: Any = _ImageType()

spec = click.argument("spec", type=SPEC, required=False, metavar="[SPEC]")
image = click.argument("image", type=IMAGE, required=False, metavar="[IMAGE]")
foundation = click.option(
    "--foundation",
    metavar="NAME",
    help="Build on another release than the spec's own, such as debian:12.",
)
platform = click.option("--platform", metavar="NAME", help="Which image, such as linux/arm64.")
insecure_registry = click.option(
    "--insecure-registry",
    "insecure",
    multiple=True,
    metavar="HOST",
    help="Speak plain http with this registry, such as localhost:5000; only on this machine. "
    "May be given more than once.",
)
store = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where downloads and layers are kept. Default: $STAUNCH_STORE, else "
    "$XDG_CACHE_HOME/staunch, else ~/.cache/staunch.",
)

"""``staunch run``."""

from __future__ import annotations

import re

import click

from staunch.apps.cli import options
from staunch.apps.cli.console import Console, verb
from staunch.apps.cli.failures import write

_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class _AfterDashes(click.Command):
    """Takes what stands behind ``--`` as the command to run, and nothing else."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split at the first ``--``, so that the image may be left out before it."""
        words: list[str] = []
        if "--" in args:
            at = args.index("--")
            args, words = args[:at], args[at + 1 :]
        ctx.meta["staunch.command"] = tuple(words)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """With the command at the end."""
        return [*super().collect_usage_pieces(ctx), "[-- CMD...]"]


def _bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,12})([kmg]?)i?b?", value.lower())
    if found is None or int(found[1]) == 0:
        raise click.BadParameter("a size such as 512m or 4g is wanted", ctx, param)
    return int(found[1]) * _SIZES[found[2]]


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6})([smh]?)", value)
    if found is None or int(found[1]) == 0:
        raise click.BadParameter("a time such as 90s, 10m or 2h is wanted", ctx, param)
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _pairs(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = [each.partition("=") for each in values]
    if any(not name or not equals for name, equals, _ in pairs):
        raise click.BadParameter("NAME=VALUE is wanted", ctx, param)
    return tuple((name, value) for name, _, value in pairs)


@verb(
    "run",
    cls=_AfterDashes,
    epilog="Examples: `staunch run -- python3 -V`; "
    "`staunch run out/app --network --memory 2g --timeout 10m`",
)
@options.image
@options.platform
@click.option("--network", is_flag=True, help="Give it this machine's network. Default: none.")
@click.option("--memory", callback=_bytes, metavar="SIZE", help="Most memory, such as 4g.")
@click.option("--timeout", callback=_seconds, metavar="TIME", help="Most time, such as 10m.")
@click.option("--user", metavar="UID[:GID]", help="Instead of the image's own.")
@click.option(
    "-e", "--env", callback=_pairs, multiple=True, metavar="NAME=VALUE", help="A variable for it."
)
@click.option(
    "--writable/--read-only",
    default=None,
    help="The root; what is written is thrown away. Default: what the profile wants.",
)
@click.option("--sandbox", metavar="NAME", help="runc, podman, docker or bubblewrap.")
def command(
    console: Console,
    image: str | None,
    platform: str | None,
    memory: int | None,
    timeout: float | None,
    user: str | None,
    env: tuple[tuple[str, str], ...],
    sandbox: str | None,
    *,
    network: bool,
    writable: bool | None,
) -> int:
    """Run a command in an image, in a sandbox.

    IMAGE is an OCI layout folder, an archive, or the name of one in out/; default: that of
    staunch.yaml. CMD replaces entrypoint and command of the image. The exit code is the command's.
    """
    from staunch.adapters.runner import ProcessRunner
    from staunch.adapters.sandbox import choose_sandbox
    from staunch.adapters.unpack import LayerUnpacker
    from staunch.apps.cli.places import image_path
    from staunch.apps.cli.progress import NoProgress
    from staunch.flows.run import choose_image, run_image
    from staunch.model.platform import Platform
    from staunch.publish.read import open_image

    path = image_path(image)
    words = click.get_current_context().meta["staunch.command"]
    chosen = Platform.parse(platform) if platform else None
    with open_image(path) as source:
        box = choose_sandbox(ProcessRunner(), prefer=sandbox)
        code = run_image(
            choose_image(source.images, box, chosen),
            words,
            sandbox=box,
            unpacker=LayerUnpacker(),
            progress=console.progress() if console.verbose else NoProgress(),
            network=network,
            read_only=None if writable is None else not writable,
            memory_bytes=memory,
            timeout_s=timeout,
            user=user,
            env=env,
        )
    if console.json:  # after the command's own output, as the last line
        import json

        document = {"schema": "staunch.dev/run/v1", "image": str(path), "exit_code": code}
        write(json.dumps(document) + "\n")
    return code

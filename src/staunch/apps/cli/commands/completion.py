"""``staunch completion``."""

from __future__ import annotations

import click

from staunch.apps.cli.console import Console, verb

SHELLS = ("bash", "zsh", "fish")


@verb("completion", epilog='Example: `eval "$(staunch completion bash)"` in ~/.bashrc')
@click.argument("shell", type=click.Choice(SHELLS))
def command(console: Console, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from staunch.apps.cli.main import staunch

    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"No completion for {shell}.")
    completion = maker(staunch, {}, "staunch", "_STAUNCH_COMPLETE")
    script = completion.source_template % completion.source_vars()
    document = {"schema": "staunch.dev/completion/v1", "shell": shell, "script": script}
    console.answer(document, script, script)

"""From what a user names to a signer: a file, ``command:…``, or a plug-in's scheme."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from staunch.adapters.signers.command import CheckedSigner, command_signer
from staunch.adapters.signers.files import load_key
from staunch.errors import SpecError
from staunch.ports import Runner, Signer

__all__ = ["GROUP", "choose_signer"]

GROUP = "staunch.signers"  # of entry points: (locator, passphrase) -> ports.Signer
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{1,30}):(.*)", re.DOTALL)


def choose_signer(key: str, passphrase: Callable[[], bytes], runner: Runner) -> Signer:
    """The signer that ``key`` names.

    Args:
        key: a path, ``command:PROGRAM…``, or ``SCHEME:…`` of an installed plug-in.
        passphrase: asked for where the key needs one.
        runner: starts programs.

    Raises:
        SpecError: no such file or scheme; else as the signer's own.
    """
    found = _SCHEME.fullmatch(key)
    if found is None or Path(key).exists():
        return load_key(Path(key), passphrase)
    scheme, rest = found.groups()
    if scheme == "command":
        return command_signer(rest, runner)
    plugins = {each.name: each for each in entry_points(group=GROUP)}
    if scheme not in plugins:
        raise SpecError(
            f"no signer for {scheme}: keys",
            why=f"known are files, command: and {', '.join(sorted(plugins)) or 'no plug-in'}",
            mend=f"install the plug-in that offers {scheme!r} (entry points {GROUP}), "
            "or use `command:`",
        )
    return CheckedSigner(_made(plugins[scheme], key, passphrase))


def _made(plugin: EntryPoint, key: str, passphrase: Callable[[], bytes]) -> Signer:
    try:
        make: Callable[[str, Callable[[], bytes]], Signer] = plugin.load()
    except (ImportError, AttributeError) as e:
        raise SpecError(
            f"the plug-in for {plugin.name}: keys cannot be loaded",
            why=f"{plugin.value}: {e}",
            mend="install it again",
        ) from e
    return make(key, passphrase)

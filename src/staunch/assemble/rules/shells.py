"""No shell."""

from __future__ import annotations

import re

from staunch.assemble.rules.base import (
    BIN,
    INFERENCE,
    Context,
    Outcome,
    Rule,
    refuse_request,
    remove_where,
)

SHELLS = frozenset(
    {
        "ash", "bash", "bashbug", "busybox", "chsh", "clear_console", "csh", "dash", "elvish",
        "fish", "hush", "ksh", "ksh93", "lksh", "mksh", "mksh-static", "oksh", "posh", "rbash",
        "rksh93", "sash", "sh", "static-sh", "tcsh", "toybox", "xonsh", "yash", "zsh", "zsh5",
    }
)  # fmt: skip
PACKAGES = frozenset(
    {"bash", "bash-static", "busybox", "busybox-static", "csh", "dash", "fish", "ksh", "mksh", "posh", "tcsh", "yash", "zsh", "zsh-static"}
)  # fmt: skip
_SETTINGS = re.compile(
    r"etc/(bash\.bashrc|bash_completion(\.d(/.*)?)?|profile(\.d(/.*)?)?|shells|skel(/.*)?|zsh(/.*)?"
    r"|csh\..*|fish(/.*)?)|root/\.(bashrc|profile)"
    r"|usr/share/(bash-completion|zsh|fish|debianutils)/.*|usr/share/base-files/.*"
)


def _is_shell(path: str) -> bool:
    if path.startswith(BIN):
        return path.rpartition("/")[2].removesuffix(".distrib") in SHELLS
    return path.startswith(("etc/", "root/", "usr/share/")) and bool(_SETTINGS.fullmatch(path))


def _apply(context: Context) -> Outcome:
    refuse_request(context, "shells", PACKAGES, "shell")
    return remove_where(context, _is_shell)


RULES = (
    Rule(
        "shells",
        100,
        "Takes out shells, their links and their settings.",
        "An attacker who can start a program finds no shell to go on from.",
        INFERENCE,
        _apply,
    ),
)

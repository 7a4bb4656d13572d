"""Sandboxes for ``test`` and ``run``: runc, podman, docker or bubblewrap, whichever works here."""

from staunch.adapters.sandbox.choose import choose_sandbox, static_shell

__all__ = ["choose_sandbox", "static_shell"]

"""Sandboxes for ``test`` and ``run``: runc, podman, docker or bubblewrap, whichever works here."""

from staunch.adapters.sandbox.choose import choose_sandbox

__all__ = ["choose_sandbox"]

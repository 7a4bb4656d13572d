"""A tiny real root file system with busybox, for sandboxes."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.tools import need

APPLETS = (
    "cat",
    "dd",
    "env",
    "grep",
    "head",
    "id",
    "ifconfig",
    "ls",
    "mount",
    "nc",
    "pwd",
    "sh",
    "sleep",
    "stat",
    "true",
    "unshare",
    "wc",
)


def busybox_root(folder: Path) -> Path:
    """Make it at ``folder``; every folder above must let others pass."""
    program = need("busybox")
    (folder / "bin").mkdir(parents=True)
    (folder / "etc").mkdir()
    (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:65532:65532::/:/bin/sh\n")
    (folder / "secret").write_text("for root only\n")
    (folder / "secret").chmod(0o600)
    shutil.copy(program, folder / "bin/busybox")
    (folder / "bin/busybox").chmod(0o755)
    for name in APPLETS:
        (folder / "bin" / name).symlink_to("busybox")
    for path in (folder, folder / "bin", folder / "etc"):
        path.chmod(0o755)
    return folder

"""Which distribution an image is made of (os-release(5))."""

from __future__ import annotations

import re
import shlex

from staunch.model.inventory import Distribution
from staunch.scan.view import View

_LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
_PLACES = ("etc/os-release", "usr/lib/os-release")


def parse_os_release(data: bytes) -> dict[str, str]:
    """Its assignments; lines that are none are skipped, as the format asks readers to."""
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        try:
            words = shlex.split(match[2])
        except ValueError:
            continue
        found[match[1]] = words[0] if words else ""
    return found


def distribution_of(view: View, root: str = "") -> Distribution | None:
    """That of the root file system at ``root`` (a folder with its slash, or ""), or None."""
    for place in _PLACES:
        data = view.text(root + place)
        if data is not None:
            fields = parse_os_release(data)
            if fields.get("ID"):
                return Distribution(
                    fields["ID"], fields.get("VERSION_ID", ""), fields.get("VERSION_CODENAME", "")
                )
    return None


def release_of(distribution: Distribution | None) -> str:
    """``debian-12``, as purls name it in ``distro``; "" where it is not known."""
    if distribution is None:
        return ""
    return f"{distribution.id}-{distribution.version}".rstrip("-")

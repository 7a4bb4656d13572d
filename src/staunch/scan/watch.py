"""Which files of an image matter, and what is kept of each while it passes.

The name decides for databases and metadata, the first bytes for programs, archives and models. Names
are matched by their end, so that a link on the way (merged ``/usr``, a moved ``/var``) hides
nothing: which of the kept files count is decided later, in the finished tree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from staunch.model import limits
from staunch.scan.content import Budget, Facts, Kept, Lost
from staunch.scan.forward import Forward

__all__ = ["Watch"]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Files to be kept: all of ``limit`` bytes, or (``cut``) no more than that of them."""

    role: str
    pattern: str
    limit: int
    cut: bool = False


DATABASE_BYTES = 128 * limits.MIB  # an rpm database

_SITE = r"[^/]+\.(?:dist-info|egg-info)/"
_RULES: Final = (
    _Rule("dpkg-status", r"lib/dpkg/status", 64 * limits.MIB),
    _Rule("dpkg-status.d", r"lib/dpkg/status\.d/[^/]+", limits.METADATA_BYTES),
    _Rule("dpkg-info", r"lib/dpkg/info/[^/]+\.(?:list|md5sums)", limits.METADATA_BYTES),
    _Rule("chisel", r"lib/chisel/manifest\.wall", limits.METADATA_BYTES),
    _Rule("apk", r"lib/apk/db/installed", 64 * limits.MIB),
    _Rule("rpmdb", r"lib/(?:rpm|sysimage/rpm)/(?:rpmdb\.sqlite|Packages(?:\.db)?)", DATABASE_BYTES),
    _Rule("rpmdb-log", r"lib/(?:rpm|sysimage/rpm)/rpmdb\.sqlite-wal", DATABASE_BYTES),
    _Rule("content-sets", r"buildinfo/content_manifests/[^/]+\.json", limits.METADATA_BYTES),
    _Rule("os-release", r"(?:etc|usr/lib)/os-release", limits.MIB),
    _Rule("python-metadata", rf"{_SITE}(?:METADATA|PKG-INFO)", 256 * limits.KIB, cut=True),
    _Rule("python-metadata", r"[^/]+\.egg-info", 256 * limits.KIB, cut=True),
    _Rule("python-record", rf"{_SITE}RECORD", limits.METADATA_BYTES),
    _Rule("python-direct-url", rf"{_SITE}direct_url\.json", limits.MIB),
)
_NAMES: Final = re.compile(
    "(?:.*/)?(?:" + "|".join(f"(?P<r{n}>{rule.pattern})" for n, rule in enumerate(_RULES)) + ")",
    re.DOTALL,
)


class Watch:
    """Looks at each file once, and keeps what readers ask for. Thread-safe."""

    def __init__(self, budget: Budget | None = None) -> None:
        """Keep within ``budget``."""
        self._budget = budget or Budget()

    def look(self, path: str, mode: int, file: Forward) -> Kept | Facts | Lost | None:
        """What is to be remembered of a file, reading no more of it than that takes."""
        match = _NAMES.fullmatch(path)
        if match is None or match.lastgroup is None:
            return None
        rule = _RULES[int(match.lastgroup[1:])]
        if file.size > rule.limit and not rule.cut:
            return Lost(rule.role, f"it has {file.size} bytes; the limit is {rule.limit}")
        return self._budget.keep(rule.role, file.read(min(file.size, rule.limit)))

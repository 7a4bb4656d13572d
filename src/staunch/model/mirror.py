"""What `staunch mirror` is asked to keep: sources, tags, target names and conditions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from staunch.model.platform import Platform
from staunch.model.reference import Reference
from staunch.model.spec import Place

__all__ = ["Mirror", "MirrorSource"]


@dataclass(frozen=True, slots=True)
class MirrorSource:
    """One repository to mirror.

    ``source`` and ``target`` are whole repositories. ``tags`` and ``exclude`` are shell patterns.
    ``policy`` is a trust policy's file, None where unsigned images are allowed in so many words.
    ``platform`` None means all. ``max_age`` bounds the image's own ``created``.
    ``no_finding_above`` is a severity, "" for no such condition.
    """

    source: Reference
    target: Reference
    tags: tuple[str, ...]
    exclude: tuple[str, ...]
    policy: Path | None
    platform: Platform | None
    max_age: timedelta | None
    no_finding_above: str
    place: Place


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror file. ``prune``: how many tags one run may remove; None: none is removed."""

    sources: tuple[MirrorSource, ...]
    prune: int | None

"""What comes out of a build: descriptors, layers, and the report of what was done."""

from __future__ import annotations

from dataclasses import dataclass

from staunch.model.digest import Digest
from staunch.model.entry import Entry
from staunch.model.part import Part
from staunch.model.platform import Platform


@dataclass(frozen=True, slots=True, order=True)
class Descriptor:
    """An OCI content descriptor (image-spec, descriptor.md)."""

    media_type: str
    digest: Digest
    size: int
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """One finished layer; its blob stands in the store under ``descriptor.digest``.

    ``name`` says what it holds (``foundation``, ``interpreter``, ``wheel-torch``, ``wheels``,
    ``system``, ``app``); ``raw_size`` is the uncompressed size in bytes.
    """

    name: str
    descriptor: Descriptor
    diff_id: Digest
    raw_size: int


@dataclass(frozen=True, slots=True)
class Removal:
    """What one rule took out, and why; ``bytes`` are payload bytes."""

    rule: str
    why: str
    paths: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class ScriptNote:
    """One maintainer script: ``status`` is reproduced, ignored or unreproduced."""

    package: str
    script: str
    status: str
    why: str


@dataclass(frozen=True, slots=True)
class KeptExecutable:
    """An executable that stays in the image, and the reason."""

    path: str
    owner: str
    why: str


@dataclass(frozen=True, slots=True)
class Assembled:
    """One platform's finished tree: what layers and SBOM are both made from.

    ``parts`` sorted by id; ``entries`` sorted by path, each path once, every ancestor present.
    """

    platform: Platform
    parts: tuple[Part, ...]
    entries: tuple[Entry, ...]
    removed: tuple[Removal, ...]
    scripts: tuple[ScriptNote, ...]
    executables: tuple[KeptExecutable, ...]


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """One platform of a published image."""

    platform: Platform
    manifest: Descriptor
    config: Descriptor
    layers: tuple[Layer, ...]

"""How two images differ."""

from __future__ import annotations

from dataclasses import dataclass

from staunch.model.contents import FileChange
from staunch.model.digest import Digest
from staunch.model.inventory import Gap


@dataclass(frozen=True, slots=True, order=True)
class PackageChange:
    """One package; ``before`` and ``after`` are purls, of which one may be "".

    ``name`` is the package's, ``type`` its purl's (``deb``, ``pypi``). Both versions are "" where
    nothing tells them.
    """

    type: str
    name: str
    before: str
    after: str
    version_before: str = ""
    version_after: str = ""

    @property
    def kind(self) -> str:
        """``added``, ``removed`` or ``changed``."""
        return "added" if not self.before else "removed" if not self.after else "changed"


@dataclass(frozen=True, slots=True)
class LayerSize:
    """A layer by its diff_id; ``size`` is that of the stored blob, ``where`` both, before or after."""

    diff_id: Digest
    size: int
    where: str


@dataclass(frozen=True, slots=True, order=True)
class ConfigChange:
    """One value of the configuration: ``key`` is ``User``, ``Env.PATH``, ``Labels.x``; JSON, or ""."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the two: its name as given, digest of its manifest, bytes of its layers as stored."""

    name: str
    digest: Digest | None
    size: int
    layers: int
    packages: int
    files: int | None


@dataclass(frozen=True, slots=True)
class Difference:
    """All of it; each part sorted. ``files`` is None where they were not compared.

    ``gaps`` pairs ``before`` or ``after`` with what could not be read there.
    """

    before: Compared
    after: Compared
    packages: tuple[PackageChange, ...]
    files: tuple[FileChange, ...] | None
    layers: tuple[LayerSize, ...]
    config: tuple[ConfigChange, ...]
    gaps: tuple[tuple[str, Gap], ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing that was compared differs; layers may, if they hold the same."""
        return not (self.packages or self.files or self.config)

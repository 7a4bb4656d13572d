"""Platforms: one word for OCI, Debian, uv and the ELF loader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from staunch.errors import SpecError

# OCI architecture -> (Debian, machine as uname and wheel tags say it, GNU triplet, ELF loader)
_ARCHITECTURES: dict[str, tuple[str, str, str, str]] = {
    "amd64": ("amd64", "x86_64", "x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"),
    "arm64": ("arm64", "aarch64", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"),
}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An OCI platform (image-spec, image-index.md, "platform"); ``str()`` gives ``linux/amd64``."""

    os: str
    architecture: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``linux/amd64`` or ``linux/arm64``, or raise SpecError."""
        os, _, architecture = text.partition("/")
        if os != "linux" or architecture not in _ARCHITECTURES:
            known = ", ".join(f"linux/{name}" for name in sorted(_ARCHITECTURES))
            raise SpecError(
                f"unknown platform {text[:80]!r}",
                why=f"Staunch builds for {known}",
                mend="name one of these under `platforms:`",
            )
        return cls(os, architecture)

    @property
    def deb(self) -> str:
        """Debian's name of the architecture."""
        return _ARCHITECTURES[self.architecture][0]

    @property
    def machine(self) -> str:
        """``x86_64`` or ``aarch64``, as wheel tags and uv say it."""
        return _ARCHITECTURES[self.architecture][1]

    @property
    def triplet(self) -> str:
        """The multiarch triplet, as in ``usr/lib/<triplet>``."""
        return _ARCHITECTURES[self.architecture][2]

    @property
    def loader(self) -> str:
        """Absolute path of the ELF interpreter (psABI)."""
        return _ARCHITECTURES[self.architecture][3]

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"

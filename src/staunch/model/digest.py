"""Content digests (OCI image-spec, descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from staunch.errors import SpecError

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest; ``str()`` gives ``sha256:<64 hex>``."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sha256:`` and 64 lower-case hex digits, or raise SpecError."""
        algorithm, _, value = text.partition(":")
        if algorithm != "sha256" or not _HEX.fullmatch(value):
            raise SpecError(
                f"not a digest: {text[:100]!r}",
                why="a digest is `sha256:` and 64 lower-case hexadecimal digits",
                mend="copy the digest whole, from a lock or from `build --json`",
            )
        return cls(value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read 64 lower-case hex digits, as package indexes write them, or raise SpecError."""
        return cls.parse(f"sha256:{text}")

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        """Hash ``data``."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

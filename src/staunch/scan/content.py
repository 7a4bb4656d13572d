"""What is kept of a file while a layer streams by: bytes within a budget, or facts drawn at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from staunch.formats import zstd
from staunch.model import limits

KEPT_BYTES = 160 * limits.MIB  # of one target, as kept
PACKED_FROM = 8 * limits.KIB  # longer texts are kept compressed

__all__ = ["KEPT_BYTES", "Budget", "Content", "Deferred", "Facts", "Kept", "Lost"]


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes of a file: all of them, or the beginning that its reader asks for."""

    role: str
    size: int
    _data: bytes
    _packed: bool

    def data(self) -> bytes:
        """The bytes as they stood in the file."""
        return zstd.decompress(self._data, self.size) if self._packed else self._data


@dataclass(frozen=True, slots=True)
class Facts:
    """What a reader drew from a file as it passed (an ELF file, a jar, a model)."""

    role: str
    value: object


@dataclass(frozen=True, slots=True)
class Lost:
    """A file that should have been read and was not."""

    role: str
    why: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """A file that costs to read, left alone until it is known whether that is needed."""

    read: Callable[[], Kept | Facts | Lost | None]
    role: str = "deferred"


Content = Kept | Facts | Lost | Deferred


class Budget:
    """How many bytes may be kept in all, whatever the target holds. Thread-safe."""

    def __init__(self, max_bytes: int = KEPT_BYTES) -> None:
        """Allow ``max_bytes``."""
        self._left = max_bytes
        self._lock = threading.Lock()

    def keep(self, role: str, data: bytes) -> Kept | Lost:
        """Keep ``data``, compressed where that pays; ``Lost`` once the budget is used up."""
        packed = len(data) >= PACKED_FROM
        stored = zstd.compress(data) if packed else data
        with self._lock:
            if len(stored) > self._left:
                return Lost(role, "what is kept of this target is over the limit of memory")
            self._left -= len(stored)
        return Kept(role, len(data), stored, packed)

"""What is kept of a file while a layer streams by: bytes within a budget, or facts drawn at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from staunch.formats import zstd
from staunch.model import limits

KEPT_BYTES = 160 * limits.MIB  # of one target, as kept
PACKED_FROM = 8 * limits.KIB  # longer texts are kept compressed

_FULL = "what is kept of this target is over the limit of memory"

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
        if not self._take(len(stored)):
            return Lost(role, _FULL)
        return Kept(role, len(data), stored, packed)

    def draw(self, role: str, value: object, cost: int) -> Facts | Lost:
        """Keep what a reader drew; ``cost`` is about the bytes that it takes in memory."""
        return Facts(role, value) if self._take(cost) else Lost(role, _FULL)

    def _take(self, size: int) -> bool:
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

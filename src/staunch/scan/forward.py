"""A file read from front to back, each byte at most once: from a tar stream, a folder or by ranges.

Readers that say what they want in rising order work alike on all three, and never hold a file
whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from staunch.errors import UntrustedError
from staunch.model import limits
from staunch.ports import Blob

__all__ = ["Forward", "Pieces", "Ranges"]


class Forward(Protocol):
    """A file of ``size`` bytes, read forwards; ``at`` is the next byte."""

    @property
    def size(self) -> int:
        """Its length."""
        ...

    @property
    def at(self) -> int:
        """The next byte."""
        ...

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only where the file ends."""
        ...

    def skip(self, size: int) -> None:
        """Pass over the next ``size`` bytes, or to the end."""
        ...

    def peek(self) -> bytes:
        """The next four bytes, which stay the next ones; fewer where fewer are at hand."""
        ...


class Pieces:
    """A file that comes in pieces."""

    __slots__ = ("_from", "_piece", "_pieces", "at", "size")

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        """``pieces`` give ``size`` bytes."""
        self._pieces, self._piece, self._from = pieces, b"", 0
        self.size, self.at = size, 0

    def read(self, size: int) -> bytes:
        """See ``Forward``."""
        size = min(size, self.size - self.at)
        if self._from == len(self._piece):
            self._take()
        end = self._from + size
        if end <= len(self._piece):
            data = self._piece[self._from : end]
            self._from = end
            self.at += size
            return data
        parts: list[bytes] = []
        left = size
        while left and (self._from < len(self._piece) or self._take()):
            part = self._piece[self._from : self._from + left]
            parts.append(part)
            left -= len(part)
            self._from += len(part)
        self.at += size - left
        return b"".join(parts)

    def peek(self) -> bytes:
        """See ``Forward``."""
        if self._from == len(self._piece):
            self._take()
        return self._piece[self._from : self._from + 4]

    def skip(self, size: int) -> None:
        """See ``Forward``."""
        size = min(size, self.size - self.at)
        self.at += size
        while size > len(self._piece) - self._from:
            size -= len(self._piece) - self._from
            if not self._take():
                return
        self._from += size

    def _take(self) -> bool:
        self._piece, self._from = next(self._pieces, b""), 0
        return bool(self._piece)


class Ranges:
    """A file that can be read at any place."""

    __slots__ = ("_blob", "at", "size")

    def __init__(self, blob: Blob) -> None:
        """Read ``blob``."""
        self._blob = blob
        self.size, self.at = blob.size, 0

    def read(self, size: int) -> bytes:
        """See ``Forward``."""
        size = min(size, self.size - self.at)
        parts: list[bytes] = []
        while size:
            part = self._blob.pread(min(size, 4 * limits.MIB), self.at)
            if not part:
                raise UntrustedError(
                    "a file became shorter while it was read",
                    why=f"{self.size} bytes were there, byte {self.at} is not",
                    mend="scan again when nothing writes there",
                )
            parts.append(part)
            self.at += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, size: int) -> None:
        """See ``Forward``."""
        self.at = min(self.size, self.at + size)

    def peek(self) -> bytes:
        """See ``Forward``."""
        return self._blob.pread(min(4, self.size - self.at), self.at)

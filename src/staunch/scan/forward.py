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

    size: int
    at: int

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only where the file ends."""
        ...

    def skip(self, size: int) -> None:
        """Pass over the next ``size`` bytes, or to the end."""
        ...


class Pieces:
    """A file that comes in pieces."""

    __slots__ = ("_pieces", "_rest", "at", "size")

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        """``pieces`` give ``size`` bytes."""
        self._pieces, self._rest = pieces, b""
        self.size, self.at = size, 0

    def read(self, size: int) -> bytes:
        """See ``Forward``."""
        size = min(size, self.size - self.at)
        if size <= len(self._rest) or (not self._rest and self._take() and size <= len(self._rest)):
            data, self._rest = self._rest[:size], self._rest[size:]
            self.at += size
            return data
        buffer = bytearray(size)
        view, done = memoryview(buffer), 0
        while done < size:
            if not self._rest and not self._take():
                break
            part = self._rest[: size - done]
            view[done : done + len(part)] = part
            done += len(part)
            self._rest = self._rest[len(part) :]
        self.at += done
        view.release()
        return bytes(buffer)

    def skip(self, size: int) -> None:
        """See ``Forward``."""
        size = min(size, self.size - self.at)
        self.at += size
        while size > len(self._rest):
            size -= len(self._rest)
            if not self._take():
                self._rest = b""
                return
        self._rest = self._rest[size:]

    def _take(self) -> bool:
        self._rest = next(self._pieces, b"")
        return bool(self._rest)


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

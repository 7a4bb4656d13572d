"""Hosts that do not answer: found out once in a run, not once for each file asked of them."""

from __future__ import annotations

import threading
import time

from staunch.model import limits


class Unreachable:
    """Which hosts failed a while ago. Thread-safe.

    ``silent`` ones could not be connected to: they are not asked again for ``memory_s`` seconds.
    ``troubled`` ones answered, but to say that they cannot: they get one try, without waiting.
    """

    def __init__(self, *, memory_s: float = limits.UNREACHABLE_S) -> None:
        """Remember failures for ``memory_s`` seconds, so that long-lived programs ask again."""
        self._memory_s = memory_s
        self._lock = threading.Lock()
        self._silent: dict[str, tuple[float, str]] = {}
        self._troubled: dict[str, tuple[float, str]] = {}

    def silent(self, host: str) -> str | None:
        """Why that host is not asked, or None."""
        return self._lookup(self._silent, host)

    def troubled(self, host: str) -> bool:
        """Whether all tries of an earlier request were in vain."""
        return self._lookup(self._troubled, host) is not None

    def failed(self, host: str, why: str, *, silent: bool) -> None:
        """Every try of a request failed."""
        with self._lock:
            where = self._silent if silent else self._troubled
            where[host] = (time.monotonic() + self._memory_s, why)

    def answered(self, host: str) -> None:
        """It works after all."""
        with self._lock:
            self._silent.pop(host, None)
            self._troubled.pop(host, None)

    def _lookup(self, where: dict[str, tuple[float, str]], host: str) -> str | None:
        with self._lock:
            until, why = where.get(host, (0.0, ""))
            if time.monotonic() < until:
                return why
            where.pop(host, None)
            return None

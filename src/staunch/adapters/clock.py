"""The host's clock, or the moment that ``SOURCE_DATE_EPOCH`` names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from staunch.errors import SpecError


class SystemClock:
    """ports.Clock over the host's time (reproducible-builds.org, "SOURCE_DATE_EPOCH")."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        """Take ``SOURCE_DATE_EPOCH`` from ``env`` (default: the process's own)."""
        self._env = os.environ if env is None else env

    def now(self) -> datetime:
        """The current time, UTC, whole seconds.

        Raises:
            SpecError: ``SOURCE_DATE_EPOCH`` is set to something that is no time.
        """
        text = self._env.get("SOURCE_DATE_EPOCH", "").strip()
        if not text:
            return datetime.now(UTC).replace(microsecond=0)
        try:
            if not text.isascii() or not text.isdigit():
                raise ValueError(text)
            return datetime.fromtimestamp(int(text), UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise SpecError(
                f"SOURCE_DATE_EPOCH is {text[:40]!r}",
                why="it must be whole seconds since 1970-01-01 00:00 UTC, as decimal digits",
                mend="set it to a number such as `$(git log -1 --format=%ct)`, or unset it",
            ) from error

"""Work in several threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def gathered(waiting: Sequence[Future[T]]) -> list[T]:
    """Every result, in order; the first failure cancels what has not begun."""
    try:
        return [each.result() for each in waiting]
    except BaseException:
        for each in waiting:
            each.cancel()
        raise

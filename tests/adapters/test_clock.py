"""The clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from staunch.adapters.clock import SystemClock
from staunch.errors import SpecError


def test_the_hosts_time() -> None:
    now = SystemClock({}).now()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_source_date_epoch_wins() -> None:
    clock = SystemClock({"SOURCE_DATE_EPOCH": "315532800"})
    assert clock.now() == datetime(1980, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "-1", "1.5", "٣", "9" * 30])
def test_no_time(text: str) -> None:
    with pytest.raises(SpecError, match="SOURCE_DATE_EPOCH is"):
        SystemClock({"SOURCE_DATE_EPOCH": text}).now()

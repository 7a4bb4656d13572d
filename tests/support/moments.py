"""Moments that tests agree on."""

from datetime import UTC, datetime

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)

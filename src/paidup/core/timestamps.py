"""Stripe's seconds since the epoch, and our aware UTC datetimes."""

from __future__ import annotations

from datetime import UTC, datetime


def from_unix(seconds: float | None) -> datetime | None:
    """Aware UTC for Stripe's seconds; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def to_unix(moment: datetime) -> int:
    """Whole seconds since the epoch of an aware datetime."""
    return int(moment.timestamp())

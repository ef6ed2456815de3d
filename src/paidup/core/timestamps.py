"""Stripe's seconds since the epoch, and our aware UTC datetimes."""

from __future__ import annotations

from datetime import UTC, datetime


def from_unix(seconds: float | None) -> datetime | None:
    """Aware UTC for Stripe's seconds; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def to_unix(moment: datetime) -> int:
    """Whole seconds since the epoch of an aware datetime."""
    return int(moment.timestamp())


def from_iso(value: object) -> datetime | None:
    """ISO 8601 with its zone, as v2 of the API writes it, to aware UTC; None for anything else."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found and found.tzinfo else None

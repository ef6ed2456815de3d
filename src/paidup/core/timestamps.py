"""Stripe's seconds since the epoch, and our aware UTC datetimes."""

from __future__ import annotations

from datetime import UTC, datetime

_FIRST = datetime(1000, 1, 1, tzinfo=UTC).timestamp()
_LAST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
# Python's dates end with the year 9999 and Stripe's don't. What is left before it is for adding days to a date, and for
# a database that shows it in another time zone.


def from_unix(seconds: float | None) -> datetime | None:
    """
    Aware UTC for Stripe's seconds; None stays None.

    A moment in no year from 1000 to 9000 is the nearest one that is: one such date, typed in the Dashboard, would
    otherwise keep its customer from ever being synchronised again.
    """
    return None if seconds is None else datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC)


def to_unix(moment: datetime) -> int:
    """Whole seconds since the epoch of an aware datetime."""
    return int(moment.timestamp())


def from_iso(value: object) -> datetime | None:
    """ISO 8601 with its zone, as v2 of the API writes it, to aware UTC; None for anything else."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return found.astimezone(UTC) if found and found.tzinfo else None
    except (ValueError, OverflowError):  # not a date, or one that is in the year 10000 in UTC
        return None

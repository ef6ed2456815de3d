"""Billing periods: calendar arithmetic from an anchor, in UTC."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}


def add_interval(anchor: int, interval: str, count: int) -> int:
    """
    `count` intervals after the anchor (before it, when negative).

    Months keep the anchor's day where it exists and use the month's last day where it does not: 31 January plus one
    month is 28 February, plus two is 31 March.
    """
    moment = datetime.fromtimestamp(anchor, UTC)
    if interval in _DAYS:
        return int((moment + timedelta(days=_DAYS[interval] * count)).timestamp())
    months = moment.year * 12 + moment.month - 1 + _MONTHS[interval] * count
    year, month = divmod(months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return int(moment.replace(year=year, month=month + 1, day=day).timestamp())


def next_boundary(anchor: int, interval: str, count: int, after: int) -> int:
    """The first moment strictly after `after` that lies a whole number of periods from the anchor."""
    length = (_DAYS[interval] if interval in _DAYS else _MONTHS[interval] * 30) * 86_400 * count
    steps = (after - anchor) // length - 1
    while add_interval(anchor, interval, steps * count) > after:
        steps -= 1
    while (boundary := add_interval(anchor, interval, steps * count)) <= after:
        steps += 1
    return boundary


def is_boundary(anchor: int, interval: str, count: int, moment: int) -> bool:
    """Does a moment lie a whole number of periods from the anchor?"""
    return next_boundary(anchor, interval, count, moment - 1) == moment


def previous_boundary(anchor: int, interval: str, count: int, before: int) -> int:
    """The last moment before `before` that lies a whole number of periods from the anchor."""
    boundary = next_boundary(anchor, interval, count, add_interval(before, interval, -count) - 4 * 86_400)
    while (following := next_boundary(anchor, interval, count, boundary)) < before:
        boundary = following
    return boundary


def add_along(anchor: int, interval: str, count: int, start: int) -> int:
    """`count` intervals after `start`, by the anchor's day when `start` is one of its boundaries."""
    if not is_boundary(anchor, interval, 1, start):
        return add_interval(start, interval, count)
    for _ in range(count):
        start = next_boundary(anchor, interval, 1, start)
    return start


def interval_length(interval: str, count: int, start: int) -> int:
    """Seconds in the period that begins at `start`."""
    return add_interval(start, interval, count) - start

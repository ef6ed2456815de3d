"""
The anchors of new subscriptions: a time given outright, or worked out from a `billing_cycle_anchor_config`.

See https://docs.stripe.com/billing/subscriptions/billing-cycle
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from stripe_emulator.billing.periods import add_interval
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json

MONTHS = {"month": 1, "year": 12}
CENTURY = 1200
TIMES = ("hour", "minute", "second")


def wished_anchor(
    intervals: list[tuple[str, int]], *, anchor: int | None, config: Json | None, now: int, start: int
) -> int | None:
    """
    The anchor a new subscription is to have, None when nothing was said.

    A time given outright lies within one period from `start`, which is now or the trial's end.
    """
    if config is not None:
        if any(interval not in MONTHS for interval, _ in intervals):
            raise invalid(
                "billing_cycle_anchor_config is only valid with monthly and yearly price intervals.",
                param="billing_cycle_anchor_config",
            )
        longest = max(intervals, key=lambda cycle: MONTHS[cycle[0]] * cycle[1])
        return next_occurrence(config, interval=longest[0], count=longest[1], now=now)
    if anchor is None:
        return None
    if anchor < now:
        raise invalid("billing_cycle_anchor must be in the future.", param="billing_cycle_anchor")
    natural = min(add_interval(start, *cycle) for cycle in intervals)
    if anchor > natural:
        raise invalid(
            f"billing_cycle_anchor cannot be later than next natural billing date ({natural}) for plan",
            param="billing_cycle_anchor",
        )
    return anchor


def next_occurrence(config: Json, *, interval: str, count: int, now: int) -> int:
    """
    The next moment that a config describes, whole intervals apart; what it leaves out is as it is now.

    The day is one the month really has: the 31st every two months from February on is first the 31st of August. Full
    billing periods begin earlier, at the last day of each month in between.
    """
    start = datetime.fromtimestamp(now, UTC)
    time = {name: getattr(start, name) if config[name] is None else config[name] for name in TIMES}
    day, wanted = config["day_of_month"], config["month"]
    step = MONTHS[interval] * count
    first = start.year * 12 + (start.month if wanted is None else wanted) - 1
    if wanted is None and _moment(first, day, time) <= now:
        first += 1
    elif wanted is not None:
        while _moment(first, day, time) > now and first - step >= start.year * 12 + start.month - 1:
            first -= step
    if wanted is None and interval == "year":
        step = 1
    for months in range(first, first + CENTURY * count, step):
        year, month = divmod(months, 12)
        if day <= calendar.monthrange(year, month + 1)[1] and _moment(months, day, time) > now:
            return _moment(months, day, time)
    raise ValueError(f"no month has the day {day}")


def _moment(months: int, day: int, time: Json) -> int:
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return int(datetime(year, month + 1, min(day, last), tzinfo=UTC, **time).timestamp())

"""Proration to the second, in integers."""

from __future__ import annotations


def prorate(amount: int, *, start: int, end: int, at: int) -> int:
    """
    The part of `amount` that falls to the rest of the period [start, end) from `at`, in minor units.

    Rounded to the nearest unit, halves away from zero; each line is rounded alone and lines are summed afterwards.
    """
    total = end - start
    if total <= 0:
        return 0
    rest = max(0, min(end - at, total))
    sign = -1 if amount < 0 else 1
    return sign * ((2 * abs(amount) * rest + total) // (2 * total))

"""
Credits: what a paid invoice brings, and what goes with money that went back.

They follow what is paid for, by time: a whole period brings its number, the rest of a period its part, and what an
invoice gives back of a period takes along the part that it had brought. So no sequence of changes brings more than the
plan that is paid for. Units are whole numbers, rounded towards fewer.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from paidup.core.catalog import Catalog, PlanPrice
from paidup.core.invoice import BilledLine, SoldPrice


@dataclass(frozen=True, slots=True)
class CreditEntry:
    """
    A change of a balance: `units` more of a credit, or less below zero.

    `kind` is `paid` (an invoice brought them, or a change took them along), `reversed` (money of that invoice went
    back, or came back), `given` by hand, `spent`, or `forfeited` with a deleted account. `invoice` is the one it is
    about, `number` what orders them.
    """

    number: int
    owner: str
    credit: str
    units: int
    kind: str
    invoice: str | None
    note: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class Brought:
    """What a line of a paid invoice brought of a credit, and for which time; below zero, what it took along."""

    line: str
    price: str
    credit: str
    units: int
    start: datetime
    end: datetime


def sold_as(price: SoldPrice, catalog: Catalog) -> PlanPrice | None:
    """What of the plans file a price is: by its lookup key, else by what paidup wrote on it, and its interval."""
    prices = [each for plan in catalog.plans for each in plan.prices]
    prices += [each for addon in catalog.addons for each in addon.prices]
    for each in prices:
        if each.lookup_key == price.lookup_key:
            return each
    if price.interval is None:
        return None
    if price.plan_hint is not None and catalog.has(price.plan_hint):
        return catalog.plan(price.plan_hint).price(price.interval)
    addon = catalog.addon(price.addon_hint) if price.addon_hint else None
    return addon.price(price.interval) if addon else None


def brought_by(
    lines: Iterable[BilledLine],
    sold: Mapping[str, PlanPrice],
    *,
    before: Iterable[Brought],
    periods: Iterable[tuple[datetime, datetime]],
) -> list[Brought]:
    """
    What the lines of a paid invoice bring, and take along.

    `sold` are prices by id, `before` what the subscription's invoices have brought so far, in order, `periods` its
    present ones, from and until.
    """
    known, found = list(before), list[Brought]()
    for line in sorted(lines, key=lambda each: (each.start, not each.gives_back)):
        price = sold.get(line.price or "")
        if line.gives_back:
            more = _taken(line, known)
        elif price is not None and line.amount > 0:
            part, whole = _time(line, price, known, periods)
            units = {key: (line.quantity or 0) * each * part // whole for key, each in price.credits.items()}
            more = [Brought(line.id, line.price or "", key, n, line.start, line.end) for key, n in units.items() if n]
        else:
            more = []
        known += more
        found += more
    return found


def taken_along(units: int, *, reversed_amount: int, total: int) -> int:
    """
    How many of the units that an invoice brought go with the part of its total that went back, at most all.

    Amounts are in minor units of one currency.
    """
    if units <= 0 or reversed_amount <= 0:
        return 0
    return units if reversed_amount >= total else units * reversed_amount // total


def _taken(line: BilledLine, known: list[Brought]) -> list[Brought]:
    """The part of what was brought for a time that is given back."""
    found: list[Brought] = []
    for credit in {each.credit: None for each in known if each.price == line.price}:
        origin = _origin(line, credit, known)
        if origin is not None:
            left, whole = _seconds(line.start, line.end), max(1, _seconds(origin.start, origin.end))
            units = -origin.units * min(left, whole) // whole
            found.append(Brought(line.id, origin.price, credit, units, line.start, line.end))
    return found


def _origin(line: BilledLine, credit: str, known: list[Brought]) -> Brought | None:
    """What is given back: the line that Stripe names, else the latest one of the price for a time that ends then."""
    same = [each for each in known if each.credit == credit and each.price == line.price and each.units > 0]
    named = [each for each in same if each.line in line.credited]
    fitting = [each for each in same if each.end == line.end and each.start <= line.start]
    # Of two that begin in the same second, the later one is what there is now.
    return max(reversed(named or fitting), key=lambda each: each.start, default=None)


def _time(
    line: BilledLine, price: PlanPrice, known: list[Brought], periods: Iterable[tuple[datetime, datetime]]
) -> tuple[int, int]:
    """How much of a period a line charges, in seconds, and how long the whole of it is."""
    if not line.is_proration:
        return 1, 1
    start = next((start for start, end in periods if end == line.end), None)
    if start is None:
        starts = [each.start for each in known if each.end == line.end and each.units > 0]
        start = min([*starts, line.start, _a_period_before(line.end, price.interval)])
    return _seconds(line.start, line.end), max(1, _seconds(start, line.end))


def _seconds(start: datetime, end: datetime) -> int:
    return max(0, int((end - start).total_seconds()))


def _a_period_before(end: datetime, interval: str) -> datetime:
    match interval:
        case "day":
            return end - timedelta(days=1)
        case "week":
            return end - timedelta(weeks=1)
        case _:
            months = end.year * 12 + end.month - 1 - (12 if interval == "year" else 1)
            year, month = months // 12, months % 12 + 1
            return end.replace(year=year, month=month, day=min(end.day, calendar.monthrange(year, month)[1]))

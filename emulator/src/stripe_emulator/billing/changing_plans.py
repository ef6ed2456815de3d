"""
Changing what a subscription is for, in the middle of a period.

The whole old configuration is credited for the time left and the whole new one debited, each line rounded alone.
In flexible billing mode the credit is of what was really debited for an item, not of its price today, and both have
the subscription's discounts in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stripe_emulator.billing import discounts, lines, usage
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.billing.proration import prorate
from stripe_emulator.billing.stubs import cycle_start
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


@dataclass(frozen=True, slots=True)
class Change:
    """An item as it was and as it is to be; None on one side for an item added or removed."""

    old: Json | None
    new: Json | None

    @property
    def counts(self) -> bool:
        """Does it change what is charged?"""
        if self.old is None or self.new is None:
            return True
        return (self.old["price"], self.old["quantity"]) != (self.new["price"], self.new["quantity"])


def prorate_changes(engine: Engine, subscription: Json, changes: list[Change], at: int) -> list[Json]:
    """
    Make the pending invoice items of a change: a credit and a debit for every item that changed.

    The new items remember what they were debited. Nothing is prorated in a trial.
    """
    made: list[Json] = []
    for change in changes:
        if change.counts and change.old is not None and not _is_metered(engine, change.old):
            credit = _credit(engine, subscription, change.old, at)
            if credit is not None:
                made.append(credit)
    for change in changes:
        if change.counts and change.new is not None and not _is_metered(engine, change.new):
            debit = _debit(engine, subscription, change.new, at)
            made.append(debit)
    return made


def credit_whole_period(engine: Engine, subscription: Json) -> list[Json]:
    """The credits for all that was debited of the current periods."""
    credits = [_credit(engine, subscription, item, item["_paid"][1]) for item in subscription["items"]]
    return [credit for credit in credits if credit is not None]


def credit_unused_time(engine: Engine, subscription: Json) -> list[Json]:
    """The credits for ending a subscription now."""
    at = engine.now(subscription["test_clock"])
    credits = [_credit(engine, subscription, item, at) for item in subscription["items"]]
    return [credit for credit in credits if credit is not None]


def _credit(engine: Engine, subscription: Json, item: Json, at: int) -> Json | None:
    paid, start, end = item["_paid"]
    if end <= at or _is_metered(engine, item):
        return None
    credit = -prorate(paid, start=start, end=end, at=at)
    return _pending(engine, subscription, item, credit, "Unused", start=at, end=end)


def _debit(engine: Engine, subscription: Json, item: Json, at: int) -> Json:
    start, end = min(item["current_period_start"], cycle_start(engine, subscription, item)), item["current_period_end"]
    whole = {one["id"]: _whole(engine, subscription, one) for one in subscription["items"]}
    net = discounts.net_of(engine, subscription, whole, at)[item["id"]]
    amount = prorate(net, start=start, end=end, at=at)
    item["_paid"] = [amount, at, end]
    return _pending(engine, subscription, item, amount, "Remaining", start=at, end=end)


def _whole(engine: Engine, subscription: Json, item: Json) -> int:
    if _is_metered(engine, item):
        return 0
    return amount_of(engine.find("price", item["price"]), item["quantity"], subscription["currency"])


def _is_metered(engine: Engine, item: Json) -> bool:
    return usage.is_metered(engine.find("price", item["price"]))


def _pending(engine: Engine, subscription: Json, item: Json, amount: int, word: str, *, start: int, end: int) -> Json:
    price = engine.find("price", item["price"])
    name = engine.find("product", price["product"])["name"]
    what = name if item["quantity"] == 1 else f"{item['quantity']} × {name}"
    day = datetime.fromtimestamp(start, UTC).strftime("%d %b %Y")
    return lines.add_invoice_item(
        engine,
        customer=engine.find("customer", subscription["customer"]),
        amount=amount,
        currency=subscription["currency"],
        description=f"{word} time on {what} after {day}",
        price=price,
        quantity=item["quantity"],
        start=start,
        end=end,
        proration=True,
        subscription=subscription["id"],
        subscription_item=item["id"],
        tax_rates=item["tax_rates"],
        metadata=dict(subscription["metadata"]),
    )

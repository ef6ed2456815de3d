"""
Trials given to a subscription that is there already, and ended before their time.

See https://docs.stripe.com/billing/subscriptions/billing-cycle#change-the-billing-period-using-a-trial-period
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, invoicing, lines, renewal, upcoming
from stripe_emulator.billing.changing_plans import Change, prorate_changes
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

PAYING = ("active", "past_due", "unpaid")


def give(engine: Engine, subscription: Json, end: int, behavior: str) -> None:
    """A trial until `end`. One that was paid for gets the trial's invoice of nothing at once."""
    if extend(engine, subscription, end, behavior):
        invoice(engine, subscription)


def extend(engine: Engine, subscription: Json, end: int, behavior: str) -> bool:
    """
    Let a subscription be in trial until `end`, the new anchor of its cycle; says whether it was paid for until now.

    Then it is credited the rest of its period unless `behavior` is `none`.
    """
    now = engine.now(subscription["test_clock"])
    begins = subscription["status"] != "trialing"
    paying = subscription["status"] in PAYING
    if paying and behavior != "none":
        prorate_changes(engine, subscription, [Change(item, None) for item in subscription["items"]], now)
    subscription.update(
        status="trialing",
        trial_end=end,
        trial_start=now if begins else subscription["trial_start"],
        billing_cycle_anchor=end,
        _keeps_anchor=False,
        _warned=False,
    )
    for item in subscription["items"]:
        item["current_period_end"] = end
        if begins:
            item.update(current_period_start=now, _paid=[0, now, end])
    upcoming.forgo(engine, subscription)
    return paying


def end_now(engine: Engine, subscription: Json, *, is_preview: bool = False) -> Json | None:
    """
    The first paid period begins now; its draft, None when the trial's settings make no invoice as there is no card.

    A preview asks for no card.
    """
    now = engine.now(subscription["test_clock"])
    subscription["trial_end"] = now
    for item in subscription["items"]:
        item["current_period_end"] = now
    if is_preview:
        return renewal.begin_paid_period(engine, subscription, reason="subscription_update")
    return renewal.end_trial(engine, subscription, immediately=True)


def invoice(engine: Engine, subscription: Json) -> None:
    """The invoice of a trial that begins: nothing is to pay for it."""
    start, end = engine.now(subscription["test_clock"]), subscription["trial_end"]
    made = invoicing.draft(
        engine,
        engine.find("customer", subscription["customer"]),
        [
            lines.period_line(engine, subscription, item, start=start, end=end, trial=True)
            for item in subscription["items"]
        ],
        reason="subscription_update",
        currency=subscription["currency"],
        subscription=subscription,
    )
    subscription["latest_invoice"] = made["id"]
    collection.open_invoice(engine, made)

"""
The anchor of a new subscription's billing cycle.

[DOC] docs.stripe.com/billing/subscriptions/billing-cycle, unless a test says otherwise. The customer lives on a test
clock that begins on the first of February 2027, a month of 28 days.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from emulator.tests.shop import period
from emulator.tests.test_prorations import FROZEN, HALF, MONTH_END, Clocked, clocked
from stripe_emulator.billing.anchors import next_occurrence

__all__ = ["clocked"]

DAY = 86_400
WEEK = 7 * DAY


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())


def invoiced(clocked: Clocked, subscription: str) -> list[list[tuple[int, bool]]]:
    """The amounts of a subscription's invoices, oldest first."""
    invoices = clocked.shop.api.invoices.list({"subscription": subscription}).data
    return [clocked.amounts(str(invoice.id)) for invoice in reversed(invoices)]


def test_the_time_until_the_anchor_is_prorated_and_invoiced_at_once(clocked: Clocked) -> None:
    """Half of the month from the 18th of January to the 15th of February (31 days): 14 of 31 days at 30.00."""
    subscription = clocked.shop.subscribe(clocked.customer, clocked.pro.id, billing_cycle_anchor=HALF)
    assert (subscription.billing_cycle_anchor, period(subscription)) == (HALF, (FROZEN, HALF))
    clocked.advance(HALF + 3601)
    assert invoiced(clocked, subscription.id) == [[(1355, True)], [(3000, False)]]
    assert period(clocked.shop.api.subscriptions.retrieve(subscription.id)) == (HALF, at(2027, 3, 15))


def test_without_proration_there_is_no_invoice_until_the_anchor(clocked: Clocked) -> None:
    """This action doesn't generate an invoice at all until the first billing period."""
    seen = clocked.shop.seen()
    subscription = clocked.shop.subscribe(
        clocked.customer, clocked.pro.id, billing_cycle_anchor=HALF, proration_behavior="none"
    )
    assert (subscription.status, subscription.latest_invoice) == ("active", None)
    assert "invoice.created" not in clocked.shop.types_since(seen)
    clocked.advance(HALF + 3601)
    assert invoiced(clocked, subscription.id) == [[(3000, False)]]


@pytest.mark.parametrize("anchor", [FROZEN - 1, at(2027, 3, 1, 0, 0, 1)])
def test_an_anchor_lies_within_the_first_period(clocked: Clocked, anchor: int) -> None:
    """[DOC] docs.stripe.com/api/subscriptions/create: a future timestamp, not after the next natural billing date."""
    with pytest.raises(stripe.InvalidRequestError, match="billing_cycle_anchor"):
        clocked.shop.subscribe(clocked.customer, clocked.pro.id, billing_cycle_anchor=anchor)


def test_a_change_within_the_first_part_period_counts_that_part(clocked: Clocked) -> None:
    """A week of the cycle's 31 days is left: 7/14 of 13.55 back, 7/31 of 100.00 charged."""
    subscription = clocked.shop.subscribe(clocked.customer, clocked.pro.id, billing_cycle_anchor=HALF)
    clocked.advance(FROZEN + WEEK)
    items = [{"id": clocked.item(subscription), "price": clocked.business.id}]
    change: Any = {"items": items, "proration_behavior": "always_invoice"}
    clocked.shop.api.subscriptions.update(subscription.id, change)
    assert invoiced(clocked, subscription.id)[-1] == [(-678, True), (2258, True)]


def test_a_config_says_the_day_of_the_month(clocked: Clocked) -> None:
    """The 31st: the first full invoice is on the last day of February, the anchor in the next month that has one."""
    subscription = clocked.shop.subscribe(
        clocked.customer, clocked.pro.id, billing_cycle_anchor_config={"day_of_month": 31}
    )
    config = subscription.billing_cycle_anchor_config
    assert config is not None
    assert config.to_dict() == {"day_of_month": 31, "hour": None, "minute": None, "month": None, "second": None}
    assert subscription.billing_cycle_anchor == at(2027, 3, 31)
    assert period(subscription) == (FROZEN, at(2027, 2, 28))
    clocked.advance(at(2027, 2, 28))
    assert period(clocked.shop.api.subscriptions.retrieve(subscription.id)) == (at(2027, 2, 28), at(2027, 3, 31))


def test_a_config_may_say_month_and_time(clocked: Clocked) -> None:
    yearly = clocked.shop.price(36_500, "year").id
    config = {"month": 7, "day_of_month": 1, "hour": 12, "minute": 30, "second": 0}
    subscription = clocked.shop.subscribe(clocked.customer, yearly, billing_cycle_anchor_config=config)
    assert subscription.billing_cycle_anchor == at(2027, 7, 1, 12, 30)
    assert period(subscription)[1] == at(2027, 7, 1, 12, 30)
    assert invoiced(clocked, subscription.id) == [[(15_052, True)]]


@pytest.mark.parametrize(
    ("config", "interval", "count", "now", "expected"),
    [
        ({"day_of_month": 31}, "month", 2, at(2027, 2, 10), at(2027, 8, 31)),
        ({"day_of_month": 10}, "month", 1, at(2027, 2, 10), at(2027, 3, 10)),
        ({"day_of_month": 10, "hour": 1}, "month", 1, at(2027, 2, 10), at(2027, 2, 10, 1)),
        ({"day_of_month": 1, "month": 7}, "year", 1, at(2027, 8, 1), at(2028, 7, 1)),
        ({"day_of_month": 1, "month": 1}, "month", 3, at(2027, 2, 10), at(2027, 4, 1)),
        ({"day_of_month": 29, "month": 2}, "year", 1, at(2027, 1, 1), at(2028, 2, 29)),
    ],
)
def test_the_next_occurrence_of_a_config(config: Any, interval: str, count: int, now: int, expected: int) -> None:
    """The first is the page's own example; the others are worked out by hand."""
    whole = {"day_of_month": None, "hour": None, "minute": None, "month": None, "second": None, **config}
    assert next_occurrence(whole, interval=interval, count=count, now=now) == expected


def test_a_config_is_for_months_and_years_and_alone(clocked: Clocked) -> None:
    """[DOC] docs.stripe.com/api/subscriptions/create#create_subscription-billing_cycle_anchor_config"""
    weekly = clocked.shop.price(700, "week").id
    config: Any = {"billing_cycle_anchor_config": {"day_of_month": 5}}
    with pytest.raises(stripe.InvalidRequestError, match="monthly and yearly"):
        clocked.shop.subscribe(clocked.customer, weekly, **config)
    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        clocked.shop.subscribe(clocked.customer, clocked.pro.id, billing_cycle_anchor=HALF, **config)
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 31"):
        clocked.shop.subscribe(clocked.customer, clocked.pro.id, billing_cycle_anchor_config={"day_of_month": 32})


@pytest.mark.parametrize(
    ("trial_end", "stub"),
    [(FROZEN + WEEK, HALF), (HALF + WEEK, at(2027, 3, 15))],
)
def test_a_trial_before_an_anchor_ends_in_a_part_period(clocked: Clocked, trial_end: int, stub: int) -> None:
    """[DOC] docs.stripe.com/billing/subscriptions/trials/free-trials#combine-trial-anchor, on both sides of it."""
    subscription = clocked.shop.subscribe(
        clocked.customer, clocked.pro.id, billing_cycle_anchor=HALF, trial_end=trial_end
    )
    assert (subscription.status, subscription.billing_cycle_anchor) == ("trialing", HALF)
    clocked.advance(trial_end + 3601)
    begun = clocked.shop.api.subscriptions.retrieve(subscription.id)
    assert (begun.billing_cycle_anchor, period(begun)) == (HALF, (trial_end, stub))
    whole = 31 if stub == HALF else 28
    part = round(3000 * (stub - trial_end) / DAY / whole)
    assert invoiced(clocked, subscription.id) == [[(0, False)], [(part, True)]]
    clocked.advance(stub)
    assert invoiced(clocked, subscription.id)[-1] == [(3000, False)]


def test_a_trials_end_may_reset_the_anchor(clocked: Clocked) -> None:
    """[DOC] docs.stripe.com/api/subscriptions/create: trial_settings.end_behavior.billing_cycle_anchor."""
    subscription = clocked.shop.subscribe(
        clocked.customer,
        clocked.pro.id,
        billing_cycle_anchor=HALF,
        trial_end=FROZEN + WEEK,
        trial_settings={"end_behavior": {"missing_payment_method": "cancel", "billing_cycle_anchor": "now"}},
    )
    clocked.advance(FROZEN + WEEK)
    begun = clocked.shop.api.subscriptions.retrieve(subscription.id)
    assert begun.billing_cycle_anchor == FROZEN + WEEK
    assert invoiced(clocked, subscription.id)[-1] == [(3000, False)]


def test_a_trial_alone_is_the_anchor(clocked: Clocked) -> None:
    subscription = clocked.shop.subscribe(clocked.customer, clocked.pro.id, trial_end=HALF)
    assert subscription.billing_cycle_anchor == HALF
    clocked.advance(MONTH_END)
    assert period(clocked.shop.api.subscriptions.retrieve(subscription.id)) == (HALF, at(2027, 3, 15))


def test_a_trial_given_later_moves_the_anchor(clocked: Clocked) -> None:
    """The page's example of July: an invoice of nothing at once, none at the old boundary, then a full cycle."""
    subscription = clocked.subscribe(clocked.pro.id)
    later = MONTH_END + WEEK
    clocked.advance(HALF)
    on_trial = clocked.shop.api.subscriptions.update(
        subscription.id, {"trial_end": later, "proration_behavior": "none"}
    )
    assert (on_trial.status, on_trial.trial_start, on_trial.billing_cycle_anchor) == ("trialing", HALF, later)
    assert period(on_trial) == (HALF, later)
    clocked.advance(later + 3601)
    moved = clocked.shop.api.subscriptions.retrieve(subscription.id)
    assert (moved.billing_cycle_anchor, period(moved)[0]) == (later, later)
    assert invoiced(clocked, subscription.id) == [[(3000, False)], [(0, False)], [(3000, False)]]


def test_a_trial_given_later_credits_what_was_paid(clocked: Clocked) -> None:
    """Allowing you to credit the customer for the days left in the previous cycle that they already paid."""
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    seen = clocked.shop.seen()
    clocked.shop.api.subscriptions.update(subscription.id, {"trial_end": MONTH_END})
    assert invoiced(clocked, subscription.id)[-1] == [(-1500, True), (0, False)]
    assert clocked.shop.api.customers.retrieve(clocked.customer).balance == -1500
    types = clocked.shop.types_since(seen)
    assert types[:2] == ["invoiceitem.created", "invoice.created"]
    assert types[-1] == "customer.subscription.updated"


def test_a_longer_trial_is_no_invoice(clocked: Clocked) -> None:
    """[INF] nothing was paid and nothing is billed; the anchor moves along."""
    subscription = clocked.shop.subscribe(clocked.customer, clocked.pro.id, trial_end=HALF)
    longer = clocked.shop.api.subscriptions.update(subscription.id, {"trial_end": MONTH_END})
    assert (longer.trial_start, longer.trial_end, longer.billing_cycle_anchor) == (FROZEN, MONTH_END, MONTH_END)
    assert invoiced(clocked, subscription.id) == [[(0, False)]]


def test_the_first_part_period_can_be_previewed(clocked: Clocked) -> None:
    """[DOC] docs.stripe.com/changelog/endive/2026-09-30/polymorphic-billing-cycle-anchor: a timestamp, in an object."""
    details: Any = {
        "items": [{"price": clocked.pro.id}],
        "billing_cycle_anchor": {"type": "timestamp", "timestamp": HALF},
    }
    previews = clocked.shop.api.invoices
    sent: Any = {"customer": clocked.customer, "subscription_details": details}
    assert previews.create_preview(sent).total == 1355
    details["proration_behavior"] = "none"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        previews.create_preview(sent)
    assert caught.value.code == "invoice_upcoming_none"

"""
Changing plans in the middle of a period, with figures worked out by hand.

[DOC] docs.stripe.com/billing/subscriptions/prorations: to the second, the old configuration credited and the new one
debited, each line rounded alone.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from emulator.tests.shop import Shop, period
from stripe_emulator.billing.periods import add_interval, next_boundary
from stripe_emulator.billing.proration import prorate

FROZEN = 1_801_440_000
"""2027-02-01 00:00 UTC: a month of 28 days."""
HALF = FROZEN + 14 * 86_400
MONTH_END = FROZEN + 28 * 86_400


class Clocked:
    """A shop whose customer lives on a test clock, so that seconds are exact."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.clock = shop.api.test_helpers.test_clocks.create({"frozen_time": FROZEN}).id
        self.customer = shop.customer(clock=self.clock).id
        self.pro = shop.price(3000, name="Pro")
        self.business = shop.price(10_000, name="Business")

    def subscribe(self, price: str, quantity: int = 1) -> stripe.Subscription:
        return self.shop.subscribe(self.customer, price, quantity=quantity)

    def advance(self, to: int) -> None:
        clocks = self.shop.api.test_helpers.test_clocks
        clocks.advance(self.clock, {"frozen_time": to})
        while clocks.retrieve(self.clock).status != "ready":
            pass

    def item(self, subscription: stripe.Subscription) -> str:
        return str(subscription["items"].data[0].id)

    def amounts(self, invoice: str) -> list[tuple[int, bool]]:
        lines = self.shop.api.invoices.retrieve(invoice).lines.data
        return [
            (
                line.amount,
                bool(
                    line.parent
                    and line.parent.subscription_item_details
                    and line.parent.subscription_item_details.proration
                ),
            )
            for line in lines
        ]


@pytest.fixture
def clocked(shop: Shop) -> Clocked:
    return Clocked(shop)


def test_an_upgrade_halfway_is_invoiced_at_once(clocked: Clocked) -> None:
    """Half of 30.00 back, half of 100.00 charged: 35.00. Events [INF]: two invoice items, the invoice, the update."""
    subscription = clocked.subscribe(clocked.pro.id)
    assert period(subscription) == (FROZEN, MONTH_END)
    clocked.advance(HALF)
    seen = clocked.shop.seen()
    updated = clocked.shop.api.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": clocked.item(subscription), "price": clocked.business.id}],
            "proration_behavior": "always_invoice",
        },
    )
    assert isinstance(updated.latest_invoice, str)
    assert clocked.amounts(updated.latest_invoice) == [(-1500, True), (5000, True)]
    invoice = clocked.shop.api.invoices.retrieve(updated.latest_invoice)
    assert (invoice.total, invoice.status, invoice.billing_reason) == (3500, "paid", "subscription_update")
    assert period(updated) == (FROZEN, MONTH_END)
    types = clocked.shop.types_since(seen)
    assert types[:4] == ["invoiceitem.created", "invoiceitem.created", "invoice.created", "invoice.finalized"]
    assert types[-1] == "customer.subscription.updated"
    previous = clocked.shop.last_event("customer.subscription.updated")["data"]["previous_attributes"]
    assert set(previous) == {"items", "latest_invoice"}
    assert previous["items"]["data"][0]["price"]["id"] == clocked.pro.id


def test_create_prorations_waits_for_the_next_invoice(clocked: Clocked) -> None:
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    updated = clocked.shop.api.subscriptions.update(
        subscription.id, {"items": [{"id": clocked.item(subscription), "price": clocked.business.id}]}
    )
    assert updated.latest_invoice == subscription.latest_invoice
    clocked.advance(MONTH_END + 3601)
    renewed = clocked.shop.api.subscriptions.retrieve(subscription.id)
    assert isinstance(renewed.latest_invoice, str)
    assert clocked.amounts(renewed.latest_invoice) == [(-1500, True), (5000, True), (10_000, False)]
    assert clocked.shop.api.invoices.retrieve(renewed.latest_invoice).amount_paid == 13_500


def test_without_proration_only_the_next_period_costs_more(clocked: Clocked) -> None:
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    clocked.shop.api.subscriptions.update(
        subscription.id,
        {"items": [{"id": clocked.item(subscription), "price": clocked.business.id}], "proration_behavior": "none"},
    )
    clocked.advance(MONTH_END + 3601)
    renewed = clocked.shop.api.subscriptions.retrieve(subscription.id)
    assert isinstance(renewed.latest_invoice, str)
    assert clocked.amounts(renewed.latest_invoice) == [(10_000, False)]


def test_a_downgrade_becomes_a_credit_that_pays_the_next_invoice(clocked: Clocked) -> None:
    """Half of 100.00 back, half of 30.00 charged: a credit of 35.00, of which the renewal takes 30.00."""
    subscription = clocked.subscribe(clocked.business.id)
    clocked.advance(HALF)
    updated = clocked.shop.api.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": clocked.item(subscription), "price": clocked.pro.id}],
            "proration_behavior": "always_invoice",
        },
    )
    assert isinstance(updated.latest_invoice, str)
    invoice = clocked.shop.api.invoices.retrieve(updated.latest_invoice)
    assert (invoice.total, invoice.amount_due, invoice.status, invoice.attempt_count) == (-3500, 0, "paid", 0)
    assert clocked.shop.api.customers.retrieve(clocked.customer).balance == -3500
    clocked.advance(MONTH_END + 3601)
    renewed = clocked.shop.api.subscriptions.retrieve(subscription.id)
    assert isinstance(renewed.latest_invoice, str)
    renewal = clocked.shop.api.invoices.retrieve(renewed.latest_invoice)
    assert (renewal.total, renewal.amount_due, renewal.status) == (3000, 0, "paid")
    assert (renewal.starting_balance, renewal.ending_balance) == (-3500, -500)
    assert clocked.shop.api.customers.retrieve(clocked.customer).balance == -500


def test_a_quantity_change_credits_the_whole_old_configuration(clocked: Clocked) -> None:
    subscription = clocked.subscribe(clocked.pro.id, quantity=3)
    clocked.advance(HALF)
    updated = clocked.shop.api.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": clocked.item(subscription), "quantity": 5}],
            "proration_behavior": "always_invoice",
        },
    )
    assert isinstance(updated.latest_invoice, str)
    assert clocked.amounts(updated.latest_invoice) == [(-4500, True), (7500, True)]


def test_a_second_change_credits_what_the_first_debited(clocked: Clocked) -> None:
    """[DOC billing-mode/compare] flexible: credits are of the originally debited amount: 50.00 over 14 days, 7 left."""
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    item = clocked.item(subscription)
    clocked.shop.api.subscriptions.update(
        subscription.id,
        {"items": [{"id": item, "price": clocked.business.id}], "proration_behavior": "always_invoice"},
    )
    clocked.advance(HALF + 7 * 86_400)
    updated = clocked.shop.api.subscriptions.update(
        subscription.id, {"items": [{"id": item, "price": clocked.pro.id}], "proration_behavior": "always_invoice"}
    )
    assert isinstance(updated.latest_invoice, str)
    assert clocked.amounts(updated.latest_invoice) == [(-2500, True), (750, True)]


def test_another_interval_begins_a_new_period_in_classic_billing_mode(clocked: Clocked) -> None:
    """[DOC] docs.stripe.com/billing/subscriptions/billing-cycle#changing: it resets the anchor."""
    yearly = clocked.shop.price(30_000, "year", name="Pro yearly")
    subscription = clocked.shop.subscribe(clocked.customer, clocked.pro.id, billing_mode={"type": "classic"})
    clocked.advance(HALF)
    updated = clocked.shop.api.subscriptions.update(
        subscription.id, {"items": [{"id": clocked.item(subscription), "price": yearly.id}]}
    )
    assert period(updated) == (HALF, HALF + 365 * 86_400)
    assert isinstance(updated.latest_invoice, str)
    assert clocked.amounts(updated.latest_invoice) == [(-1500, True), (30_000, False)]


def test_another_interval_keeps_the_anchor_in_flexible_billing_mode(clocked: Clocked) -> None:
    """
    [DOC] docs.stripe.com/billing/subscriptions/billing-cycle#changing

    Half of 30.00 back; 351 of the year's 365 days at 300.00 are 288.493.
    """
    yearly = clocked.shop.price(30_000, "year", name="Pro yearly")
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    items = [{"id": clocked.item(subscription), "price": yearly.id}]
    change: Any = {"items": items, "proration_behavior": "always_invoice"}
    updated = clocked.shop.api.subscriptions.update(subscription.id, change)
    assert updated.billing_cycle_anchor == FROZEN
    assert period(updated) == (HALF, FROZEN + 365 * 86_400)
    assert isinstance(updated.latest_invoice, str)
    assert clocked.amounts(updated.latest_invoice) == [(-1500, True), (28_849, True)]


def test_an_anchor_of_now_begins_a_new_period_whatever_the_mode(clocked: Clocked) -> None:
    """[DOC] docs.stripe.com/billing/subscriptions/billing-cycle#reset-the-billing-period-to-the-current-time"""
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    updated = clocked.shop.api.subscriptions.update(subscription.id, {"billing_cycle_anchor": {"type": "now"}})
    assert (updated.billing_cycle_anchor, period(updated)[0]) == (HALF, HALF)
    assert isinstance(updated.latest_invoice, str)
    assert clocked.amounts(updated.latest_invoice) == [(-1500, True), (3000, False)]


def test_an_unchanged_anchor_is_what_is_there_already(clocked: Clocked) -> None:
    """[DOC] docs.stripe.com/api/subscriptions/update#update_subscription-billing_cycle_anchor"""
    yearly = clocked.shop.price(30_000, "year", name="Pro yearly")
    subscription = clocked.shop.subscribe(clocked.customer, clocked.pro.id, billing_mode={"type": "classic"})
    clocked.advance(HALF)
    items = [{"id": clocked.item(subscription), "price": yearly.id}]
    change: Any = {"items": items, "billing_cycle_anchor": {"type": "unchanged"}, "proration_behavior": "none"}
    updated = clocked.shop.api.subscriptions.update(subscription.id, change)
    assert updated.billing_cycle_anchor == FROZEN
    assert updated.latest_invoice == subscription.latest_invoice


def test_a_preview_of_ending_credits_what_is_left_until_it_has_ended(clocked: Clocked) -> None:
    """[INF]: what is over is not credited."""
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    asked: Any = {"subscription": subscription.id, "subscription_details": {"cancel_now": True}}
    assert clocked.shop.api.invoices.create_preview(asked).total == -1500
    clocked.shop.api.subscriptions.cancel(subscription.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        clocked.shop.api.invoices.create_preview(asked)
    assert (refused.value.http_status, refused.value.code) == (404, "invoice_upcoming_none")


def test_a_preview_shows_what_the_update_then_charges(clocked: Clocked) -> None:
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    seen = clocked.shop.seen()
    item = clocked.item(subscription)
    preview = clocked.shop.api.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": {
                "items": [{"id": item, "price": clocked.business.id}],
                "proration_behavior": "always_invoice",
            },
        }
    )
    assert preview.total == 3500
    assert clocked.shop.types_since(seen) == []
    assert clocked.shop.api.subscriptions.retrieve(subscription.id).latest_invoice == subscription.latest_invoice
    upcoming = clocked.shop.api.invoices.create_preview({"subscription": subscription.id})
    assert (upcoming.total, upcoming.lines.data[0].period.start) == (3000, MONTH_END)


def test_a_declined_upgrade_with_error_if_incomplete_changes_nothing(clocked: Clocked) -> None:
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    clocked.shop.give_card(clocked.customer, "pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError):
        clocked.shop.api.subscriptions.update(
            subscription.id,
            {
                "items": [{"id": clocked.item(subscription), "price": clocked.business.id}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )
    unchanged = clocked.shop.api.subscriptions.retrieve(subscription.id)
    assert unchanged["items"].data[0].price.id == clocked.pro.id
    assert unchanged.status == "active"


def test_a_declined_upgrade_is_past_due_otherwise(clocked: Clocked) -> None:
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    clocked.shop.give_card(clocked.customer, "pm_card_chargeCustomerFail")
    updated = clocked.shop.api.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": clocked.item(subscription), "price": clocked.business.id}],
            "proration_behavior": "always_invoice",
        },
    )
    assert updated.status == "past_due"
    assert updated["items"].data[0].price.id == clocked.business.id


class TestPendingUpdates:
    """[DOC] docs.stripe.com/billing/subscriptions/pending-updates."""

    def declined(self, clocked: Clocked, **also: Any) -> stripe.Subscription:
        subscription = clocked.subscribe(clocked.pro.id)
        clocked.advance(HALF)
        clocked.shop.give_card(clocked.customer, "pm_card_chargeCustomerFail")
        upgrade: Any = {
            "items": [{"id": clocked.item(subscription), "price": clocked.business.id}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
            **also,
        }
        return clocked.shop.api.subscriptions.update(subscription.id, upgrade)

    def test_a_declined_upgrade_waits_and_changes_nothing(self, clocked: Clocked) -> None:
        waiting = self.declined(clocked)
        assert waiting.status == "active"
        assert waiting["items"].data[0].price.id == clocked.pro.id
        assert waiting.pending_update is not None
        assert waiting.pending_update.expires_at == HALF + 23 * 3600
        assert waiting.pending_update.subscription_items is not None
        assert waiting.pending_update.subscription_items[0].price.id == clocked.business.id

    def test_it_is_applied_when_its_invoice_is_paid(self, clocked: Clocked) -> None:
        waiting = self.declined(clocked)
        clocked.shop.give_card(clocked.customer, "pm_card_visa")
        paid = clocked.shop.api.invoices.pay(str(waiting.latest_invoice))
        assert paid.amount_paid == 3500
        applied = clocked.shop.api.subscriptions.retrieve(waiting.id)
        assert applied["items"].data[0].price.id == clocked.business.id
        assert applied.pending_update is None
        assert clocked.shop.emulator.events("customer.subscription.pending_update_applied")

    def test_its_discount_waits_with_it(self, clocked: Clocked) -> None:
        """[DOC] changelog/dahlia/2026-05-27/pending-subscription-updates-discount-and-discounts-properties."""
        api = clocked.shop.api
        coupon = api.coupons.create({"percent_off": 50, "duration": "forever"})
        waiting = self.declined(clocked, discounts=[{"coupon": coupon.id}])
        assert waiting.pending_update is not None
        assert (waiting.discounts, len(waiting.pending_update.discounts or [])) == ([], 1)
        assert api.coupons.retrieve(coupon.id).times_redeemed == 0
        due = api.invoices.retrieve(str(waiting.latest_invoice)).amount_due
        clocked.shop.give_card(clocked.customer, "pm_card_visa")
        assert api.invoices.pay(str(waiting.latest_invoice)).amount_paid == due == 3500 - 2500
        applied = api.subscriptions.retrieve(waiting.id)
        assert applied.discounts == waiting.pending_update.discounts
        assert api.coupons.retrieve(coupon.id).times_redeemed == 1

    def test_it_is_dropped_after_23_hours(self, clocked: Clocked) -> None:
        waiting = self.declined(clocked)
        clocked.advance(HALF + 23 * 3600)
        dropped = clocked.shop.api.subscriptions.retrieve(waiting.id)
        assert dropped.pending_update is None
        assert dropped["items"].data[0].price.id == clocked.pro.id
        assert clocked.shop.api.invoices.retrieve(str(waiting.latest_invoice)).status == "void"
        assert clocked.shop.emulator.events("customer.subscription.pending_update_expired")

    def test_voiding_its_invoice_drops_it(self, clocked: Clocked) -> None:
        waiting = self.declined(clocked)
        clocked.shop.api.invoices.void_invoice(str(waiting.latest_invoice))
        dropped = clocked.shop.api.subscriptions.retrieve(waiting.id)
        assert dropped.pending_update is None
        assert dropped["items"].data[0].price.id == clocked.pro.id
        assert clocked.shop.emulator.events("customer.subscription.pending_update_expired")

    def test_a_good_card_applies_it_at_once(self, clocked: Clocked) -> None:
        subscription = clocked.subscribe(clocked.pro.id)
        clocked.advance(HALF)
        updated = clocked.shop.api.subscriptions.update(
            subscription.id,
            {
                "items": [{"id": clocked.item(subscription), "price": clocked.business.id}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "pending_if_incomplete",
            },
        )
        assert updated.pending_update is None
        assert updated["items"].data[0].price.id == clocked.business.id


def test_an_immediate_cancellation_can_credit_the_unused_time(clocked: Clocked) -> None:
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    clocked.shop.api.subscriptions.cancel(subscription.id, {"prorate": True, "invoice_now": True})
    assert clocked.shop.api.customers.retrieve(clocked.customer).balance == -1500


@given(
    amount=st.integers(-(10**9), 10**9),
    length=st.integers(1, 366 * 86_400),
    share=st.floats(0, 1),
)
def test_what_is_used_and_what_is_left_add_up_to_within_one_unit(amount: int, length: int, share: float) -> None:
    at = int(length * share)
    left = prorate(amount, start=0, end=length, at=at)
    used = prorate(amount, start=0, end=length, at=length - at)
    assert abs(left + used - amount) <= 1
    assert abs(left) <= abs(amount)


@pytest.mark.parametrize(
    ("amount", "at", "expected"),
    [(3000, 0, 3000), (3000, 28, 0), (3000, 14, 1500), (1, 14, 1), (-1, 14, -1), (1000, 9, 679), (999, 14, 500)],
)
def test_prorations_by_hand(amount: int, at: int, expected: int) -> None:
    """1000 × 19/28 = 678.57; halves away from zero."""
    assert prorate(amount, start=0, end=28, at=at) == expected


def test_months_keep_the_anchors_day() -> None:
    """[DOC billing-cycle] 31 January renews on 28 February, then on 31 March."""
    january_31 = 1_769_817_600
    assert add_interval(january_31, "month", 1) == 1_772_236_800
    assert add_interval(january_31, "month", 2) == 1_774_915_200
    assert next_boundary(january_31, "month", 1, 1_772_236_800) == 1_774_915_200


@given(
    anchor=st.integers(1_500_000_000, 2_000_000_000),
    after=st.integers(1_500_000_000, 2_000_000_000),
    interval=st.sampled_from(["day", "week", "month", "year"]),
    count=st.integers(1, 3),
)
def test_the_next_boundary_is_the_first_one_later(anchor: int, after: int, interval: str, count: int) -> None:
    boundary = next_boundary(anchor, interval, count, after)
    assert boundary > after
    lengths = {"day": 1, "week": 7, "month": 31, "year": 366}
    assert boundary - after <= lengths[interval] * count * 86_400

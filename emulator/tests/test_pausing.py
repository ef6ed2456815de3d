"""
Pausing on demand and resuming.

[DOC] docs.stripe.com/billing/subscriptions/pause and docs.stripe.com/api/subscriptions/resume, unless a test says
otherwise. The customer lives on a test clock, so that seconds are exact.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop, period
from emulator.tests.test_prorations import FROZEN, HALF, MONTH_END, Clocked

ON_SUCCESS: Any = {"payment_behavior": "resume_on_payment_success"}
UNCHANGED: Any = {"billing_cycle_anchor": {"type": "unchanged"}}
WEEK = 7 * 86_400


class Paused(Clocked):
    """A shop with a subscription of 30.00 a month that is paused in the middle of its first month."""

    def __init__(self, shop: Shop, **how: Any) -> None:
        super().__init__(shop)
        self.id = self.subscribe(self.pro.id).id
        self.advance(HALF)
        self.api.pause(self.id, how)

    @property
    def api(self) -> Any:
        return self.shop.api.subscriptions

    @property
    def now(self) -> stripe.Subscription:
        return self.shop.api.subscriptions.retrieve(self.id, {"expand": ["latest_invoice"]})

    @property
    def invoice(self) -> stripe.Invoice:
        invoice = self.now.latest_invoice
        assert isinstance(invoice, stripe.Invoice)
        return invoice

    def pending(self) -> list[int]:
        items = self.shop.api.invoice_items.list({"customer": self.customer, "pending": True}).data
        return [item.amount for item in reversed(items)]


def test_pausing_stops_the_period_and_says_why(shop: Shop) -> None:
    clocked = Clocked(shop)
    subscription = clocked.subscribe(clocked.pro.id)
    clocked.advance(HALF)
    seen = shop.seen()
    paused = shop.api.subscriptions.pause(subscription.id)
    assert paused.status == "paused"
    assert paused.status_details is not None
    assert paused.status_details.to_dict() == {
        "paused": {"subscription": {"type": "pause_requested"}, "transitioned_at": HALF, "type": "subscription"}
    }
    assert period(paused) == (FROZEN, HALF)
    assert shop.types_since(seen) == [
        "invoiceitem.created",
        "customer.subscription.updated",
        "customer.subscription.paused",
    ]
    previous = shop.last_event("customer.subscription.updated")["data"]["previous_attributes"]
    assert set(previous) == {"items", "status", "status_details"}


def test_no_invoice_is_made_while_it_is_paused(shop: Shop) -> None:
    paused = Paused(shop)
    paused.advance(MONTH_END + WEEK)
    assert len(shop.api.invoices.list({"subscription": paused.id}).data) == 1
    assert paused.now.status == "paused"


@pytest.mark.parametrize(
    ("unused_from", "credits"), [("now", [-1500]), ("item_current_period_start", [-3000]), ("none", [])]
)
def test_what_is_credited_is_asked_for(shop: Shop, unused_from: str, credits: list[int]) -> None:
    paused = Paused(shop, bill_for={"unused_time_from": {"type": unused_from}})
    assert paused.pending() == credits


def test_the_credit_may_be_invoiced_at_once(shop: Shop) -> None:
    paused = Paused(shop, invoicing_behavior="invoice")
    assert paused.amounts(str(paused.invoice.id)) == [(-1500, True)]
    assert shop.api.customers.retrieve(paused.customer).balance == -1500


def test_what_can_not_be_paused(shop: Shop) -> None:
    clocked = Clocked(shop)
    scheduled = clocked.subscribe(clocked.pro.id)
    shop.api.subscription_schedules.create({"from_subscription": scheduled.id})
    classic = shop.subscribe(clocked.customer, clocked.pro.id, billing_mode={"type": "classic"})
    on_trial = shop.subscribe(clocked.customer, clocked.pro.id, trial_period_days=7)
    for id in (scheduled.id, classic.id, on_trial.id):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be paused"):
            shop.api.subscriptions.pause(id)


def test_a_paused_one_is_not_paused_again_nor_scheduled(shop: Shop) -> None:
    paused = Paused(shop)
    with pytest.raises(stripe.InvalidRequestError, match="its status is paused"):
        paused.api.pause(paused.id)
    with pytest.raises(stripe.InvalidRequestError, match="`paused` status"):
        shop.api.subscription_schedules.create({"from_subscription": paused.id})


def test_resuming_begins_a_new_cycle_that_is_to_be_paid_first(shop: Shop) -> None:
    """resume_on_payment_attempt, the default: no attempt in the request; the credit of the pause lowers what is due."""
    paused = Paused(shop)
    paused.advance(MONTH_END)
    seen = shop.seen()
    waiting = paused.api.resume(paused.id)
    assert waiting.status == "paused"
    assert waiting.pending_update.expires_at == MONTH_END + 23 * 3600
    assert waiting.pending_update.billing_cycle_anchor == MONTH_END
    assert period(waiting) == (FROZEN, HALF)
    assert (paused.invoice.status, paused.invoice.amount_due, paused.invoice.attempt_count) == ("open", 1500, 0)
    assert "customer.subscription.resumed" not in shop.types_since(seen)
    shop.api.invoices.pay(str(paused.invoice.id))
    resumed = paused.now
    assert (resumed.status, resumed.status_details, resumed.pending_update) == ("active", None, None)
    assert resumed.billing_cycle_anchor == MONTH_END
    assert period(resumed)[0] == MONTH_END
    types = shop.types_since(seen)
    assert types.index("customer.subscription.resumed") - 1 == len(types) - 1 - types[::-1].index(
        "customer.subscription.updated"
    )


def test_resuming_on_success_charges_in_the_request(shop: Shop) -> None:
    paused = Paused(shop)
    resumed = paused.api.resume(paused.id, ON_SUCCESS)
    assert (resumed.status, paused.invoice.status, paused.invoice.amount_paid) == ("active", "paid", 1500)
    paused.advance(HALF + 29 * 86_400)
    assert period(paused.now)[0] == HALF + 28 * 86_400


def test_a_payment_that_fails_leaves_it_paused_until_a_retry_succeeds(shop: Shop) -> None:
    paused = Paused(shop, bill_for={"unused_time_from": {"type": "none"}})
    shop.give_card(paused.customer, "pm_card_chargeCustomerFail")
    assert paused.api.resume(paused.id, ON_SUCCESS).status == "paused"
    assert paused.invoice.next_payment_attempt is not None
    assert paused.now.pending_update is not None
    assert paused.now.pending_update.expires_at == HALF + 365 * 86_400
    shop.give_card(paused.customer, "pm_card_visa")
    paused.advance(HALF + 2 * 86_400)
    assert (paused.now.status, paused.now.billing_cycle_anchor) == ("active", HALF)


def test_without_a_card_resuming_on_success_is_refused(shop: Shop) -> None:
    paused = Paused(shop)
    (card,) = shop.api.customers.payment_methods.list(paused.customer).data
    shop.api.payment_methods.detach(card.id)
    with pytest.raises(stripe.InvalidRequestError, match="default payment method"):
        paused.api.resume(paused.id, ON_SUCCESS)


def test_a_failed_attempt_of_the_default_kind_is_past_due_and_not_retried(shop: Shop) -> None:
    paused = Paused(shop, bill_for={"unused_time_from": {"type": "none"}})
    paused.api.resume(paused.id)
    shop.give_card(paused.customer, "pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError):
        shop.api.invoices.pay(str(paused.invoice.id))
    assert (paused.now.status, period(paused.now)[0]) == ("past_due", HALF)
    assert paused.invoice.next_payment_attempt is None
    assert shop.emulator.events("customer.subscription.resumed")


def test_an_unpaid_resumption_is_voided_after_23_hours(shop: Shop) -> None:
    paused = Paused(shop)
    paused.api.resume(paused.id)
    paused.advance(HALF + 23 * 3600)
    assert (paused.now.status, paused.now.pending_update, paused.invoice.status) == ("paused", None, "void")
    assert not shop.emulator.events("customer.subscription.resumed")


def test_voiding_the_resumption_keeps_it_paused_and_giving_it_up_resumes(shop: Shop) -> None:
    paused = Paused(shop)
    paused.api.resume(paused.id)
    shop.api.invoices.void_invoice(str(paused.invoice.id))
    assert (paused.now.status, paused.now.pending_update) == ("paused", None)
    paused.api.resume(paused.id)
    shop.api.invoices.mark_uncollectible(str(paused.invoice.id))
    assert paused.now.status == "active"


def test_an_unchanged_anchor_leaves_the_rest_of_the_period_pending(shop: Shop) -> None:
    """No invoice, so that it is active at once; three weeks of the 28 days are over, a quarter of 30.00 is left."""
    paused = Paused(shop)
    paused.advance(HALF + WEEK)
    seen = shop.seen()
    resumed = paused.api.resume(paused.id, UNCHANGED)
    assert (resumed.status, resumed.billing_cycle_anchor) == ("active", FROZEN)
    assert period(resumed) == (HALF + WEEK, MONTH_END)
    assert paused.pending() == [-1500, 750]
    assert shop.types_since(seen)[-2:] == ["customer.subscription.updated", "customer.subscription.resumed"]
    paused.advance(MONTH_END + 3601)
    assert paused.amounts(str(paused.invoice.id)) == [(-1500, True), (750, True), (3000, False)]


def test_an_unchanged_anchor_may_be_invoiced_or_forgotten(shop: Shop) -> None:
    paused = Paused(shop, bill_for={"unused_time_from": {"type": "item_current_period_start"}})
    paused.advance(HALF + WEEK)
    resumed = paused.api.resume(paused.id, {**UNCHANGED, "proration_behavior": "always_invoice"})
    assert resumed.status == "active"
    assert paused.amounts(str(paused.invoice.id)) == [(-3000, True), (750, True)]
    paused.api.pause(paused.id, {"bill_for": {"unused_time_from": {"type": "none"}}})
    paused.advance(MONTH_END + WEEK)
    paused.api.resume(paused.id, {**UNCHANGED, "proration_behavior": "none"})
    assert (paused.now.status, paused.pending()) == ("active", [])


def test_time_that_was_paid_and_not_credited_is_not_debited_again(shop: Shop) -> None:
    """[INF] pausing with `none` keeps the money; resuming in the same period goes on with what it bought."""
    paused = Paused(shop, bill_for={"unused_time_from": {"type": "none"}})
    paused.advance(HALF + WEEK)
    resumed = paused.api.resume(paused.id, UNCHANGED)
    assert (resumed.status, paused.pending(), period(resumed)[1]) == ("active", [], MONTH_END)


def test_a_paused_subscription_entitles_to_nothing(shop: Shop) -> None:
    paused = Paused(shop)
    feature = shop.api.entitlements.features.create({"name": "Exports", "lookup_key": "exports"})
    product = shop.api.prices.retrieve(paused.pro.id).product
    shop.api.products.features.create(str(product), {"entitlement_feature": feature.id})
    paused.api.resume(paused.id, ON_SUCCESS)
    assert len(shop.api.entitlements.active_entitlements.list({"customer": paused.customer}).data) == 1
    paused.api.pause(paused.id)
    assert shop.api.entitlements.active_entitlements.list({"customer": paused.customer}).data == []


def preview(shop: Shop, subscription: str, **details: Any) -> stripe.Invoice:
    sent: Any = {"subscription": subscription, "subscription_details": details}
    return shop.api.invoices.create_preview(sent)


def test_a_pause_can_be_previewed_if_it_would_be_invoiced(shop: Shop) -> None:
    """Without invoicing_behavior=invoice, or with nothing to bill, there is no invoice: 404."""
    clocked = Clocked(shop)
    id = clocked.subscribe(clocked.pro.id).id
    clocked.advance(HALF)
    assert preview(shop, id, pause={"invoicing_behavior": "invoice"}).total == -1500
    free: Any = {"invoicing_behavior": "invoice", "bill_for": {"unused_time_from": {"type": "none"}}}
    for pause in ({"type": "subscription"}, free):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            preview(shop, id, pause=pause)
        assert caught.value.code == "invoice_upcoming_none"
    assert shop.api.subscriptions.retrieve(id).status == "active"


def test_a_resumption_can_be_previewed(shop: Shop) -> None:
    paused = Paused(shop)
    anew = preview(shop, paused.id, resume_at="now", billing_cycle_anchor={"type": "now"})
    assert [line.amount for line in anew.lines.data] == [-1500, 3000]
    unchanged = {**UNCHANGED, "proration_behavior": "always_invoice"}
    rest = preview(shop, paused.id, resume_at="now", **unchanged)
    assert [line.amount for line in rest.lines.data] == [-1500, 1500]
    with pytest.raises(stripe.InvalidRequestError):
        preview(shop, paused.id, resume_at="now", **UNCHANGED)
    assert paused.now.status == "paused"

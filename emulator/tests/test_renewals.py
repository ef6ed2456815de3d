"""
Renewals, dunning and trials' ends.

[SUP] the renewal sequences; [DOC] docs.stripe.com/billing/revenue-recovery/smart-retries: eight tries within two weeks.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stripe

from emulator.tests.shop import Shop, period
from stripe_emulator import Emulator, Settings

FAILS_LATER = "pm_card_chargeCustomerFail"


def invoice_of(subscription: stripe.Subscription) -> stripe.Invoice:
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    return invoice


def current(shop: Shop, subscription: str) -> stripe.Subscription:
    return shop.api.subscriptions.retrieve(subscription, {"expand": ["latest_invoice"]})


def test_a_renewal_is_drafted_at_the_boundary_and_charged_an_hour_later(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    start, end = period(subscription)
    seen = shop.seen()
    emulator.advance(seconds=end - int(emulator.now.timestamp()) + 60)
    drafted = current(shop, subscription.id)
    assert (drafted.status, invoice_of(drafted).status) == ("active", "draft")
    assert period(drafted)[0] == end
    assert (invoice_of(drafted).period_start, invoice_of(drafted).period_end) == (start, end)
    assert invoice_of(drafted).lines.data[0].period.start == end
    assert shop.types_since(seen) == ["invoice.upcoming", "invoice.created", "customer.subscription.updated"]
    previous = shop.last_event("customer.subscription.updated")["data"]["previous_attributes"]
    assert set(previous) == {"items", "latest_invoice"}
    seen = shop.seen()
    emulator.advance(seconds=3600)
    paid = current(shop, subscription.id)
    assert (invoice_of(paid).status, invoice_of(paid).billing_reason) == ("paid", "subscription_cycle")
    assert shop.types_since(seen) == [
        "invoice.finalized",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
    ]


def test_a_year_of_monthly_renewals_is_twelve_invoices(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    emulator.advance(days=366)
    invoices = list(shop.api.invoices.list({"subscription": subscription.id, "limit": 100}).data)
    assert len(invoices) == 13
    assert {invoice.status for invoice in invoices} == {"paid"}
    assert len({invoice.number for invoice in invoices}) == 13


def test_a_failed_renewal_is_past_due_and_tried_again(shop: Shop, emulator: Emulator) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, FAILS_LATER)
    emulator.advance(seconds=period(subscription)[1] - int(emulator.now.timestamp()) + 1)
    seen = shop.seen()
    emulator.advance(seconds=3600)
    failed = current(shop, subscription.id)
    assert failed.status == "past_due"
    invoice = invoice_of(failed)
    assert (invoice.status, invoice.attempt_count, invoice.attempted) == ("open", 1, True)
    assert invoice.next_payment_attempt == period(failed)[0] + 3600 + 86_400
    assert shop.types_since(seen) == [
        "invoice.finalized",
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.updated",
        "invoice.payment_failed",
        "customer.subscription.updated",
        "customer.updated",
    ]
    assert shop.last_event("customer.updated")["data"]["previous_attributes"] == {"delinquent": False}
    seen = shop.seen()
    emulator.advance(to="retry")
    assert invoice_of(current(shop, subscription.id)).attempt_count == 2
    assert shop.types_since(seen) == [
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.updated",
        "invoice.payment_failed",
    ]


def test_a_new_card_recovers_at_the_next_try(shop: Shop, emulator: Emulator) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, FAILS_LATER)
    emulator.advance(to="renewal")
    shop.give_card(customer.id, "pm_card_visa")
    seen = shop.seen()
    emulator.advance(to="retry")
    recovered = current(shop, subscription.id)
    assert (recovered.status, invoice_of(recovered).status) == ("active", "paid")
    types = shop.types_since(seen)
    assert types.index("invoice.paid") < types.index("customer.subscription.updated") < types.index("customer.updated")
    assert shop.api.customers.retrieve(customer.id).delinquent is False


def test_after_the_last_try_it_is_canceled_and_the_invoice_stays_open(shop: Shop, emulator: Emulator) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, FAILS_LATER)
    emulator.advance(to="renewal")
    emulator.advance(days=13.5)
    assert current(shop, subscription.id).status == "past_due"
    emulator.advance(days=1)
    ended = current(shop, subscription.id)
    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "payment_failed"
    invoice = invoice_of(ended)
    assert (invoice.status, invoice.attempt_count, invoice.next_payment_attempt) == ("open", 9, None)
    assert len(emulator.events("invoice.payment_failed")) == 9
    assert emulator.events("customer.subscription.deleted")


@pytest.fixture
def unpaid_shop() -> Iterator[Shop]:
    with Emulator(settings=Settings(dunning_end="unpaid", dunning_days=(1, 3))) as emulator:
        shop = Shop(emulator)
        yield shop
        shop.pages.close()


def test_the_account_may_leave_it_unpaid_with_later_invoices_as_drafts(unpaid_shop: Shop) -> None:
    """[DOC] unpaid: invoices keep being made as drafts and nobody tries them; paying the latest brings it back."""
    shop, emulator = unpaid_shop, unpaid_shop.emulator
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, FAILS_LATER)
    emulator.advance(to="renewal")
    emulator.advance(days=4)
    assert current(shop, subscription.id).status == "unpaid"
    emulator.advance(days=30)
    later = invoice_of(current(shop, subscription.id))
    assert (later.status, later.auto_advance, later.attempted) == ("draft", False, False)
    shop.give_card(customer.id, "pm_card_visa")
    shop.api.invoices.pay(later.id)
    assert current(shop, subscription.id).status == "active"


def test_a_hard_decline_waits_for_another_card(shop: Shop, emulator: Emulator) -> None:
    """[DOC] hard declines, authentication_required among them, are not charged again until the card changed."""
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, "pm_card_authenticationRequired")
    emulator.advance(to="renewal")
    assert invoice_of(current(shop, subscription.id)).attempt_count == 1
    charges = len(shop.api.charges.list().data)
    emulator.advance(to="retry")
    assert len(shop.api.charges.list().data) == charges
    shop.give_card(customer.id, "pm_card_visa")
    emulator.advance(to="retry")
    assert current(shop, subscription.id).status == "active"


def test_a_voided_or_forgiven_invoice_is_not_dunned_any_more(shop: Shop, emulator: Emulator) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, FAILS_LATER)
    emulator.advance(to="renewal")
    shop.api.invoices.mark_uncollectible(invoice_of(current(shop, subscription.id)).id)
    forgiven = current(shop, subscription.id)
    assert (forgiven.status, invoice_of(forgiven).status) == ("active", "uncollectible")
    emulator.advance(days=15)
    assert current(shop, subscription.id).status == "active"


def test_one_declined_charge_on_request(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    emulator.decline_next()
    emulator.advance(to="renewal")
    assert current(shop, subscription.id).status == "past_due"
    emulator.advance(to="retry")
    assert current(shop, subscription.id).status == "active"


def test_a_trial_warns_three_days_before_it_ends_and_then_charges(shop: Shop, emulator: Emulator) -> None:
    customer, price = shop.customer(), shop.price()
    subscription = shop.subscribe(customer.id, price.id, trial_period_days=14)
    assert subscription.status == "trialing"
    assert emulator.events("customer.subscription.trial_will_end") == []
    emulator.advance(days=11.1)
    warning = shop.last_event("customer.subscription.trial_will_end")
    assert subscription.trial_end is not None
    assert warning["created"] == subscription.trial_end - 3 * 86_400
    seen = shop.seen()
    emulator.advance(to="trial_end")
    active = current(shop, subscription.id)
    assert (active.status, invoice_of(active).amount_paid) == ("active", 3000)
    assert invoice_of(active).billing_reason == "subscription_cycle"
    assert period(active)[0] == subscription.trial_end
    previous = shop.last_event("customer.subscription.updated")["data"]["previous_attributes"]
    assert previous["status"] == "trialing"
    assert len([type for type in shop.types_since(seen) if type == "customer.subscription.trial_will_end"]) == 0


def test_a_short_trial_warns_at_once(shop: Shop) -> None:
    """[DOC] the CLI's own trigger uses a trial of one day."""
    shop.subscribe(shop.customer().id, shop.price().id, trial_period_days=1)
    assert shop.types_since()[-1] == "customer.subscription.trial_will_end"


@pytest.mark.parametrize(
    ("behavior", "status", "event"),
    [
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ],
)
def test_a_trial_without_a_card_ends_as_agreed(
    shop: Shop, emulator: Emulator, behavior: str, status: str, event: str
) -> None:
    """[REC] pause and cancel make no invoice."""
    subscription = shop.subscribe(
        shop.customer(card=None).id,
        shop.price().id,
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": behavior}},
    )
    invoices = len(shop.api.invoices.list().data)
    emulator.advance(to="trial_end")
    assert current(shop, subscription.id).status == status
    assert emulator.events(event)
    assert len(shop.api.invoices.list().data) - invoices == (1 if behavior == "create_invoice" else 0)


def test_a_paused_subscription_is_resumed_with_a_card(shop: Shop, emulator: Emulator) -> None:
    customer = shop.customer(card=None)
    subscription = shop.subscribe(
        customer.id,
        shop.price().id,
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
    )
    emulator.advance(to="trial_end")
    paused = current(shop, subscription.id)
    assert paused.status_details is not None
    assert paused.status_details.paused.subscription.type == "trial_end_without_payment_method"
    shop.give_card(customer.id, "pm_card_visa")
    resumed = shop.api.subscriptions.resume(subscription.id, {"payment_behavior": "resume_on_payment_success"})
    assert resumed.status == "active"
    assert invoice_of(current(shop, subscription.id)).status == "paid"
    assert emulator.events("customer.subscription.resumed")


def test_ending_a_trial_now_charges_at_once(shop: Shop) -> None:
    """[REC/SW] invoice.created has the reason subscription_update."""
    subscription = shop.subscribe(shop.customer().id, shop.price().id, trial_period_days=14)
    active = shop.api.subscriptions.update(subscription.id, {"trial_end": "now"})
    assert active.status == "active"
    invoice = invoice_of(current(shop, subscription.id))
    assert (invoice.billing_reason, invoice.status, invoice.amount_paid) == ("subscription_update", "paid", 3000)


def test_a_free_plan_renews_for_nothing_without_a_card(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer(card=None).id, shop.price(0).id)
    emulator.advance(to="renewal")
    renewed = current(shop, subscription.id)
    assert (renewed.status, invoice_of(renewed).status, invoice_of(renewed).total) == ("active", "paid", 0)

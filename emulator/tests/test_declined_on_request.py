"""Declines on request, and what a declined payment leaves of a change of a subscription."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop
from stripe_emulator import Emulator
from stripe_emulator.cards import DECLINE_CODES, HARD_DECLINES, decline_of


def upgrade(shop: Shop, subscription: stripe.Subscription, price: str, **more: Any) -> stripe.Subscription:
    """To another price, invoiced at once."""
    item = subscription["items"].data[0].id
    sent: Any = {"items": [{"id": item, "price": price}], "proration_behavior": "always_invoice", **more}
    sent["expand"] = ["latest_invoice"]
    return shop.api.subscriptions.update(subscription.id, sent)


def price_of(subscription: stripe.Subscription) -> str:
    """The first item's price."""
    return str(subscription["items"].data[0].price.id)


def latest(subscription: stripe.Subscription) -> stripe.Invoice:
    """The expanded latest invoice."""
    assert isinstance(subscription.latest_invoice, stripe.Invoice)
    return subscription.latest_invoice


@pytest.fixture
def subscribed(shop: Shop) -> stripe.Subscription:
    return shop.subscribe(shop.customer().id, shop.price().id)


@pytest.fixture
def business(shop: Shop) -> str:
    return shop.price(10_000, name="Business").id


def test_by_default_only_a_charge_nobody_is_there_for_is_declined(
    shop: Shop, emulator: Emulator, subscribed: stripe.Subscription, business: str
) -> None:
    emulator.decline_next()
    assert upgrade(shop, subscribed, business).status == "active"
    emulator.advance(to="renewal")
    emulator.advance(seconds=3600)
    assert shop.api.subscriptions.retrieve(subscribed.id).status == "past_due"


def test_each_decline_is_used_once(shop: Shop, emulator: Emulator) -> None:
    emulator.decline_next(times=2, code="insufficient_funds", on_session=True)
    sent: Any = {"amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            shop.api.payment_intents.create(sent)
        assert caught.value.error is not None
        assert caught.value.error.decline_code == "insufficient_funds"
    assert shop.api.payment_intents.create(sent).status == "succeeded"


def test_the_nth_charge_is_declined_and_those_before_it_are_not(shop: Shop, emulator: Emulator) -> None:
    emulator.decline_next(times=2, nth=3, on_session=True)
    sent: Any = {"amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    went = []
    for _ in range(5):
        try:
            went.append(shop.api.payment_intents.create(sent).status)
        except stripe.CardError:
            went.append("declined")
    assert went == ["succeeded", "succeeded", "declined", "declined", "succeeded"]


def test_a_code_nobody_knows_is_refused(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="code is one of"):
        emulator.decline_next(code="no_such_code")


@pytest.mark.parametrize("code", sorted(DECLINE_CODES))
def test_every_code_declines_as_it_says(code: str) -> None:
    """docs.stripe.com/declines/codes; [DOC] EMULATOR.md lists those after which a retry waits for another card."""
    decline = decline_of(code)
    assert code in (decline.code, decline.decline_code)
    assert decline.is_hard == (code in HARD_DECLINES)


def test_the_checkout_page_shows_the_decline_and_stays_open(shop: Shop, emulator: Emulator) -> None:
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    emulator.decline_next(code="insufficient_funds", on_session=True)
    answer = shop.pay(session.id)
    assert "insufficient funds" in shop.pages.get(answer.headers["Location"]).text
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    shop.pay(session.id)
    assert shop.api.checkout.sessions.retrieve(session.id).status == "complete"


def test_paying_an_invoice_is_declined(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/api/invoices/pay: a 402, and the attempt counts."""
    emulator.decline_next(times=1, code="insufficient_funds", on_session=True)
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    assert subscription.status == "incomplete"
    emulator.decline_next(code="do_not_honor")
    with pytest.raises(stripe.CardError) as caught:
        shop.api.invoices.pay(str(subscription.latest_invoice))
    assert caught.value.error is not None
    assert caught.value.error.decline_code == "do_not_honor"
    assert shop.api.invoices.pay(str(subscription.latest_invoice)).status == "paid"


def test_allow_incomplete_keeps_the_change_and_is_past_due(
    shop: Shop, emulator: Emulator, subscribed: stripe.Subscription, business: str
) -> None:
    """docs.stripe.com/api/subscriptions/update: past_due if a payment is required but cannot be paid."""
    emulator.decline_next(code="insufficient_funds", on_session=True)
    updated = upgrade(shop, subscribed, business)
    assert (updated.status, price_of(updated)) == ("past_due", business)
    assert (latest(updated).status, latest(updated).attempt_count) == ("open", 1)
    shop.api.invoices.pay(latest(updated).id)
    assert shop.api.subscriptions.retrieve(subscribed.id).status == "active"


def test_error_if_incomplete_changes_nothing(
    shop: Shop, emulator: Emulator, subscribed: stripe.Subscription, business: str
) -> None:
    """docs.stripe.com/api/subscriptions/update: a 402, the subscription is not updated; and the decline is used up."""
    emulator.decline_next(code="insufficient_funds", on_session=True)
    seen = shop.seen()
    with pytest.raises(stripe.CardError) as caught:
        upgrade(shop, subscribed, business, payment_behavior="error_if_incomplete")
    assert caught.value.http_status == 402
    unchanged = shop.api.subscriptions.retrieve(subscribed.id)
    assert (unchanged.status, price_of(unchanged)) == ("active", price_of(subscribed))
    assert unchanged.latest_invoice == subscribed.latest_invoice
    assert shop.types_since(seen) == []
    assert price_of(upgrade(shop, subscribed, business, payment_behavior="error_if_incomplete")) == business


def test_pending_if_incomplete_waits_for_the_payment(
    shop: Shop, emulator: Emulator, subscribed: stripe.Subscription, business: str
) -> None:
    """docs.stripe.com/billing/subscriptions/pending-updates: what was asked for waits, metadata and the end with it."""
    emulator.decline_next(code="insufficient_funds", on_session=True)
    updated = upgrade(
        shop,
        subscribed,
        business,
        payment_behavior="pending_if_incomplete",
        metadata={"plan": "business"},
        cancel_at_period_end=True,
    )
    assert (updated.status, price_of(updated)) == ("active", price_of(subscribed))
    assert (updated.metadata.to_dict(), updated.cancel_at_period_end, updated.cancel_at) == ({}, False, None)
    pending = updated.pending_update
    assert pending is not None
    assert pending.metadata is not None
    assert (pending.metadata["plan"], pending.cancel_at_period_end) == ("business", True)
    assert latest(updated).status == "open"
    shop.api.invoices.pay(latest(updated).id)
    applied = shop.api.subscriptions.retrieve(subscribed.id)
    assert (applied.pending_update, price_of(applied)) == (None, business)
    assert (applied.metadata["plan"], applied.cancel_at_period_end) == ("business", True)


def test_a_pending_update_takes_what_pending_updates_take(
    shop: Shop, subscribed: stripe.Subscription, business: str
) -> None:
    """docs.stripe.com/billing/subscriptions/pending-updates-reference#supported-attributes"""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        upgrade(shop, subscribed, business, payment_behavior="pending_if_incomplete", description="Business")
    assert caught.value.param == "description"


def test_default_incomplete_is_past_due_until_its_intent_is_confirmed(
    shop: Shop, subscribed: stripe.Subscription, business: str
) -> None:
    """docs.stripe.com/api/subscriptions/update: past_due, awaiting explicit confirmation of the payment intent."""
    seen = shop.seen()
    updated = upgrade(shop, subscribed, business, payment_behavior="default_incomplete")
    assert (updated.status, price_of(updated)) == ("past_due", business)
    assert (latest(updated).status, latest(updated).attempt_count) == ("open", 0)
    assert not [type for type in shop.types_since(seen) if type.startswith("charge.")]
    [payment] = shop.api.invoice_payments.list({"invoice": latest(updated).id}).data
    shop.api.payment_intents.confirm(str(payment.payment.payment_intent))
    assert shop.api.subscriptions.retrieve(subscribed.id).status == "active"


def test_pending_updates_are_not_for_debits(shop: Shop, subscribed: stripe.Subscription, business: str) -> None:
    """docs.stripe.com/billing/subscriptions/pending-updates: not supported with bank debits."""
    shop.give_card(str(subscribed.customer), "pm_usBankAccount_success")
    with pytest.raises(stripe.InvalidRequestError):
        upgrade(shop, subscribed, business, payment_behavior="pending_if_incomplete")
    assert price_of(shop.api.subscriptions.retrieve(subscribed.id)) == price_of(subscribed)


def test_an_upgrade_that_needs_authentication_follows_its_behavior_too(shop: Shop, business: str) -> None:
    """[DOC] billing/subscriptions/pending-updates#handle-customer-authentication"""
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.give_card(str(subscription.customer), "pm_card_authenticationRequired")
    with pytest.raises(stripe.CardError) as caught:
        upgrade(shop, subscription, business, payment_behavior="error_if_incomplete")
    assert caught.value.code == "subscription_payment_intent_requires_action"
    waiting = upgrade(shop, subscription, business, payment_behavior="pending_if_incomplete")
    assert (waiting.status, price_of(waiting)) == ("active", price_of(subscription))
    assert waiting.pending_update is not None


def into_business(shop: Shop, subscription: stripe.Subscription, business: str) -> stripe.Subscription:
    """Another price, and no trial any more; only once it is paid."""
    ending: Any = {"trial_end": "now", "proration_behavior": "none", "payment_behavior": "pending_if_incomplete"}
    return upgrade(shop, subscription, business, **ending)


def test_a_trial_that_ends_with_a_change_is_charged_for_what_it_becomes(shop: Shop, business: str) -> None:
    """docs.stripe.com/billing/subscriptions/pending-updates-reference#supported-attributes: trial_end is one."""
    trial = shop.subscribe(shop.customer().id, shop.price().id, trial_period_days=14)
    item = trial["items"].data[0].id
    details: Any = {"items": [{"id": item, "price": business}], "trial_end": "now", "proration_behavior": "none"}
    preview = shop.api.invoices.create_preview({"subscription": trial.id, "subscription_details": details})
    assert (shop.api.subscriptions.retrieve(trial.id).status, preview.amount_due) == ("trialing", 10_000)
    changed = into_business(shop, trial, business)
    assert (changed.status, price_of(changed), changed.pending_update) == ("active", business, None)
    assert (latest(changed).status, latest(changed).total) == ("paid", 10_000)
    assert [line.period.end for line in preview.lines.data] == [changed["items"].data[0].current_period_end]


def test_a_trial_whose_end_is_not_paid_goes_on(shop: Shop, emulator: Emulator, business: str) -> None:
    trial = shop.subscribe(shop.customer().id, shop.price().id, trial_period_days=14)
    emulator.decline_next(on_session=True)
    waiting = into_business(shop, trial, business)
    assert (waiting.status, waiting.trial_end, price_of(waiting)) == ("trialing", trial.trial_end, price_of(trial))
    assert waiting.pending_update is not None
    assert waiting.pending_update.trial_end == latest(waiting).created
    assert not [each for each in emulator.events("customer.subscription.updated") if _became_active(each)]
    shop.api.invoices.pay(latest(waiting).id)
    applied = shop.api.subscriptions.retrieve(trial.id)
    assert (applied.status, price_of(applied), applied.pending_update) == ("active", business, None)
    assert applied["items"].data[0].current_period_start == latest(waiting).created


def _became_active(event: Any) -> bool:
    return bool(event["data"]["object"]["status"] == "active")


def test_what_waits_is_dropped_when_the_trial_ends(shop: Shop, emulator: Emulator, business: str) -> None:
    """docs.stripe.com/billing/subscriptions/pending-updates-reference#expiration: or the trial's end."""
    trial = shop.subscribe(shop.customer().id, shop.price().id, trial_period_days=1)
    emulator.advance(seconds=3600 * 4)
    emulator.decline_next(on_session=True)
    waiting = into_business(shop, trial, business)
    assert waiting.pending_update is not None
    assert waiting.pending_update.expires_at == trial.trial_end
    emulator.advance(to="trial_end")
    ended = shop.api.subscriptions.retrieve(trial.id)
    assert (ended.status, price_of(ended), ended.pending_update) == ("active", price_of(trial), None)
    assert shop.api.invoices.retrieve(latest(waiting).id).status == "void"

"""
Subscriptions through the API.

[DOC] docs.stripe.com/billing/subscriptions/overview; sequences [REC], [SUP] and [INF] as compared as sets where no
recording fixes an order.
"""

from __future__ import annotations

import pytest
import stripe

from emulator.tests.shop import Shop, period
from stripe_emulator import Emulator


def test_a_first_payment_that_succeeds_makes_it_active(shop: Shop) -> None:
    customer, price = shop.customer(), shop.price()
    seen = shop.seen()
    subscription = shop.subscribe(customer.id, price.id)
    assert subscription.status == "active"
    types = shop.types_since(seen)
    assert types[:3] == ["customer.updated", "invoice.created", "invoice.finalized"]
    assert types[-1] == "customer.subscription.created"
    assert {"charge.succeeded", "invoice.paid", "invoice_payment.paid"} <= set(types)


def test_a_first_payment_that_fails_leaves_it_incomplete_for_23_hours(shop: Shop, emulator: Emulator) -> None:
    """[REC] first payment declined; [DOC] incomplete expires after 23 hours and its invoice is voided."""
    customer, price = shop.customer("pm_card_chargeCustomerFail"), shop.price()
    seen = shop.seen()
    subscription = shop.subscribe(customer.id, price.id)
    assert subscription.status == "incomplete"
    types = [type for type in shop.types_since(seen) if type.startswith(("invoice.", "charge", "customer.sub"))]
    assert types == [
        "invoice.created",
        "invoice.finalized",
        "charge.failed",
        "invoice.updated",
        "invoice.payment_failed",
        "customer.subscription.created",
    ]
    assert shop.last_event("invoice.payment_failed")["data"]["object"]["attempt_count"] == 1
    emulator.advance(seconds=23 * 3600 - 60)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "incomplete"
    emulator.advance(seconds=61)
    expired = shop.api.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert expired.status == "incomplete_expired"
    assert isinstance(expired.latest_invoice, stripe.Invoice)
    assert expired.latest_invoice.status == "void"


def test_an_incomplete_one_is_saved_by_paying_its_invoice(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.give_card(customer.id, "pm_card_visa")
    invoice = subscription.latest_invoice
    assert isinstance(invoice, str)
    assert shop.api.invoices.pay(invoice).status == "paid"
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"


def test_a_declined_invoice_payment_is_a_402_and_counts(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    subscription = shop.subscribe(customer.id, shop.price().id)
    invoice = subscription.latest_invoice
    assert isinstance(invoice, str)
    with pytest.raises(stripe.CardError) as caught:
        shop.api.invoices.pay(invoice)
    assert caught.value.code == "card_declined"
    assert shop.api.invoices.retrieve(invoice).attempt_count == 2


def test_error_if_incomplete_makes_nothing(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError):
        shop.subscribe(customer.id, shop.price().id, payment_behavior="error_if_incomplete")
    assert shop.api.subscriptions.list({"status": "all"}).data == []
    assert shop.api.invoices.list().data == []


def test_default_incomplete_waits_for_the_payment_element(shop: Shop) -> None:
    customer = shop.customer(card=None)
    subscription = shop.subscribe(
        customer.id,
        shop.price().id,
        payment_behavior="default_incomplete",
        payment_settings={"save_default_payment_method": "on_subscription"},
        expand=["latest_invoice.confirmation_secret", "latest_invoice.payments"],
    )
    assert subscription.status == "incomplete"
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert invoice.confirmation_secret is not None
    assert invoice.payments is not None
    intent = invoice.payments.data[0].payment.payment_intent
    assert isinstance(intent, str)
    assert invoice.confirmation_secret.client_secret.startswith(intent)
    shop.api.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    active = shop.api.subscriptions.retrieve(subscription.id)
    assert active.status == "active"
    assert active.default_payment_method is not None


def test_3ds_on_the_first_payment_waits_for_the_challenge(shop: Shop) -> None:
    """[REC] incomplete, attempted true, attempt_count 0, invoice.payment_action_required."""
    customer = shop.customer("pm_card_authenticationRequired")
    subscription = shop.subscribe(customer.id, shop.price().id, expand=["latest_invoice.payments"])
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (subscription.status, invoice.attempted, invoice.attempt_count) == ("incomplete", True, 0)
    assert shop.emulator.events("invoice.payment_action_required")
    assert invoice.payments is not None
    intent = shop.api.payment_intents.retrieve(str(invoice.payments.data[0].payment.payment_intent))
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    assert "/c/3ds/" in str(intent.next_action.redirect_to_url.url)


def test_no_card_at_all_is_refused(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe(shop.customer(card=None).id, shop.price().id)
    assert "no attached payment source" in str(caught.value)


def test_canceled_ones_are_listed_only_when_asked_for(shop: Shop) -> None:
    customer, price = shop.customer(), shop.price()
    ended, kept = shop.subscribe(customer.id, price.id), shop.subscribe(customer.id, price.id)
    shop.api.subscriptions.cancel(ended.id)
    listed = shop.api.subscriptions.list({"customer": customer.id}).data
    assert [one.id for one in listed] == [kept.id]
    assert len(shop.api.subscriptions.list({"customer": customer.id, "status": "all"}).data) == 2
    assert [one.id for one in shop.api.subscriptions.list({"status": "canceled"}).data] == [ended.id]
    assert [one.id for one in shop.api.subscriptions.list({"status": "ended"}).data] == [ended.id]


def test_an_immediate_cancellation_ends_it_now(shop: Shop) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    ended = shop.api.subscriptions.cancel(
        subscription.id, {"cancellation_details": {"feedback": "too_expensive", "comment": "Sorry"}}
    )
    assert ended.status == "canceled"
    assert ended.ended_at == ended.canceled_at
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.to_dict() == {
        "comment": "Sorry",
        "feedback": "too_expensive",
        "reason": "cancellation_requested",
    }
    assert shop.types_since()[-1] == "customer.subscription.deleted"
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.subscriptions.cancel(subscription.id)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})


def test_a_cancellation_at_the_periods_end_ends_it_then_without_an_invoice(shop: Shop, emulator: Emulator) -> None:
    """[DOC] updated now with the status unchanged, deleted at the boundary."""
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    scheduled = shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert (scheduled.status, scheduled.cancel_at_period_end) == ("active", True)
    assert scheduled.cancel_at == period(subscription)[1]
    previous = shop.last_event("customer.subscription.updated")["data"]["previous_attributes"]
    assert set(previous) == {"cancel_at", "cancel_at_period_end", "canceled_at", "cancellation_details"}
    seen = shop.seen()
    emulator.advance(days=32)
    assert shop.types_since(seen) == ["customer.subscription.deleted"]
    ended = shop.api.subscriptions.retrieve(subscription.id)
    assert ended.ended_at == period(subscription)[1]
    assert ended.canceled_at == scheduled.canceled_at


def test_a_scheduled_end_is_undone(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    undone = shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert (undone.cancel_at, undone.canceled_at) == (None, None)
    emulator.advance(days=32)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"


def test_cancel_at_a_time_leaves_cancel_at_period_end_alone(shop: Shop, emulator: Emulator) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    at = period(subscription)[0] + 10 * 86_400
    scheduled = shop.api.subscriptions.update(subscription.id, {"cancel_at": at})
    assert (scheduled.cancel_at, scheduled.cancel_at_period_end) == (at, False)
    emulator.advance(days=11)
    assert shop.api.subscriptions.retrieve(subscription.id).ended_at == at


def test_paused_collection_keeps_the_status_and_voids_or_keeps_invoices(shop: Shop, emulator: Emulator) -> None:
    """[DOC] pause_collection is not the paused status; invoices are still made."""
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    shop.api.subscriptions.update(subscription.id, {"pause_collection": {"behavior": "void"}})
    emulator.advance(to="renewal")
    renewed = shop.api.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert renewed.status == "active"
    assert isinstance(renewed.latest_invoice, stripe.Invoice)
    assert renewed.latest_invoice.status == "void"
    shop.api.subscriptions.update(subscription.id, {"pause_collection": ""})
    emulator.advance(to="renewal")
    again = shop.api.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert isinstance(again.latest_invoice, stripe.Invoice)
    assert again.latest_invoice.status == "paid"


def test_items_are_listed_with_their_periods(shop: Shop) -> None:
    subscription = shop.subscribe(shop.customer().id, shop.price().id, quantity=3)
    items = shop.api.subscription_items.list({"subscription": subscription.id}).data
    assert [(item.quantity, item.subscription) for item in items] == [(3, subscription.id)]
    assert items[0].price.unit_amount == items[0].plan.amount == 3000


def test_a_refund_gives_money_back_and_leaves_the_subscription(shop: Shop) -> None:
    """[DOC] refund.created, charge.refunded; more than is left is an error."""
    subscription = shop.subscribe(shop.customer().id, shop.price().id)
    charge = shop.api.charges.list().data[0]
    shop.api.refunds.create({"charge": charge.id, "amount": 1000})
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.refunds.create({"charge": charge.id, "amount": 2001})
    assert shop.types_since()[-2:] == ["refund.created", "charge.refunded"]
    assert shop.api.charges.retrieve(charge.id).amount_refunded == 1000
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"

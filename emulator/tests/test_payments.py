"""Payments by themselves: payment and setup intents, captures, refunds, disputes, the balance, plans."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop


def pay(shop: Shop, card: str = "pm_card_visa", **more: Any) -> stripe.PaymentIntent:
    sent: Any = {"amount": 2000, "currency": "usd", "payment_method": card, "confirm": True, **more}
    return shop.api.payment_intents.create(sent)


def challenge(shop: Shop, intent: Any, answer: str) -> None:
    """Answer the 3D Secure page of an intent."""
    assert intent.next_action is not None
    shop.pages.post(intent.next_action.redirect_to_url.url, data={"answer": answer})


def test_a_confirmed_payment_takes_the_money(shop: Shop) -> None:
    """docs.stripe.com/payments/paymentintents/lifecycle"""
    intent = pay(shop, metadata={"order": "1"}, description="A book", receipt_email="a@example.com")
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    charge = shop.api.charges.retrieve(str(intent.latest_charge))
    assert (charge.captured, charge.amount_captured, charge.receipt_email) == (True, 2000, "a@example.com")
    assert shop.types_since() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


def test_a_payment_is_built_step_by_step(shop: Shop) -> None:
    """docs.stripe.com/payments/paymentintents/lifecycle: requires_payment_method, requires_confirmation, succeeded."""
    intent = shop.api.payment_intents.create({"amount": 2000, "currency": "usd"})
    assert intent.status == "requires_payment_method"
    changed = shop.api.payment_intents.update(intent.id, {"amount": 2500, "payment_method": "pm_card_visa"})
    assert (changed.status, changed.amount) == ("requires_confirmation", 2500)
    assert shop.api.payment_intents.confirm(intent.id).amount_received == 2500
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_intents.update(intent.id, {"amount": 1})
    assert caught.value.code == "payment_intent_unexpected_state"


def test_a_declined_payment_leaves_its_charge_behind(shop: Shop) -> None:
    """docs.stripe.com/declines: a 402 with the intent inside."""
    with pytest.raises(stripe.CardError) as caught:
        pay(shop, "pm_card_visa_chargeDeclined")
    assert caught.value.error is not None
    assert caught.value.error.payment_intent is not None
    assert caught.value.error.payment_intent.status == "requires_payment_method"
    assert shop.types_since() == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]


def test_an_authorised_payment_is_captured_later_and_in_part(shop: Shop) -> None:
    """docs.stripe.com/payments/place-a-hold-on-a-payment-method"""
    intent = pay(shop, capture_method="manual")
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("requires_capture", 2000, 0)
    assert shop.types_since()[-1] == "payment_intent.amount_capturable_updated"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_intents.capture(intent.id, {"amount_to_capture": 2001})
    assert caught.value.code == "amount_too_large"
    captured = shop.api.payment_intents.capture(intent.id, {"amount_to_capture": 1500})
    assert (captured.status, captured.amount_received, captured.amount_capturable) == ("succeeded", 1500, 0)
    assert shop.types_since()[-2:] == ["charge.captured", "payment_intent.succeeded"]
    refund = shop.api.refunds.create({"payment_intent": intent.id})
    assert refund.amount == 1500


def test_a_charge_can_be_captured_too(shop: Shop) -> None:
    """docs.stripe.com/api/charges/capture"""
    intent = pay(shop, capture_method="manual")
    assert shop.api.charges.capture(str(intent.latest_charge)).captured
    assert shop.api.payment_intents.retrieve(intent.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.charges.capture(str(intent.latest_charge))
    assert caught.value.code == "charge_already_captured"


def test_canceling_an_authorisation_releases_it(shop: Shop) -> None:
    """docs.stripe.com/api/payment_intents/cancel: the remaining amount_capturable is refunded."""
    intent = pay(shop, capture_method="manual")
    canceled = shop.api.payment_intents.cancel(intent.id, {"cancellation_reason": "requested_by_customer"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "requested_by_customer")
    assert shop.api.charges.retrieve(str(intent.latest_charge)).refunded
    assert shop.types_since()[-2:] == ["charge.refunded", "payment_intent.canceled"]


def test_a_payment_waits_for_authentication(shop: Shop) -> None:
    """docs.stripe.com/payments/3d-secure/authentication-flow"""
    intent = pay(shop, "pm_card_authenticationRequired", return_url="http://shop.test/back")
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    assert shop.types_since()[-1] == "payment_intent.requires_action"
    challenge(shop, intent, "complete")
    assert shop.api.payment_intents.retrieve(intent.id).status == "succeeded"


def test_a_payment_that_may_not_wait_is_refused(shop: Shop) -> None:
    """docs.stripe.com/api/payment_intents/create#create_payment_intent-error_on_requires_action"""
    with pytest.raises(stripe.CardError) as caught:
        pay(shop, "pm_card_authenticationRequired", error_on_requires_action=True)
    assert caught.value.code == "authentication_required"


def test_payment_method_types_are_gone_in_this_version(shop: Shop) -> None:
    """docs.stripe.com/changelog/endive/2026-09-30/removes-the-payment-method-types-parameter-from-payment-intents-and-setup-intents"""
    form = {"amount": "2000", "currency": "usd", "payment_method_types[0]": "card"}
    version = {"Stripe-Version": stripe.api_version}
    refused = shop.http("POST", "/v1/payment_intents", data=form, headers=version)
    assert refused.json()["error"]["code"] == "payment_method_types_no_longer_supported"
    assert shop.http("POST", "/v1/payment_intents", data=form).status_code == 200


def test_a_setup_intent_saves_a_card(shop: Shop) -> None:
    """docs.stripe.com/payments/setupintents/lifecycle"""
    customer = shop.customer(card=None)
    intent = shop.api.setup_intents.create({"customer": customer.id, "description": "For later"})
    assert (intent.status, intent.description) == ("requires_payment_method", "For later")
    done = shop.api.setup_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert done.status == "succeeded"
    assert [one.id for one in shop.api.payment_methods.list({"customer": customer.id}).data] == [done.payment_method]


def test_a_setup_intent_waits_for_authentication(shop: Shop) -> None:
    """docs.stripe.com/testing#regulatory-cards"""
    customer = shop.customer(card=None)
    intent = shop.api.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_authenticationRequired", "confirm": True}
    )
    assert intent.status == "requires_action"
    challenge(shop, intent, "complete")
    assert shop.api.setup_intents.retrieve(intent.id).status == "succeeded"
    assert len(shop.api.payment_methods.list({"customer": customer.id}).data) == 1


def test_a_setup_intent_is_canceled_once(shop: Shop) -> None:
    """docs.stripe.com/api/setup_intents/cancel"""
    intent = shop.api.setup_intents.create()
    assert shop.api.setup_intents.cancel(intent.id, {"cancellation_reason": "abandoned"}).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.setup_intents.cancel(intent.id)
    assert caught.value.code == "setup_intent_unexpected_state"
    assert shop.types_since() == ["setup_intent.created", "setup_intent.canceled"]


def test_a_refund_is_changed_with_both_events(shop: Shop) -> None:
    """docs.stripe.com/api/events/types: refund.updated, and charge.refund.updated for the older name."""
    refund = shop.api.refunds.create({"payment_intent": pay(shop).id})
    changed = shop.api.refunds.update(refund.id, {"metadata": {"order": "1"}})
    assert changed.metadata is not None
    assert changed.metadata["order"] == "1"
    assert shop.types_since()[-2:] == ["refund.updated", "charge.refund.updated"]


def test_a_disputed_payment_is_won_with_evidence(shop: Shop) -> None:
    """docs.stripe.com/testing#disputes and #evidence"""
    intent = pay(shop, "pm_card_createDispute")
    [dispute] = shop.api.disputes.list({"payment_intent": intent.id}).data
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 2000)
    assert shop.api.charges.retrieve(str(intent.latest_charge)).disputed
    assert shop.types_since()[-2:] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    won = shop.api.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert won.status == "won"
    assert shop.types_since()[-3:] == [
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]


def test_a_disputed_payment_is_lost_by_giving_up(shop: Shop) -> None:
    """docs.stripe.com/api/disputes/close"""
    pay(shop, "pm_card_createDisputeProductNotReceived")
    [dispute] = shop.api.disputes.list().data
    assert shop.api.disputes.close(dispute.id).status == "lost"
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.disputes.close(dispute.id)


def test_an_inquiry_leaves_the_money(shop: Shop) -> None:
    """docs.stripe.com/disputes/how-disputes-work: an inquiry withdraws no funds."""
    pay(shop, "pm_card_createDisputeInquiry")
    [dispute] = shop.api.disputes.list().data
    assert dispute.status == "warning_needs_response"
    assert "charge.dispute.funds_withdrawn" not in shop.types_since()
    assert shop.api.disputes.close(dispute.id).status == "warning_closed"


def test_an_inquiry_is_escalated_to_a_chargeback(shop: Shop) -> None:
    """docs.stripe.com/testing#evidence: escalate_inquiry_evidence debits the account; then it can be won."""
    intent = pay(shop, "pm_card_createDisputeInquiry")
    assert shop.api.refunds.create({"payment_intent": intent.id, "amount": 500}).status == "succeeded"
    [inquiry] = shop.api.disputes.list().data
    escalated = shop.api.disputes.update(inquiry.id, {"evidence": {"uncategorized_text": "escalate_inquiry_evidence"}})
    assert (escalated.status, escalated.is_charge_refundable) == ("needs_response", False)
    assert shop.types_since()[-1] == "charge.dispute.funds_withdrawn"
    lost = shop.api.disputes.update(inquiry.id, {"evidence": {"uncategorized_text": "losing_evidence"}})
    assert lost.status == "lost"
    assert shop.types_since()[-1] == "charge.dispute.closed"


def test_other_evidence_stays_under_review(shop: Shop) -> None:
    """docs.stripe.com/api/disputes/update: staged with submit=false, then submitted once."""
    pay(shop, "pm_card_createDispute")
    [dispute] = shop.api.disputes.list().data
    staged = shop.api.disputes.update(dispute.id, {"evidence": {"customer_name": "Jenny"}, "submit": False})
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    sent = shop.api.disputes.update(dispute.id, {"evidence": {"customer_name": "Jenny Rosen"}})
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.disputes.update(dispute.id, {"evidence": {"customer_name": "Joe"}})


def test_refunds_add_up_to_the_charge_and_no_more(shop: Shop) -> None:
    """docs.stripe.com/api/refunds/create: in parts, until nothing is left."""
    intent = pay(shop)
    charge = str(intent.latest_charge)
    first = shop.api.refunds.create({"charge": charge, "amount": 500, "reason": "requested_by_customer"})
    assert (first.amount, first.reason, first.payment_intent) == (500, "requested_by_customer", intent.id)
    for wrong in (0, 1501):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.api.refunds.create({"charge": charge, "amount": wrong})
        assert caught.value.param == "amount"
    assert shop.api.refunds.create({"payment_intent": intent.id}).amount == 1500
    assert shop.api.charges.retrieve(charge).refunded
    with pytest.raises(stripe.InvalidRequestError) as spent:
        shop.api.refunds.create({"charge": charge})
    assert spent.value.code == "charge_already_refunded"
    assert [one.amount for one in shop.api.refunds.list({"charge": charge}).data] == [1500, 500]
    expanded = shop.api.charges.retrieve(charge, {"expand": ["refunds"]}).refunds
    assert expanded is not None
    assert len(expanded.data) == 2


def test_a_charge_is_listed_and_described(shop: Shop) -> None:
    """docs.stripe.com/api/charges: charge.updated; failed attempts are charges too."""
    customer = shop.customer()
    with pytest.raises(stripe.CardError):
        pay(shop, "pm_card_chargeCustomerFail", customer=customer.id)
    paid = pay(shop, customer=customer.id)
    listed = shop.api.charges.list({"customer": customer.id}).data
    assert [one.status for one in listed] == ["succeeded", "failed"]
    assert [one.id for one in shop.api.charges.list({"payment_intent": paid.id}).data] == [paid.latest_charge]
    changed = shop.api.charges.update(str(paid.latest_charge), {"description": "A book", "metadata": {"k": "v"}})
    assert (changed.description, changed.metadata["k"]) == ("A book", "v")
    assert shop.last_event("charge.updated")["data"]["previous_attributes"]["description"] is None
    assert shop.api.payment_intents.list({"customer": customer.id}).data[0].id == paid.id


def test_money_is_pending_before_it_is_available(shop: Shop) -> None:
    """docs.stripe.com/testing#available-balance"""
    pay(shop)
    balance = shop.api.balance.retrieve()
    assert (balance.available[0].amount, balance.pending[0].amount) == (0, 2000)
    pay(shop, "pm_card_bypassPending")
    assert shop.types_since()[-1] == "balance.available"
    assert shop.api.balance.retrieve().available[0].amount == 2000
    shop.emulator.advance(days=2)
    assert shop.api.balance.retrieve().available[0].amount == 4000


def test_a_plan_is_a_price_by_its_old_name(shop: Shop) -> None:
    """docs.stripe.com/api/plans"""
    sent: Any = {"currency": "usd", "interval": "month", "amount": 2000, "product": {"name": "Pro"}}
    plan = shop.api.plans.create(sent)
    price = shop.api.prices.retrieve(plan.id)
    assert (price.unit_amount, price.recurring and price.recurring.interval) == (2000, "month")
    assert shop.api.plans.update(plan.id, {"nickname": "Monthly"}).nickname == "Monthly"
    assert shop.last_event("plan.updated")["data"]["previous_attributes"] == {"nickname": None}
    assert [one.id for one in shop.api.plans.list().data] == [plan.id]
    shop.api.plans.delete(plan.id)
    assert shop.api.plans.list().data == []
    assert not shop.api.prices.retrieve(plan.id).active
    assert "plan.deleted" in shop.types_since()


def test_a_draft_invoice_is_deleted(shop: Shop) -> None:
    """docs.stripe.com/api/invoices/delete"""
    invoice = shop.api.invoices.create({"customer": shop.customer().id})
    assert shop.api.invoices.delete(invoice.id).deleted
    assert shop.last_event("invoice.deleted")["data"]["object"]["id"] == invoice.id


def test_an_invoice_that_wants_authentication_says_so(shop: Shop) -> None:
    """docs.stripe.com/billing/subscriptions/overview#requires-action: payment_failed and payment_action_required."""
    customer = shop.customer(card=None)
    method = shop.api.payment_methods.attach("pm_card_threeDSecure2Required", {"customer": customer.id})
    shop.api.invoice_items.create({"customer": customer.id, "amount": 2000, "currency": "usd"})
    invoice = shop.api.invoices.create({"customer": customer.id, "pending_invoice_items_behavior": "include"})
    with pytest.raises(stripe.CardError):
        shop.api.invoices.pay(invoice.id, {"payment_method": method.id})
    assert {"invoice.payment_failed", "invoice.payment_action_required"} <= set(shop.types_since())


def test_checkout_is_completed_by_the_two_calls_of_the_stripe_cli(shop: Shop) -> None:
    """[REC] the CLI's fixture of checkout.session.completed: an amount that is not shown is refused."""
    product = shop.api.products.create({"name": "Book"})
    price = shop.api.prices.create({"product": product.id, "unit_amount": 1500, "currency": "usd"})
    address: Any = {"line1": "510 Townsend St", "postal_code": "94103", "country": "US"}
    session = shop.session(
        price.id, mode="payment", payment_intent_data={"shipping": {"name": "Jenny Rosen", "address": address}}
    )
    assert shop.http("GET", f"/v1/payment_pages/{session.id}").json()["id"] == session.id
    method = shop.api.payment_methods.create(
        {"type": "card", "card": {"token": "tok_visa"}, "billing_details": {"email": "a@example.com"}}
    )
    confirm = f"/v1/payment_pages/{session.id}/confirm"
    refused = shop.http("POST", confirm, data={"payment_method": method.id, "expected_amount": "1"})
    assert refused.json()["error"]["param"] == "expected_amount"
    done = shop.http("POST", confirm, data={"payment_method": method.id, "expected_amount": "1500"}).json()
    assert (done["status"], done["payment_status"]) == ("complete", "paid")
    intent = shop.api.payment_intents.retrieve(done["payment_intent"])
    assert intent.shipping is not None
    assert intent.shipping.name == "Jenny Rosen"
    again = shop.http("POST", confirm, data={"payment_method": method.id, "expected_amount": "1500"})
    assert again.status_code == 400


def test_a_declined_card_leaves_the_checkout_page_open(shop: Shop) -> None:
    """[INF] as the page itself does."""
    session = shop.session(shop.price().id)
    method = shop.api.payment_methods.create(
        {"type": "card", "card": {"token": "tok_chargeCustomerFail"}, "billing_details": {"email": "a@example.com"}}
    )
    form = {"payment_method": method.id, "expected_amount": "3000"}
    assert shop.http("POST", f"/v1/payment_pages/{session.id}/confirm", data=form).status_code == 402
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"

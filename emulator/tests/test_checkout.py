"""
The Checkout page.

[DOC] docs.stripe.com/changelog/basil/2025-03-31/checkout-legacy-subscription-upgrade: subscription and invoice exist
only after the payment; [DOC] docs.stripe.com/testing: the cards.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import DECLINED, NEEDS_3DS, SUCCESS, Shop, period
from stripe_emulator import Emulator


def test_a_session_opens_with_a_url_and_nothing_else_exists(shop: Shop) -> None:
    customer, price = shop.customer(card=None), shop.price()
    seen = shop.seen()
    session = shop.session(price.id, customer=customer.id, client_reference_id="team_7", metadata={"plan": "pro"})
    assert (session.status, session.payment_status, session.ui_mode) == ("open", "unpaid", "hosted_page")
    assert session.url == f"{shop.emulator.url}/c/pay/{session.id}"
    assert session.subscription is None
    assert session.amount_total == 3000
    assert shop.types_since(seen) == []


def test_paying_makes_the_subscription_and_its_paid_invoice(shop: Shop) -> None:
    """[INF from LOG+DOC] the order of events is the default one; nobody may rely on it."""
    customer, price = shop.customer(card=None), shop.price()
    session = shop.session(price.id, customer=customer.id, subscription_data={"metadata": {"team": "7"}})
    seen = shop.seen()
    answer = shop.pay(session.id)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"http://shop.test/done?session_id={session.id}"
    assert [type for type in shop.types_since(seen) if type != "customer.updated"] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "payment_method.attached",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "checkout.session.completed",
    ]
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice"]})
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    subscription = done.subscription
    assert isinstance(subscription, stripe.Subscription)
    assert subscription.status == "active"
    assert subscription.metadata.to_dict() == {"team": "7"}
    assert subscription.default_payment_method is not None
    assert subscription.billing_mode.type == "flexible"
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == ("paid", 3000, "subscription_create")
    assert done.invoice == invoice.id
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.subscription == subscription.id


def test_removed_fields_are_not_there(shop: Shop) -> None:
    """Periods moved to the items, invoices lost `subscription`, `charge` and `paid` [DOC changelog basil]."""
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    shop.pay(session.id)
    subscription = shop.api.subscriptions.list().data[0]
    assert "current_period_end" not in subscription
    assert period(subscription)[1] > period(subscription)[0]
    invoice = shop.api.invoices.list().data[0]
    for gone in ("subscription", "charge", "payment_intent", "paid"):
        assert gone not in invoice


def test_a_decline_is_shown_and_leaves_the_session_open_and_nothing_behind(shop: Shop) -> None:
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    seen = shop.seen()
    answer = shop.pay(session.id, DECLINED)
    page = shop.pages.get(answer.headers["Location"]) if answer.is_redirect else answer
    assert "Your card was declined." in page.text
    assert shop.types_since(seen) == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    assert shop.api.subscriptions.list({"status": "all"}).data == []
    assert shop.api.invoices.list().data == []
    shop.pay(session.id)
    assert shop.api.checkout.sessions.retrieve(session.id).status == "complete"
    assert len(shop.emulator.events("payment_intent.created")) == 1


def test_the_page_leads_back_to_where_the_customer_came_from(shop: Shop) -> None:
    """docs.stripe.com/api/checkout/sessions/create#create_checkout_session-cancel_url: a back button if it is set."""
    session = shop.session(shop.price().id)
    assert 'href="http://shop.test/pricing"' in shop.pages.get(f"/c/pay/{session.id}").text
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"


def test_the_page_needs_an_address(shop: Shop) -> None:
    """docs.stripe.com/payments/checkout/customization/behavior: the e-mail is asked for unless it is known."""
    session = shop.session(shop.price().id)
    for wrong in ("", "jenny", "jenny@"):
        answer = shop.pay(session.id, email=wrong)
        assert "email" in shop.pages.get(answer.headers["Location"]).text.lower()
        assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    assert shop.emulator.events("payment_intent.created") == []
    known = shop.session(shop.price().id, customer_email="known@example.com")
    shop.pay(known.id, email="")
    done = shop.api.checkout.sessions.retrieve(known.id)
    assert done.customer_details is not None
    assert done.customer_details.email == "known@example.com"


def test_3ds_leads_through_a_challenge(shop: Shop) -> None:
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    challenge = shop.pay(session.id, NEEDS_3DS).headers["Location"]
    assert challenge.startswith("/c/3ds/")
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    assert shop.emulator.events("payment_intent.requires_action")
    done = shop.pages.post(challenge, data={"answer": "complete"})
    assert done.headers["Location"] == f"http://shop.test/done?session_id={session.id}"
    assert shop.api.checkout.sessions.retrieve(session.id).status == "complete"


def test_a_failed_challenge_leads_back_to_the_open_page(shop: Shop) -> None:
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    challenge = shop.pay(session.id, NEEDS_3DS).headers["Location"]
    back = shop.pages.post(challenge, data={"answer": "fail"}, follow_redirects=True)
    assert "unable to authenticate" in back.text
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    assert shop.api.subscriptions.list({"status": "all"}).data == []
    shop.pay(session.id)
    assert shop.api.checkout.sessions.retrieve(session.id).status == "complete"


def test_a_card_may_pass_the_challenge_and_be_declined(shop: Shop) -> None:
    """[DOC testing] 4000008400001629."""
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    challenge = shop.pay(session.id, "4000008400001629").headers["Location"]
    back = shop.pages.post(challenge, data={"answer": "complete"}, follow_redirects=True)
    assert "Your card was declined." in back.text
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"


def test_a_session_is_completed_once(shop: Shop) -> None:
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    shop.pay(session.id)
    shop.pay(session.id)
    assert len(shop.api.subscriptions.list().data) == 1


def test_a_customer_is_made_only_when_the_payment_succeeded(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    shop.pay(session.id, DECLINED, email="new@example.com")
    assert shop.api.customers.list().data == []
    shop.pay(session.id, email="new@example.com")
    customer = shop.api.customers.list().data[0]
    assert (customer.email, customer.name) == ("new@example.com", "Jenny Rosen")
    done = shop.api.checkout.sessions.retrieve(session.id)
    assert done.customer == customer.id
    assert done.customer_details is not None
    assert done.customer_details.email == "new@example.com"


def test_the_email_of_an_existing_customer_wins(shop: Shop) -> None:
    customer = shop.customer(card=None)
    session = shop.session(shop.price().id, customer=customer.id)
    shop.pay(session.id, email="other@example.com")
    assert shop.api.customers.retrieve(customer.id).email == "jenny@example.com"


def test_an_open_session_expires_after_a_day(shop: Shop, emulator: Emulator) -> None:
    session = shop.session(shop.price().id)
    emulator.advance(days=1.01)
    expired = shop.api.checkout.sessions.retrieve(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    event = shop.last_event("checkout.session.expired")
    assert event["created"] == session.expires_at
    shop.pay(session.id)
    assert shop.api.subscriptions.list().data == []


def test_a_session_can_be_expired_by_hand_but_once(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    assert shop.api.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.checkout.sessions.expire(session.id)


def test_a_trial_with_a_card_saves_it_and_charges_nothing(shop: Shop) -> None:
    """[REC] a trialing subscription comes with a paid invoice of zero."""
    session = shop.session(
        shop.price().id, customer=shop.customer(card=None).id, subscription_data={"trial_period_days": 14}
    )
    seen = shop.seen()
    shop.pay(session.id)
    assert [type for type in shop.types_since(seen) if type != "customer.updated"] == [
        "setup_intent.created",
        "setup_intent.succeeded",
        "payment_method.attached",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "customer.subscription.created",
        "checkout.session.completed",
    ]
    subscription = shop.api.subscriptions.list({"expand": ["data.latest_invoice"]}).data[0]
    assert subscription.status == "trialing"
    assert subscription.trial_end == period(subscription)[1]
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.total) == ("paid", 0)
    assert invoice.lines.data[0].description == "Free trial for 1 × Pro"


def test_a_trial_without_a_card_asks_for_none(shop: Shop) -> None:
    session = shop.session(
        shop.price().id,
        customer=shop.customer(card=None).id,
        payment_method_collection="if_required",
        subscription_data={
            "trial_period_days": 14,
            "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
        },
    )
    assert "cardNumber" not in shop.pages.get(f"/c/pay/{session.id}").text
    assert shop.pay(session.id, None).status_code == 303
    subscription = shop.api.subscriptions.list().data[0]
    assert (subscription.status, subscription.default_payment_method) == ("trialing", None)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000009995", "insufficient_funds"),
        ("4000000000009987", "lost_card"),
        ("4000000000000069", "expired_card"),
        ("4000000000000127", "incorrect_cvc"),
        ("4000000000000119", "processing_error"),
    ],
)
def test_each_declining_card_says_why(shop: Shop, number: str, code: str) -> None:
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    shop.pay(session.id, number)
    error = shop.last_event("payment_intent.payment_failed")["data"]["object"]["last_payment_error"]
    assert code in (error["code"], error["decline_code"])


def test_a_card_that_fails_only_later_is_declined_here_too(shop: Shop) -> None:
    """[DOC testing] 4000000000000341 attaches; charging it fails."""
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id)
    shop.pay(session.id, "4000000000000341")
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    trial = shop.session(
        shop.price().id, customer=shop.customer(card=None).id, subscription_data={"trial_period_days": 3}
    )
    shop.pay(trial.id, "4000000000000341")
    assert shop.api.checkout.sessions.retrieve(trial.id).status == "complete"


def test_a_payment_and_a_setup_leave_what_they_are_for(shop: Shop) -> None:
    product = shop.api.products.create({"name": "Book"}).id
    price = shop.api.prices.create({"product": product, "currency": "usd", "unit_amount": 900})
    paid = shop.api.checkout.sessions.create(
        {"mode": "payment", "line_items": [{"price": price.id, "quantity": 2}], "success_url": "http://shop.test/"}
    )
    shop.pay(paid.id)
    done = shop.api.checkout.sessions.retrieve(paid.id, {"expand": ["payment_intent"]})
    assert isinstance(done.payment_intent, stripe.PaymentIntent)
    assert (done.payment_intent.status, done.payment_intent.amount_received) == ("succeeded", 1800)
    customer = shop.customer(card=None)
    saved = shop.api.checkout.sessions.create(
        {"mode": "setup", "currency": "usd", "customer": customer.id, "success_url": "http://shop.test/"}
    )
    shop.pay(saved.id)
    assert len(shop.api.payment_methods.list({"customer": customer.id}).data) == 1


def test_a_single_payment_keeps_the_card_only_when_asked(shop: Shop) -> None:
    """docs.stripe.com/api/checkout/sessions/create, payment_intent_data[setup_future_usage]: attached to a customer."""
    price = shop.api.prices.create(
        {"product": shop.api.products.create({"name": "Book"}).id, "currency": "usd", "unit_amount": 900}
    )
    customer = shop.customer(card=None)
    line: Any = [{"price": price.id, "quantity": 1}]
    plain: Any = {"mode": "payment", "line_items": line, "success_url": "http://shop.test/"}
    paid: Any = {**plain, "customer": customer.id}
    shop.pay(shop.api.checkout.sessions.create(paid).id)
    assert shop.api.payment_methods.list({"customer": customer.id}).data == []
    kept: Any = {**plain, "payment_intent_data": {"setup_future_usage": "off_session", "description": "A book"}}
    session = shop.api.checkout.sessions.create(kept)
    shop.pay(session.id, email="new@example.com")
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert isinstance(done.payment_intent, stripe.PaymentIntent)
    assert (done.payment_intent.setup_future_usage, done.payment_intent.description) == ("off_session", "A book")
    assert done.customer is not None
    assert len(shop.api.payment_methods.list({"customer": str(done.customer)}).data) == 1


def test_contradictions_are_refused(shop: Shop) -> None:
    price, customer = shop.price(), shop.customer(card=None)
    wrong: list[dict[str, Any]] = [
        {"customer": customer.id, "customer_email": "a@example.com"},
        {"mode": "payment"},
        {"line_items": []},
        {"line_items": [{"price": price.id}]},
        {"ui_mode": "embedded_page"},
        {"success_url": "not a url"},
        {"subscription_data": {"trial_period_days": 0}},
        {"expires_at": 5},
        {"customer_update": {"address": "auto"}},
        {"customer": customer.id, "automatic_tax": {"enabled": True}},
        {"customer": customer.id, "tax_id_collection": {"enabled": True}, "customer_update": {"address": "auto"}},
    ]
    for more in wrong:
        with pytest.raises(stripe.InvalidRequestError):
            shop.session(price.id, **more)


@pytest.mark.parametrize("ui_mode", ["embedded_page", "elements"])
def test_a_form_on_the_merchants_own_page_has_a_secret_and_leads_back(shop: Shop, ui_mode: Any) -> None:
    """[DOC payments/checkout/custom-success-page] No address of Stripe's; the client secret makes the form."""
    sent: Any = {
        "mode": "subscription",
        "ui_mode": ui_mode,
        "line_items": [{"price": shop.price().id, "quantity": 1}],
        "return_url": "https://shop.test/back?session={CHECKOUT_SESSION_ID}",
    }
    session = shop.api.checkout.sessions.create(sent)
    assert (session.ui_mode, session.url, session.success_url) == (ui_mode, None, None)
    assert str(session.client_secret).startswith(f"{session.id}_secret_")
    assert shop.pay(session.id).headers["location"] == f"https://shop.test/back?session={session.id}"
    done = shop.api.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status) == ("complete", "paid")


@pytest.mark.parametrize(
    ("ui_mode", "terms", "param"),
    [
        ("hosted_page", {}, "success_url"),
        ("hosted_page", {"success_url": SUCCESS, "return_url": SUCCESS}, "return_url"),
        ("embedded_page", {}, "return_url"),
        ("embedded_page", {"return_url": SUCCESS, "cancel_url": SUCCESS}, "cancel_url"),
        ("embedded_page", {"return_url": SUCCESS, "redirect_on_completion": "never"}, "return_url"),
        ("elements", {"success_url": SUCCESS}, "success_url"),
    ],
)
def test_each_ui_mode_has_its_own_addresses(shop: Shop, ui_mode: Any, terms: Any, param: str) -> None:
    """[DOC api/checkout/sessions/create]"""
    items: Any = [{"price": shop.price().id, "quantity": 1}]
    sent: Any = {"mode": "subscription", "ui_mode": ui_mode, "line_items": items, **terms}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.checkout.sessions.create(sent)
    assert caught.value.param == param


def test_a_form_may_lead_nowhere(shop: Shop) -> None:
    """[DOC payments/checkout/custom-success-page] `redirect_on_completion=never`."""
    sent: Any = {
        "mode": "subscription",
        "ui_mode": "embedded_page",
        "redirect_on_completion": "never",
        "line_items": [{"price": shop.price().id, "quantity": 1}],
    }
    session = shop.api.checkout.sessions.create(sent)
    assert f"/c/pay/{session.id}" in shop.pay(session.id).headers["location"]
    assert "all set" in shop.pages.get(f"/c/pay/{session.id}").text

"""
Checkout with a bank account: complete and unpaid until the bank has answered.

[DOC] docs.stripe.com/checkout/fulfillment#delayed-notification.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from emulator.tests.shop import KEY, SUCCESS, Shop
from stripe_emulator import Emulator, Settings

BOTH: Any = {"allowed_payment_method_types": ["card", "us_bank_account"]}
SHORT = "000222222227"


@contextmanager
def a_shop(**how: Any) -> Iterator[Shop]:
    """A shop at an emulator of its own."""
    with Emulator(**how) as emulator:
        shop = Shop(emulator)
        try:
            yield shop
        finally:
            shop.pages.close()


def buy(shop: Shop, **more: Any) -> stripe.checkout.Session:
    """A Checkout session for one thing."""
    line: Any = {"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 900, "product_data": {"name": "Book"}}}
    sent: Any = {"mode": "payment", "line_items": [line], "success_url": SUCCESS, **BOTH, **more}
    return shop.api.checkout.sessions.create(sent)


def test_checkout_is_complete_and_unpaid_until_the_bank_has_paid(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/checkout/fulfillment: completed with payment_status unpaid, then async_payment_succeeded."""
    session = buy(shop)
    assert session.payment_method_types == ["card", "us_bank_account"]
    answer = shop.debit(session.id)
    assert answer.headers["Location"] == f"http://shop.test/done?session_id={session.id}"
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (done.status, done.payment_status) == ("complete", "unpaid")
    assert isinstance(done.payment_intent, stripe.PaymentIntent)
    assert done.payment_intent.status == "processing"
    assert shop.types_since() == [
        "product.created",
        "price.created",
        "payment_intent.created",
        "charge.pending",
        "payment_intent.processing",
        "checkout.session.completed",
    ]
    assert shop.last_event("checkout.session.completed")["data"]["object"]["payment_status"] == "unpaid"
    seen = shop.seen()
    emulator.advance(days=4)
    assert shop.types_since(seen) == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.async_payment_succeeded",
    ]
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_checkout_stays_complete_and_unpaid_when_the_bank_refuses(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/checkout/fulfillment: async_payment_failed."""
    session = buy(shop)
    shop.debit(session.id, SHORT)
    seen = shop.seen()
    emulator.advance(days=4)
    assert shop.types_since(seen) == [
        "charge.failed",
        "payment_intent.payment_failed",
        "checkout.session.async_payment_failed",
    ]
    done = shop.api.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status) == ("complete", "unpaid")


def test_the_page_offers_a_card_beside_the_account(shop: Shop) -> None:
    session = buy(shop)
    page = shop.pages.get(f"/c/pay/{session.id}").text
    assert "Bank account" in page
    assert "accountNumber" in page
    shop.pay(session.id)
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_the_page_says_what_is_wrong_with_an_account(shop: Shop) -> None:
    session = buy(shop)
    form = {"email": "jenny@example.com", "paymentMethodType": "us_bank_account", "accountHolder": "Jenny"}
    empty = shop.pages.post(f"/c/pay/{session.id}", data=form, follow_redirects=True)
    assert "Enter the account number." in empty.text
    wrong = {**form, "routingNumber": "110000000", "accountNumber": "123123123"}
    answer = shop.pages.post(f"/c/pay/{session.id}", data=wrong, follow_redirects=True)
    assert "test bank account number" in answer.text
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"


def test_a_session_offers_what_takes_its_currency(shop: Shop) -> None:
    """[DOC] allowed_payment_method_types filters what is eligible; payment_method_types is gone since endive."""
    euro: Any = {"quantity": 1, "price_data": {"currency": "eur", "unit_amount": 900, "product_data": {"name": "Book"}}}
    both: Any = ["card", "us_bank_account", "sepa_debit"]
    assert buy(shop, line_items=[euro], allowed_payment_method_types=both).payment_method_types == [
        "card",
        "sepa_debit",
    ]
    with pytest.raises(stripe.InvalidRequestError):
        buy(shop, line_items=[euro], allowed_payment_method_types=["us_bank_account"])
    form = {"mode": "setup", "currency": "usd", "success_url": "http://a.test", "payment_method_types[0]": "card"}
    refused = shop.http(
        "POST", "/v1/checkout/sessions", data=form, headers={"Stripe-Version": stripe.api_version}
    ).json()["error"]
    assert refused["code"] == "payment_method_types_no_longer_supported"


def test_sepa_is_taken_by_iban(shop: Shop, emulator: Emulator) -> None:
    euro: Any = {"quantity": 1, "price_data": {"currency": "eur", "unit_amount": 900, "product_data": {"name": "Book"}}}
    session = buy(shop, line_items=[euro], allowed_payment_method_types=["sepa_debit"])
    shop.debit(session.id, "AT61 1904 3002 3457 3201")
    emulator.advance(days=4)
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_the_undocumented_calls_take_an_account_only_where_it_is_offered(shop: Shop) -> None:
    """As the Stripe CLI completes a session."""
    confirm = {"payment_method": "pm_usBankAccount_success", "expected_amount": "900"}
    session, card_only = buy(shop), buy(shop, allowed_payment_method_types=["card"])
    refused = shop.http("POST", f"/v1/payment_pages/{card_only.id}/confirm", data=confirm)
    assert refused.json()["error"]["code"] == "payment_intent_incompatible_payment_method"
    assert (
        shop.http("POST", f"/v1/payment_pages/{session.id}/confirm", data=confirm).json()["payment_status"] == "unpaid"
    )


def test_checkout_begins_a_subscription_before_the_money_is_there(shop: Shop, emulator: Emulator) -> None:
    """[DOC] active at once, its payment processing; then the invoice is paid and the session too."""
    customer = shop.customer(card=None)
    session = shop.session(shop.price().id, customer=customer.id, **BOTH)
    shop.debit(session.id)
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "invoice"]})
    assert (done.status, done.payment_status) == ("complete", "unpaid")
    assert isinstance(done.subscription, stripe.Subscription)
    assert isinstance(done.invoice, stripe.Invoice)
    assert (done.subscription.status, done.invoice.status, done.invoice.attempted) == ("active", "open", True)
    assert shop.api.customers.retrieve(customer.id).delinquent is False
    assert "invoice.paid" not in shop.types_since()
    seen = shop.seen()
    emulator.advance(days=4)
    assert shop.types_since(seen) == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "checkout.session.async_payment_succeeded",
    ]
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_a_first_debit_that_fails_voids_its_invoice_and_the_subscription_stays(shop: Shop, emulator: Emulator) -> None:
    """[DOC] "If the payment fails later, Stripe voids the invoice but the subscription remains active"."""
    session = shop.session(shop.price().id, customer=shop.customer(card=None).id, **BOTH)
    shop.debit(session.id, SHORT)
    emulator.advance(days=4)
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "invoice"]})
    assert isinstance(done.subscription, stripe.Subscription)
    assert isinstance(done.invoice, stripe.Invoice)
    assert (done.subscription.status, done.invoice.status, done.payment_status) == ("active", "void", "unpaid")
    types = shop.types_since()
    assert types[-1] == "checkout.session.async_payment_failed"
    assert {"invoice.payment_failed", "invoice.voided"} <= set(types)


def test_setup_mode_saves_an_account(shop: Shop) -> None:
    customer = shop.customer(card=None)
    sent: Any = {"mode": "setup", "currency": "usd", "customer": customer.id, "success_url": SUCCESS, **BOTH}
    session = shop.api.checkout.sessions.create(sent)
    shop.debit(session.id)
    done = shop.api.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status) == ("complete", "no_payment_required")
    assert shop.api.payment_methods.list({"customer": customer.id}).data[0].type == "us_bank_account"


def test_a_debit_outlives_a_restart(tmp_path: Path) -> None:
    """The bank's answer is owed by the state file, not by the process."""
    state = tmp_path / "stripe.db"
    with a_shop(state=state) as before:
        session = buy(before)
        before.debit(session.id)
    with a_shop(state=state) as after:
        after.emulator.advance(days=4)
        assert after.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_the_bank_may_answer_sooner_by_a_setting() -> None:
    with a_shop(settings=Settings(debit_settles_after=60)) as shop:
        session = buy(shop)
        shop.debit(session.id)
        shop.emulator.advance(seconds=60)
        assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_the_account_may_offer_debits_without_being_asked() -> None:
    """[DOC] dynamic payment methods: what is turned on and takes the currency, less what is excluded."""
    with a_shop(settings=Settings(payment_method_types=("card", "us_bank_account", "sepa_debit"))) as shop:
        price = shop.price().id
        assert shop.session(price).payment_method_types == ["card", "us_bank_account"]
        assert shop.session(price, excluded_payment_method_types=["card"]).payment_method_types == ["us_bank_account"]


def test_the_command_says_what_is_offered_and_when_banks_answer() -> None:
    command = [sys.executable, "-m", "stripe_emulator", "--port", "0", "--payment-methods", "card,us_bank_account"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    run = [*command, "--debit-days", "0.5"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        api = stripe.StripeClient(KEY, base_addresses={"api": found[0]}, max_network_retries=5).v1
        try:
            sent: Any = {
                "amount": 900,
                "currency": "usd",
                "payment_method": "pm_usBankAccount_success",
                "confirm": True,
            }
            intent = api.payment_intents.create(sent)
            line: Any = {
                "price_data": {"currency": "usd", "unit_amount": 1, "product_data": {"name": "A"}},
                "quantity": 1,
            }
            session: Any = {"mode": "payment", "line_items": [line], "success_url": SUCCESS}
            assert api.checkout.sessions.create(session).payment_method_types == ["card", "us_bank_account"]
            httpx.post(f"{found[0]}/_emulator/clock/advance", data={"days": "0.5"}, trust_env=False)
            assert api.payment_intents.retrieve(intent.id).status == "succeeded"
        finally:
            process.terminate()
    wrong = [sys.executable, "-m", "stripe_emulator", "--port", "0", "--payment-methods", "cash"]
    assert subprocess.run(wrong, capture_output=True, timeout=30, check=False).returncode == 2

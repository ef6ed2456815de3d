"""
Payments by debit of a bank account, whose bank answers days later.

[DOC] docs.stripe.com/payments/ach-direct-debit, /payments/sepa-debit, /checkout/fulfillment#delayed-notification,
/billing/subscriptions/overview#delayed-payment-confirmation, and /testing#non-card-payments for the accounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import stripe

from emulator.tests.shop import SUCCESS, Shop
from emulator.tests.support.waiting import eventually
from stripe_emulator import Emulator, Settings
from stripe_emulator.bank_accounts import ACCOUNTS, NAMES

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


def subscriber(shop: Shop, method: str) -> stripe.Customer:
    """A customer whose default is a bank account."""
    customer = shop.customer(card=None)
    shop.give_card(customer.id, method)
    return customer


def test_an_account_is_attached_listed_and_detached(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/object: the fields of us_bank_account."""
    customer = shop.customer(card=None)
    method = shop.api.payment_methods.attach("pm_usBankAccount_success", {"customer": customer.id})
    assert method.type == "us_bank_account"
    assert method.us_bank_account is not None
    assert (method.us_bank_account.last4, method.us_bank_account.routing_number) == ("6789", "110000000")
    assert (method.us_bank_account.bank_name, method.us_bank_account.account_type) == ("STRIPE TEST BANK", "checking")
    assert [one.id for one in shop.api.payment_methods.list({"customer": customer.id, "type": "us_bank_account"}).data]
    assert shop.api.payment_methods.list({"customer": customer.id, "type": "card"}).data == []
    changed = shop.api.payment_methods.update(method.id, {"us_bank_account": {"account_holder_type": "company"}})
    assert changed.us_bank_account is not None
    assert changed.us_bank_account.account_holder_type == "company"
    assert shop.api.payment_methods.detach(method.id).customer is None


def test_an_account_is_made_of_its_numbers(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/create: the holder's name is needed, an e-mail too for SEPA."""
    us: Any = {"account_number": "000123456789", "routing_number": "110000000", "account_holder_type": "individual"}
    named: Any = {"name": "Jenny Rosen", "email": "jenny@example.com"}
    made = shop.api.payment_methods.create({"type": "us_bank_account", "us_bank_account": us, "billing_details": named})
    assert made.us_bank_account is not None
    sepa = shop.api.payment_methods.create(
        {"type": "sepa_debit", "sepa_debit": {"iban": "DE89 3704 0044 0532 0130 00"}, "billing_details": named}
    )
    assert sepa.sepa_debit is not None
    assert (sepa.sepa_debit.country, sepa.sepa_debit.last4) == ("DE", "3000")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_methods.create({"type": "us_bank_account", "us_bank_account": us})
    assert caught.value.param == "billing_details[name]"


@pytest.mark.parametrize(
    ("iban", "code"),
    [
        ("AT271904300000055555", "sepa_unsupported_account"),
        ("AT511904300000066666", "bank_account_unusable"),
        ("DE02120300000000202051", "account_number_invalid"),
    ],
)
def test_an_account_that_cannot_be_debited_is_refused_at_once(shop: Shop, iban: str, code: str) -> None:
    """docs.stripe.com/testing: making the payment method fails; a real account has no place in test mode."""
    named: Any = {"name": "Jenny Rosen", "email": "jenny@example.com"}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_methods.create({"type": "sepa_debit", "sepa_debit": {"iban": iban}, "billing_details": named})
    assert caught.value.code == code


@pytest.mark.parametrize("name", list(NAMES))
def test_each_named_account_ends_as_it_should(shop: Shop, emulator: Emulator, name: str) -> None:
    """docs.stripe.com/testing#non-card-payments: processing, then what the account's name says."""
    account = ACCOUNTS[NAMES[name]]
    currency = "usd" if account.type == "us_bank_account" else "eur"
    sent: Any = {"amount": 2000, "currency": currency, "payment_method": name, "confirm": True}
    if account.at_once:
        with pytest.raises(stripe.CardError):
            shop.api.payment_intents.create(sent)
        return
    intent = shop.api.payment_intents.create(sent)
    assert intent.status == "processing"
    emulator.advance(days=4)
    early = shop.api.payment_intents.retrieve(intent.id).status
    emulator.advance(seconds=180)
    done = shop.api.payment_intents.retrieve(intent.id)
    assert early == ("processing" if account.delayed else done.status)
    if account.never:
        assert done.status == "processing"
    elif account.failure is not None:
        assert done.status == "requires_payment_method"
        assert done.last_payment_error is not None
        assert done.last_payment_error.code == account.failure.code
    else:
        assert (done.status, done.amount_received) == ("succeeded", 2000)
        assert len(shop.api.disputes.list().data) == int(account.disputed)


def test_a_pending_charge_is_captured_but_not_paid(shop: Shop, emulator: Emulator) -> None:
    """[REC] of a us_bank_account payment being processed: charge `py_…`, captured, not paid, no outcome."""
    intent = shop.api.payment_intents.create(
        {"amount": 2000, "currency": "usd", "payment_method": "pm_usBankAccount_success", "confirm": True}
    )
    charge = shop.api.charges.retrieve(str(intent.latest_charge))
    assert charge.id.startswith("py_")
    assert (charge.status, charge.captured, charge.amount_captured, charge.paid) == ("pending", True, 2000, False)
    assert (charge.outcome, intent.processing) == (None, None)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.refunds.create({"charge": charge.id})
    assert shop.types_since() == ["payment_intent.created", "charge.pending", "payment_intent.processing"]
    emulator.advance(days=4)
    assert shop.types_since()[-2:] == ["charge.succeeded", "payment_intent.succeeded"]
    assert shop.api.refunds.create({"charge": charge.id}).status == "succeeded"


def test_a_debit_can_be_given_up_while_it_is_processed(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/testing: 000000000009 is there to test canceling."""
    intent = shop.api.payment_intents.create(
        {"amount": 2000, "currency": "usd", "payment_method": "pm_usBankAccount_processing", "confirm": True}
    )
    assert shop.api.payment_intents.cancel(intent.id).status == "canceled"
    emulator.advance(days=5)
    assert shop.api.charges.retrieve(str(intent.latest_charge)).status == "failed"


def test_a_dispute_of_a_debit_is_final(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/payments/ach-direct-debit#disputed-payments: there is no appeal."""
    sent: Any = {"amount": 2000, "currency": "usd", "payment_method": "pm_usBankAccount_dispute", "confirm": True}
    shop.api.payment_intents.create(sent)
    emulator.advance(days=4)
    [dispute] = shop.api.disputes.list().data
    assert (dispute.status, dispute.reason) == ("lost", "debit_not_authorized")


def test_an_account_takes_one_currency(shop: Shop) -> None:
    """docs.stripe.com/payments/ach-direct-debit: usd alone."""
    sent: Any = {"amount": 2000, "currency": "eur", "payment_method": "pm_usBankAccount_success", "confirm": True}
    with pytest.raises(stripe.CardError) as caught:
        shop.api.payment_intents.create(sent)
    assert caught.value.code == "payment_method_currency_mismatch"


def test_a_setup_intent_saves_an_account(shop: Shop) -> None:
    """docs.stripe.com/payments/ach-direct-debit/set-up-payment"""
    customer = shop.customer(card=None)
    sent: Any = {"customer": customer.id, "payment_method": "pm_usBankAccount_success", "confirm": True}
    assert shop.api.setup_intents.create(sent).status == "succeeded"
    assert shop.api.customers.payment_methods.list(customer.id).data[0].type == "us_bank_account"


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


@pytest.mark.parametrize("behavior", ["allow_incomplete", "error_if_incomplete"])
def test_a_subscription_by_the_api_is_active_while_its_debit_is_processed(shop: Shop, behavior: Any) -> None:
    """[DOC] billing/subscriptions/overview: with delayed methods subscriptions are immediately activated."""
    customer = subscriber(shop, "pm_usBankAccount_success")
    subscription = shop.subscribe(customer.id, shop.price().id, payment_behavior=behavior, expand=["latest_invoice"])
    assert subscription.status == "active"
    assert isinstance(subscription.latest_invoice, stripe.Invoice)
    assert subscription.latest_invoice.status == "open"
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.invoices.pay(subscription.latest_invoice.id)


def test_confirming_an_incomplete_ones_debit_makes_it_active(shop: Shop, emulator: Emulator) -> None:
    """[DOC] billing/subscriptions/ach-debit: default_incomplete, confirmed from the page."""
    customer = subscriber(shop, "pm_usBankAccount_success")
    subscription = shop.subscribe(
        customer.id,
        shop.price().id,
        payment_behavior="default_incomplete",
        expand=["latest_invoice.payments"],
    )
    assert subscription.status == "incomplete"
    assert isinstance(subscription.latest_invoice, stripe.Invoice)
    assert subscription.latest_invoice.payments is not None
    intent = subscription.latest_invoice.payments.data[0].payment.payment_intent
    shop.api.payment_intents.confirm(str(intent))
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    emulator.advance(days=2)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"


def test_a_renewal_is_processed_then_paid(shop: Shop, emulator: Emulator) -> None:
    """[DOC] invoices stay open while their payment is processed."""
    customer = subscriber(shop, "pm_usBankAccount_success")
    subscription = shop.subscribe(customer.id, shop.price().id)
    emulator.advance(days=5)
    emulator.advance(to="renewal")
    emulator.advance(seconds=3600)
    [renewal, _] = shop.api.invoices.list({"subscription": subscription.id}).data
    assert (renewal.status, renewal.attempted, renewal.next_payment_attempt) == ("open", True, None)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    assert shop.api.customers.retrieve(customer.id).delinquent is False
    emulator.advance(days=4)
    assert shop.api.invoices.retrieve(renewal.id).status == "paid"


def test_a_renewal_that_fails_is_past_due_and_tried_again(shop: Shop, emulator: Emulator) -> None:
    """[DOC] collection-method#failed-subscription-payments; a debit that lacked funds may be tried again."""
    customer = subscriber(shop, "pm_usBankAccount_success")
    subscription = shop.subscribe(customer.id, shop.price().id)
    emulator.advance(days=5)
    shop.give_card(customer.id, "pm_usBankAccount_insufficientFunds")
    emulator.advance(to="renewal")
    emulator.advance(days=4.1)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "past_due"
    assert shop.api.customers.retrieve(customer.id).delinquent is True
    [renewal, _] = shop.api.invoices.list({"subscription": subscription.id}).data
    assert renewal.attempt_count == 1
    assert renewal.next_payment_attempt is not None
    shop.give_card(customer.id, "pm_usBankAccount_success")
    emulator.advance(days=1)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "past_due"
    emulator.advance(days=4)
    assert shop.api.invoices.retrieve(renewal.id).status == "paid"
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    assert shop.api.customers.retrieve(customer.id).delinquent is False


def test_a_renewal_nobody_pays_ends_the_subscription(shop: Shop, emulator: Emulator) -> None:
    """After the last try has failed too, days after it was begun."""
    customer = subscriber(shop, "pm_usBankAccount_success")
    subscription = shop.subscribe(customer.id, shop.price().id)
    emulator.advance(days=5)
    shop.give_card(customer.id, "pm_usBankAccount_insufficientFunds")
    emulator.advance(to="renewal")
    emulator.advance(days=30)
    ended = shop.api.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.cancellation_details and ended.cancellation_details.reason) == (
        "canceled",
        "payment_failed",
    )


def test_setup_mode_saves_an_account(shop: Shop) -> None:
    customer = shop.customer(card=None)
    sent: Any = {"mode": "setup", "currency": "usd", "customer": customer.id, "success_url": SUCCESS, **BOTH}
    session = shop.api.checkout.sessions.create(sent)
    shop.debit(session.id)
    done = shop.api.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status) == ("complete", "no_payment_required")
    assert shop.api.payment_methods.list({"customer": customer.id}).data[0].type == "us_bank_account"


def test_the_pages_show_an_account_and_ask_for_nothing_twice(shop: Shop) -> None:
    """A hosted invoice that is being paid offers no button; the portal names the bank."""
    customer = subscriber(shop, "pm_usBankAccount_success")
    subscription = shop.subscribe(customer.id, shop.price().id, expand=["latest_invoice"])
    assert isinstance(subscription.latest_invoice, stripe.Invoice)
    page = shop.pages.get(str(subscription.latest_invoice.hosted_invoice_url))
    assert page.status_code == 200
    assert 'id="pay-invoice"' not in page.text
    portal = shop.pages.get(shop.portal(customer.id).url).text
    assert "Stripe Test Bank •••• 6789" in portal
    assert "Expires" not in portal


def test_a_debit_outlives_a_restart(tmp_path: Path) -> None:
    """The bank's answer is owed by the state file, not by the process."""
    state = tmp_path / "stripe.db"
    with a_shop(state=state) as before:
        session = buy(before)
        before.debit(session.id)
    with a_shop(state=state) as after:
        after.emulator.advance(days=4)
        assert after.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_a_clocks_debits_are_answered_by_its_time(shop: Shop) -> None:
    """docs.stripe.com/billing/testing/test-clocks: what is due on a clock happens on that clock alone."""
    clocks = shop.api.test_helpers.test_clocks
    clock = clocks.create({"frozen_time": 1_801_440_000})
    customer = shop.customer(card=None, clock=clock.id)
    shop.give_card(customer.id, "pm_usBankAccount_success")
    subscription = shop.subscribe(customer.id, shop.price().id)
    shop.emulator.advance(days=10)
    invoice = str(subscription.latest_invoice)
    assert shop.api.invoices.retrieve(invoice).status == "open"
    clocks.advance(clock.id, {"frozen_time": 1_801_440_000 + 4 * 86_400})
    eventually(lambda: clocks.retrieve(clock.id).status == "ready")
    assert shop.api.invoices.retrieve(invoice).status == "paid"


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

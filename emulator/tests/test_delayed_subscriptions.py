"""
Subscriptions paid by debits, whose bank answers days later.

[DOC] docs.stripe.com/billing/subscriptions/overview#delayed-payment-confirmation and /ach-debit.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop
from emulator.tests.support.waiting import eventually
from stripe_emulator import Emulator


def subscriber(shop: Shop, method: str) -> stripe.Customer:
    """A customer whose default is a bank account."""
    customer = shop.customer(card=None)
    shop.give_card(customer.id, method)
    return customer


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


def test_an_invoice_whose_bank_has_not_answered_is_neither_voided_nor_paid_again(shop: Shop) -> None:
    """Met by who voids a pending invoice: github.com/frappe/press/pull/2421."""
    customer = subscriber(shop, "pm_usBankAccount_success")
    subscription = shop.subscribe(customer.id, shop.price().id)
    invoice = str(subscription.latest_invoice)
    for again in (shop.api.invoices.void_invoice, shop.api.invoices.pay):
        with pytest.raises(stripe.InvalidRequestError):
            again(invoice)
    assert shop.api.invoices.retrieve(invoice).status == "open"


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

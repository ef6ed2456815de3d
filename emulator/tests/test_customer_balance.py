"""
The customer's balance and its ledger.

[DOC] docs.stripe.com/billing/customer/balance: negative is a credit; the next finalised invoice takes it up.
"""

from __future__ import annotations

import pytest
import stripe

from emulator.tests.shop import Shop


def entries(shop: Shop, customer: str) -> list[tuple[str, int, int]]:
    """What was entered, oldest first: type, amount, balance after it."""
    found = shop.api.customers.balance_transactions.list(customer).data
    return [(entry.type, entry.amount, entry.ending_balance) for entry in reversed(found)]


def test_a_credit_lowers_the_next_invoices_until_it_is_gone(shop: Shop) -> None:
    """docs.stripe.com/api/customer_balance_transactions/object: types and signs."""
    customer = shop.customer().id
    seen = shop.seen()
    made = shop.api.customers.balance_transactions.create(
        customer, {"amount": -4000, "currency": "usd", "description": "Sorry"}
    )
    assert (made.type, made.ending_balance, made.description) == ("adjustment", -4000, "Sorry")
    assert shop.types_since(seen) == ["customer.updated"]
    price = shop.price(3000).id
    for _ in range(2):
        shop.subscribe(customer, price)
    second, first = shop.api.invoices.list({"customer": customer}).data
    assert (first.total, first.starting_balance, first.ending_balance, first.amount_due) == (3000, -4000, -1000, 0)
    assert (second.total, second.starting_balance, second.ending_balance, second.amount_due) == (3000, -1000, 0, 2000)
    assert entries(shop, customer) == [
        ("adjustment", -4000, -4000),
        ("applied_to_invoice", 3000, -1000),
        ("applied_to_invoice", 1000, 0),
    ]
    (used,) = shop.api.customers.balance_transactions.list(customer, {"invoice": second.id}).data
    assert (used.invoice, used.amount) == (second.id, 1000)


def test_a_debit_raises_the_next_invoice(shop: Shop) -> None:
    customer = shop.customer().id
    shop.api.customers.balance_transactions.create(customer, {"amount": 500, "currency": "usd"})
    shop.subscribe(customer, shop.price(3000).id)
    (invoice,) = shop.api.invoices.list({"customer": customer}).data
    assert (invoice.total, invoice.amount_paid) == (3000, 3500)
    assert entries(shop, customer)[-1] == ("applied_to_invoice", -500, 0)


def test_a_voided_invoice_gives_the_credit_back(shop: Shop) -> None:
    """docs.stripe.com/api/customer_balance_transactions/object: `unapplied_from_invoice`."""
    customer = shop.customer(card=None).id
    shop.api.customers.balance_transactions.create(customer, {"amount": -1000, "currency": "usd"})
    shop.subscribe(customer, shop.price(3000).id, payment_behavior="default_incomplete")
    (invoice,) = shop.api.invoices.list({"customer": customer}).data
    assert invoice.amount_due == 2000
    shop.api.invoices.void_invoice(invoice.id)
    assert shop.api.customers.retrieve(customer).balance == -1000
    assert entries(shop, customer)[-1] == ("unapplied_from_invoice", -1000, -1000)


def test_a_balance_set_on_the_customer_is_an_entry(shop: Shop) -> None:
    """docs.stripe.com/api/customers/update: setting the balance makes a transaction of the difference."""
    seen = shop.seen()
    customer = shop.api.customers.create({"balance": -300}).id
    shop.api.customers.update(customer, {"balance": 200})
    assert entries(shop, customer) == [("initial", -300, -300), ("adjustment", 500, 200)]
    assert shop.types_since(seen) == ["customer.created", "customer.updated"]


def test_an_entry_keeps_its_amount_and_changes_its_words(shop: Shop) -> None:
    customer, other = shop.customer().id, shop.customer().id
    ledger = shop.api.customers.balance_transactions
    made = ledger.create(customer, {"amount": -100, "currency": "usd"})
    changed = ledger.update(customer, made.id, {"description": "Thanks", "metadata": {"by": "ada"}})
    assert (changed.description, changed.amount) == ("Thanks", -100)
    assert ledger.retrieve(customer, made.id).description == "Thanks"
    with pytest.raises(stripe.InvalidRequestError):
        ledger.retrieve(other, made.id)
    with pytest.raises(stripe.InvalidRequestError):
        ledger.create(customer, {"amount": 0, "currency": "usd"})
    with pytest.raises(stripe.InvalidRequestError):
        ledger.create(customer, {"amount": -1, "currency": "eur"})

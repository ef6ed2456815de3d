"""
Payment methods by the API: made, attached, listed, changed, detached.

[DOC] docs.stripe.com/api/payment_methods; EMULATOR.md behaviour 9. What each test card does is in test_magic_values.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop

CARD: Any = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}


def make(shop: Shop, **more: Any) -> stripe.PaymentMethod:
    """A card that belongs to nobody yet."""
    sent: Any = {"type": "card", "card": CARD, **more}
    return shop.api.payment_methods.create(sent)


def test_a_card_is_made_of_its_number(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/create: nobody's yet; the number is never shown again."""
    method = make(shop, metadata={"k": "v"}, billing_details={"name": "Jenny", "address": {"country": "US"}})
    assert (method.type, method.customer, method.metadata and method.metadata["k"]) == ("card", None, "v")
    assert method.card is not None
    assert (method.card.last4, method.card.exp_month, method.card.exp_year) == ("4242", 12, 2040)
    assert (method.billing_details.name, method.billing_details.email) == ("Jenny", None)
    assert CARD["number"] not in str(shop.api.payment_methods.retrieve(method.id))


def test_two_of_one_number_have_one_fingerprint(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/object#payment_method_object-card-fingerprint"""
    first, second = make(shop).card, make(shop).card
    other = shop.api.payment_methods.create({"type": "card", "card": {"token": "tok_mastercard"}}).card
    assert first is not None
    assert second is not None
    assert other is not None
    assert first.fingerprint == second.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("card", "param"),
    [({"number": "4242424242424242"}, "card[exp_month]"), ({"exp_month": 1, "exp_year": 2040}, "card[number]")],
)
def test_a_card_needs_its_parts(shop: Shop, card: Any, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_methods.create({"type": "card", "card": card})
    assert (caught.value.code, caught.value.param) == ("parameter_missing", param)


def test_a_token_nobody_knows_is_none(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_methods.create({"type": "card", "card": {"token": "tok_nonsense"}})
    assert caught.value.code == "resource_missing"


def test_attaching_gives_it_to_one_customer(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/attach: payment_method.attached; never to a second one."""
    customer, method = shop.customer(card=None), make(shop)
    seen = shop.seen()
    assert shop.api.payment_methods.attach(method.id, {"customer": customer.id}).customer == customer.id
    assert shop.types_since(seen) == ["payment_method.attached"]
    assert shop.api.payment_methods.attach(method.id, {"customer": customer.id}).id == method.id
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.payment_methods.attach(method.id, {"customer": shop.customer(card=None).id})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_methods.attach("pm_card_visa", {"customer": "cus_unknown"})
    assert caught.value.code == "resource_missing"


def test_a_name_makes_a_new_one_each_time(shop: Shop) -> None:
    """[DOC] testing: `pm_card_visa` stands for a new payment method wherever it is used."""
    customer = shop.customer(card=None)
    first = shop.api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    second = shop.api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    assert first.id != second.id
    assert first.id.startswith("pm_")


def test_a_customers_are_listed_newest_first_and_by_type(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/customer_list"""
    customer = shop.customer(card=None)
    ids = [
        shop.api.payment_methods.attach(name, {"customer": customer.id}).id
        for name in ("pm_card_visa", "pm_card_amex", "pm_usBankAccount_success")
    ]
    assert [one.id for one in shop.api.customers.payment_methods.list(customer.id).data] == ids[::-1]
    cards = shop.api.payment_methods.list({"customer": customer.id, "type": "card"}).data
    assert [one.id for one in cards] == ids[1::-1]
    page = shop.api.customers.payment_methods.list(customer.id, {"limit": 1})
    assert (page.has_more, page.data[0].id) == (True, ids[2])
    assert shop.api.customers.payment_methods.retrieve(customer.id, ids[0]).id == ids[0]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.customers.payment_methods.retrieve(shop.customer(card=None).id, ids[0])
    assert caught.value.code == "resource_missing"


def test_what_can_change_changes(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/update: expiry, billing details, metadata; payment_method.updated."""
    customer = shop.customer()
    [method] = shop.api.payment_methods.list({"customer": customer.id}).data
    sent: Any = {"card": {"exp_month": 1, "exp_year": 2041}, "billing_details": {"name": "J"}, "metadata": {"k": "v"}}
    changed = shop.api.payment_methods.update(method.id, sent)
    assert changed.card is not None
    assert (changed.card.exp_month, changed.card.exp_year, changed.billing_details.name) == (1, 2041, "J")
    previous = shop.last_event("payment_method.updated")["data"]["previous_attributes"]
    assert set(previous) == {"card", "billing_details", "metadata"}
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.payment_methods.update(make(shop).id, {"metadata": {"k": "v"}})


def test_detaching_forgets_it_everywhere_and_for_good(shop: Shop) -> None:
    """docs.stripe.com/api/payment_methods/detach: can no longer be used, and is nobody's default."""
    customer = shop.customer(card=None)
    method = shop.give_card(customer.id, "pm_card_visa")
    subscription = shop.subscribe(customer.id, shop.price().id, default_payment_method=method)
    assert shop.api.payment_methods.detach(method).customer is None
    assert shop.last_event("payment_method.detached")["data"]["previous_attributes"] == {"customer": customer.id}
    settings = shop.api.customers.retrieve(customer.id).invoice_settings
    assert settings is not None
    assert settings.default_payment_method is None
    assert shop.api.subscriptions.retrieve(subscription.id).default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.payment_methods.attach(method, {"customer": customer.id})
    assert "may not be used again" in str(caught.value)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.payment_methods.detach(method)


def test_somebody_elses_card_is_refused_as_default(shop: Shop) -> None:
    """docs.stripe.com/api/subscriptions/create: it must belong to the customer."""
    owner, other = shop.customer(), shop.customer(card=None)
    [method] = shop.api.payment_methods.list({"customer": owner.id}).data
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe(other.id, shop.price().id, default_payment_method=method.id)
    assert caught.value.code == "resource_missing"


def test_a_subscriptions_own_default_wins(shop: Shop) -> None:
    """docs.stripe.com/billing/subscriptions/payment-methods-setting#payment-method-priority"""
    customer = shop.customer("pm_card_chargeCustomerFail")
    own = shop.api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    assert shop.subscribe(customer.id, shop.price().id, default_payment_method=own.id).status == "active"
    assert shop.subscribe(customer.id, shop.price().id).status == "incomplete"

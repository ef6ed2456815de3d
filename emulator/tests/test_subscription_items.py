"""Subscription items by their own calls. [DOC] docs.stripe.com/api/subscription_items; EMULATOR.md behaviour 13."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop
from stripe_emulator import Emulator

UPDATED = "customer.subscription.updated"


@pytest.fixture
def subscription(shop: Shop) -> stripe.Subscription:
    return shop.subscribe(shop.customer().id, shop.price().id)


def test_an_item_is_added_changed_and_taken_off(
    shop: Shop, emulator: Emulator, subscription: stripe.Subscription
) -> None:
    """Each is an update of the subscription, with its prorations pending."""
    extra = shop.price(500, name="Seats").id
    emulator.advance(days=10)
    seen = shop.seen()
    item = shop.api.subscription_items.create({"subscription": subscription.id, "price": extra, "quantity": 2})
    assert (item.price.id, item.quantity, item.subscription) == (extra, 2, subscription.id)
    assert shop.types_since(seen) == ["invoiceitem.created", UPDATED]
    seen = shop.seen()
    changed = shop.api.subscription_items.update(item.id, {"quantity": 5, "metadata": {"k": "v"}})
    assert (changed.quantity, changed.metadata["k"]) == (5, "v")
    assert shop.types_since(seen) == ["invoiceitem.created", "invoiceitem.created", UPDATED]
    listed = shop.api.subscription_items.list({"subscription": subscription.id}).data
    assert {one.id for one in listed} == {item.id, subscription["items"].data[0].id}
    seen = shop.seen()
    gone = shop.api.subscription_items.delete(item.id)
    assert (gone.id, gone.deleted) == (item.id, True)
    assert shop.types_since(seen) == ["invoiceitem.created", UPDATED]
    assert about_last_item(shop) < 0
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.subscription_items.retrieve(item.id)
    assert caught.value.code == "resource_missing"


def about_last_item(shop: Shop) -> int:
    """The amount of the latest invoice item."""
    amount: int = shop.last_event("invoiceitem.created")["data"]["object"]["amount"]
    return amount


def test_a_change_is_invoiced_and_paid_as_asked(
    shop: Shop, emulator: Emulator, subscription: stripe.Subscription
) -> None:
    """proration_behavior and payment_behavior as in an update of the subscription."""
    item = subscription["items"].data[0].id
    business = shop.price(10_000, name="Business").id
    sent: Any = {"price": business, "proration_behavior": "always_invoice", "payment_behavior": "error_if_incomplete"}
    emulator.decline_next(on_session=True)
    with pytest.raises(stripe.CardError):
        shop.api.subscription_items.update(item, sent)
    assert shop.api.subscription_items.retrieve(item).price.id != business
    assert shop.api.subscription_items.update(item, sent).price.id == business
    assert len(shop.api.invoices.list({"subscription": subscription.id}).data) == 2


def test_the_last_item_stays(shop: Shop, subscription: stripe.Subscription) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.subscription_items.delete(subscription["items"].data[0].id)


def test_what_is_wrong_is_named(shop: Shop, subscription: stripe.Subscription) -> None:
    """The parameter is named as this call has it."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.subscription_items.create({"subscription": subscription.id, "price": "price_unknown"})
    assert caught.value.param == "price"
    with pytest.raises(stripe.InvalidRequestError) as missing:
        shop.api.subscription_items.create({"subscription": subscription.id})
    assert missing.value.param == "price"


def test_the_first_ten_are_shown_and_the_rest_are_listed(shop: Shop) -> None:
    """[DOC] docs.stripe.com/api/pagination: a list inside an object is its first page."""
    prices = [{"price": shop.price(100 + number).id} for number in range(12)]
    subscription = shop.subscribe(shop.customer().id, prices[0]["price"], items=prices)
    assert (len(subscription["items"].data), subscription["items"].has_more) == (10, True)
    assert len(shop.api.subscription_items.list({"subscription": subscription.id, "limit": 100}).data) == 12

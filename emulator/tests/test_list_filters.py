"""
What lists can be narrowed by. [DOC] docs.stripe.com/api: customers/list, subscriptions/list, invoices/list and
events/list.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.receiver import Receiver
from emulator.tests.shop import Shop, period
from stripe_emulator import Emulator

DAY = 86_400


def subscriptions(shop: Shop, **wanted: Any) -> list[str]:
    return [found.id for found in shop.api.subscriptions.list(wanted).data]  # type: ignore[arg-type]  # by name


def invoices(shop: Shop, **wanted: Any) -> list[str]:
    return [found.id for found in shop.api.invoices.list(wanted).data]  # type: ignore[arg-type]  # by name


def events(shop: Shop, **wanted: Any) -> list[str]:
    return [found.type for found in shop.api.events.list(wanted).data]  # type: ignore[arg-type]  # by name


def test_customers_by_their_email_as_written(shop: Shop) -> None:
    jenny = shop.api.customers.create({"email": "Jenny@example.com"})
    shop.api.customers.create({"email": "other@example.com"})
    assert [one.id for one in shop.api.customers.list({"email": "Jenny@example.com"}).data] == [jenny.id]
    assert shop.api.customers.list({"email": "jenny@example.com"}).data == []


def test_customers_on_a_test_clock_are_listed_when_it_is_named(shop: Shop) -> None:
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000}).id
    timed, other = shop.customer(card=None, clock=clock), shop.customer(card=None)
    assert [one.id for one in shop.api.customers.list().data] == [other.id]
    assert [one.id for one in shop.api.customers.list({"test_clock": clock}).data] == [timed.id]


def test_bounds_on_a_list_of_nothing_find_nothing(shop: Shop) -> None:
    assert shop.api.customers.list({"created": {"gte": 1, "lt": 2}}).data == []
    assert subscriptions(shop, created={"gt": 1}, current_period_end={"gt": 1}, current_period_start=5) == []
    assert invoices(shop, created={"lte": 1}, due_date={"lt": 5}) == []


def test_subscriptions_by_status(shop: Shop) -> None:
    """canceled ones are left out unless asked for; `ended` are the canceled and the expired."""
    price = shop.price().id
    kept = shop.subscribe(shop.customer().id, price).id
    gone = shop.subscribe(shop.customer().id, price).id
    shop.api.subscriptions.cancel(gone)
    expired = shop.subscribe(shop.customer().id, price, payment_behavior="default_incomplete").id
    assert subscriptions(shop, status="incomplete") == [expired]
    shop.emulator.advance(days=1)
    assert subscriptions(shop) == [expired, kept]
    assert subscriptions(shop, status="all") == [expired, gone, kept]
    assert subscriptions(shop, status="ended") == [expired, gone]
    assert subscriptions(shop, status="canceled") == [gone]
    assert subscriptions(shop, status="active") == [kept]


def test_subscriptions_by_price_and_by_how_they_are_collected(shop: Shop) -> None:
    price = shop.price().id
    charged = shop.subscribe(shop.customer().id, price).id
    sent = shop.subscribe(
        shop.customer(None).id,
        shop.price().id,
        collection_method="send_invoice",
        days_until_due=7,
        automatic_tax={"enabled": True},
    ).id
    assert subscriptions(shop, price=price) == [charged]
    assert subscriptions(shop, plan=price) == [charged]
    assert subscriptions(shop, collection_method="send_invoice") == [sent]
    assert subscriptions(shop, automatic_tax={"enabled": False}) == [charged]


def test_subscriptions_by_when_they_begin_and_end(shop: Shop) -> None:
    price = shop.price().id
    early = shop.subscribe(shop.customer().id, price)
    shop.emulator.advance(days=3)
    late = shop.subscribe(shop.customer().id, price)
    (start, end), (late_start, late_end) = period(early), period(late)
    assert subscriptions(shop, created={"gt": early.created}) == [late.id]
    assert subscriptions(shop, current_period_end={"lt": late_end}) == [early.id]
    assert subscriptions(shop, current_period_end=end) == [early.id]
    assert subscriptions(shop, current_period_start={"gte": late_start, "lte": late_start}) == [late.id]
    assert subscriptions(shop, current_period_start={"lt": start}) == []


def test_invoices_by_what_they_are(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    paid = str(subscription.latest_invoice)
    other = shop.customer(None)
    draft = shop.api.invoices.create({"customer": other.id, "collection_method": "send_invoice", "days_until_due": 7})
    assert invoices(shop, status="paid") == [paid]
    assert invoices(shop, status="draft") == [draft.id]
    assert invoices(shop, customer=customer.id) == [paid]
    assert invoices(shop, subscription=subscription.id) == [paid]
    assert invoices(shop, collection_method="send_invoice") == [draft.id]
    assert invoices(shop, due_date={"gt": draft.created, "lte": draft.created + 7 * DAY}) == [draft.id]
    assert invoices(shop, due_date={"gt": draft.created + 7 * DAY}) == []
    assert invoices(shop, due_date=draft.due_date) == [draft.id]
    assert invoices(shop, created={"gte": draft.created + 1}) == []


@pytest.mark.parametrize(
    ("list_", "param"),
    [
        (subscriptions, "customer"),
        (subscriptions, "price"),
        (subscriptions, "plan"),
        (invoices, "customer"),
        (invoices, "subscription"),
    ],
)
def test_what_is_named_must_be_there(shop: Shop, list_: Any, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        list_(shop, **{param: "nobody"})
    assert (caught.value.code, caught.value.param) == ("resource_missing", param)


def test_events_by_type(shop: Shop) -> None:
    shop.customer(card=None)
    shop.api.products.create({"name": "Pro"})
    shop.api.products.update(shop.api.products.list().data[0].id, {"name": "Plus"})
    assert events(shop, type="product.created") == ["product.created"]
    assert events(shop, type="product.*") == ["product.updated", "product.created"]
    assert events(shop, types=["customer.created", "product.updated"]) == ["product.updated", "customer.created"]
    assert events(shop, types=["product.*"]) == []


@pytest.mark.parametrize(
    "wanted", [{"type": "product.created", "types": ["product.created"]}, {"types": ["product.created"] * 21}]
)
def test_events_by_type_or_by_up_to_twenty_types(shop: Shop, wanted: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.events.list(wanted)
    assert caught.value.param == "types"


def test_events_by_when_they_happened(shop: Shop, emulator: Emulator) -> None:
    shop.customer(card=None)
    emulator.advance(days=1)
    late = shop.api.products.create({"name": "Pro"}).created
    assert events(shop, created={"gte": late}) == ["product.created"]
    assert events(shop, created={"lt": late}) == ["customer.created"]


def test_events_by_whether_every_endpoint_took_them(shop: Shop, emulator: Emulator) -> None:
    """those still pending or given up are not delivered; those nobody listens to are."""
    with Receiver() as good, Receiver(lambda event, number: 500) as bad:
        emulator.add_endpoint(good.url)
        emulator.add_endpoint(bad.url, enabled_events=["product.created"])
        shop.customer(card=None)
        shop.api.products.create({"name": "Pro"})
        emulator.wait_for_deliveries(first_try=True)
        assert events(shop, delivery_success=True) == ["customer.created"]
        assert events(shop, delivery_success=False) == ["product.created"]
        assert [found.pending_webhooks for found in shop.api.events.list().data] == [1, 0]


def test_sending_one_again_does_not_count_for_another(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/api/events/object#event_object-pending_webhooks: those not successfully delivered yet."""
    with Receiver() as good, Receiver(lambda event, number: 500) as bad:
        emulator.add_endpoint(good.url)
        emulator.add_endpoint(bad.url)
        shop.customer(card=None)
        emulator.wait_for_deliveries(first_try=True)
        emulator.deliveries.resend(emulator.deliveries("delivered")[0]["id"])
        emulator.wait_for_deliveries(first_try=True)
        assert len(good.ids) == 2
        assert shop.api.events.list().data[0].pending_webhooks == 1
        assert events(shop, delivery_success=False) == ["customer.created"]

"""Products and prices: mirrored in any order, archived when they go, and never in the way of who pays for them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe as sdk
from sqlalchemy import delete, select

from paidup import Billing
from paidup.database.engine import Database
from paidup.database.tables import Base, OwnerMapping
from paidup.models import Customer, Invoice, Price, Product, Subscription, SubscriptionItem
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.host_app import HostApp
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"
MIRROR = (Customer, Invoice, Price, Product, Subscription, SubscriptionItem)
ORDERS = 15
"""Of the 120 there are; which, is drawn otherwise for each kind of database."""


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def billing(make_billing: MakeBilling) -> Billing:
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    return billing


@pytest.fixture
def database(billing: Billing) -> Iterator[Database]:
    database = Database(billing.settings.database_url.get_secret_value())
    yield database
    database.close()


def everything(database: Database) -> dict[str, Any]:
    """Every mirrored row, but for when it was fetched."""
    with database.read() as session:
        return {
            f"{model.__tablename__} {row.id}": {key: value for key, value in row._mapping.items() if key != "synced_at"}
            for model in MIRROR
            for row in session.execute(select(model.__table__))
        }


def forget_everything(database: Database) -> None:
    """As on the day paidup moved in, but for who is whose."""
    with database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if table is not OwnerMapping.__table__:
                session.execute(delete(table))


def test_any_order_of_related_objects_ends_in_the_same_rows(
    billing: Billing, stripe: Emulator, database: Database
) -> None:
    """H21: a price before its product, an invoice before its subscription, and that before its customer."""
    pay(str(billing.checkout(OWNER, "pro").url))
    [subscription] = stripe.events("customer.subscription.created")
    price = subscription["data"]["object"]["items"]["data"][0]["price"]
    events = [
        subscription,
        stripe.events("customer.created")[0],
        stripe.events("invoice.paid")[0],
        next(each for each in stripe.events("price.created") if each["data"]["object"]["id"] == price["id"]),
        next(each for each in stripe.events("product.created") if each["data"]["object"]["id"] == price["product"]),
    ]
    outcomes = []
    for order in random.Random(database.is_postgresql).sample(list(itertools.permutations(events)), ORDERS):
        forget_everything(database)
        for event in order:
            deliver(billing, event)
            billing.run_until_idle()
        assert {event.state for event in billing.events()} == {"done"}
        assert billing.access(OWNER).plan == "pro"
        outcomes.append(everything(database))
    assert len(outcomes[0]) == len(MIRROR)
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_a_product_that_is_deleted_is_archived(
    billing: Billing, client: sdk.StripeClient, stripe: Emulator, database: Database
) -> None:
    """H22: whether it was known or not, however often it is told."""
    for is_known in (True, False):
        product = client.v1.products.create({"name": "Mistake", "metadata": {"paidup_plan": "mistake"}})
        if is_known:
            deliver(billing, stripe.events("product.created")[-1])
            billing.run_until_idle()
        client.v1.products.delete(product.id)
        for number in range(2):
            deliver(billing, stripe.events("product.deleted")[-1] | {"id": f"evt_{is_known}_{number}"})
            billing.run_until_idle()
        assert billing.queue() == []
        with database.read() as session:
            row = session.get(Product, product.id)
        assert (row is not None) is is_known
        if row is not None:
            assert (row.name, row.active, row.deleted) == ("Mistake", False, True)


def test_who_is_on_a_price_that_is_gone_keeps_plan_and_display(
    host_app: HostApp, client: sdk.StripeClient, stripe: Emulator, database_url: str
) -> None:
    """H22: archived, its lookup key given to another, then deleted altogether."""
    billing = host_app.billing
    pay(str(billing.checkout(OWNER, "pro").url))
    eventually(lambda: billing.access(OWNER).plan == "pro" and not billing.queue())
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    old = subscription.items[0]
    client.v1.prices.create(
        {
            "product": old.product,
            "currency": "usd",
            "unit_amount": 9900,
            "recurring": {"interval": "month"},
            "lookup_key": "pro_month",
            "transfer_lookup_key": True,
        }
    )
    client.v1.prices.update(old.price, {"active": False, "metadata": {"paidup_plan": ""}})
    client.v1.products.update(old.product, {"active": False})
    _settled(stripe, billing)
    _keeps_what_it_has(host_app)
    stripe.fail_next(f"/v1/prices/{old.price}", status=404, times=99)
    stripe.fail_next(f"/v1/products/{old.product}", status=404, times=99)
    for kind, id in (("price", old.price), ("product", old.product)):
        gone = stripe.events(f"{kind}.updated")[-1] | {"id": f"evt_{kind}_gone", "type": f"{kind}.deleted"}
        deliver(billing, gone | {"data": {"object": {"id": id, "object": kind}}})
    _settled(stripe, billing)
    billing.sync(OWNER)
    _keeps_what_it_has(host_app)
    database = Database(database_url)
    with database.read() as session:
        price, product = session.get_one(Price, old.price), session.get_one(Product, old.product)
    database.close()
    assert (price.active, price.deleted, price.unit_amount) == (False, True, 2900)
    assert (product.active, product.deleted, product.plan) == (False, True, "pro")


def _settled(stripe: Emulator, billing: Billing) -> None:
    stripe.wait_for_deliveries()
    eventually(lambda: not billing.queue() and not billing.events(state="pending"))


def _keeps_what_it_has(host_app: HostApp) -> None:
    subscription = host_app.billing.subscription(OWNER)
    assert subscription is not None
    assert [(item.unit_amount, item.interval) for item in subscription.items] == [(2900, "month")]
    with host_app.client(OWNER) as user:
        assert user.get("/reports").status_code == 200
        access, invoices = _got(user, "/billing/access"), _got(user, "/billing/invoices")
    assert (access["plan"], access["plan_name"], access["status"]) == ("pro", "Pro", "active")
    assert [(each["status"], each["total"]) for each in invoices] == [("paid", 2900)]


def _got(user: httpx.Client, path: str) -> Any:
    return user.get(path).raise_for_status().json()

"""A customer with several subscriptions: each is its own row, and what ends one leaves the others alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import select

from paidup import Billing
from paidup.database.engine import Database
from paidup.database.tables import Base, OwnerMapping
from paidup.models import Customer, Subscription
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.databases import DatabaseMaker
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.paying import pay

OWNER = "user:1"


@dataclass(frozen=True, slots=True)
class Subscriber:
    """The owner at Stripe, with a subscription to Pro and the means to have others."""

    customer: str
    first: str
    client: sdk.StripeClient

    def subscribes_again(self, price: str = "pro_month", **more: Any) -> str:
        """Another subscription, made behind paidup's back."""
        [found] = self.client.v1.prices.list({"lookup_keys": [price]}).data
        card = self.client.v1.payment_methods.list({"customer": self.customer}).data[0]
        asked: Any = {
            "customer": self.customer,
            "items": [{"price": found.id}],
            "default_payment_method": card.id,
            **more,
        }
        return self.client.v1.subscriptions.create(asked).id


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


@pytest.fixture
def subscriber(billing: Billing, stripe: Emulator) -> Subscriber:
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    pay(str(billing.checkout(OWNER, "pro").url))
    [created] = stripe.events("customer.subscription.created")
    stripe.advance(seconds=5)
    return Subscriber(created["data"]["object"]["customer"], created["data"]["object"]["id"], client)


def rows(database: Database) -> dict[str, Subscription]:
    with database.read() as session:
        return {row.id: row for row in session.scalars(select(Subscription))}


def _copied(row: Base) -> tuple[type[Base], dict[str, Any]]:
    return type(row), {column.name: getattr(row, column.name) for column in row.__table__.columns}


def of(stripe: Emulator, type: str, subscription: str) -> dict[str, Any]:
    return next(event for event in reversed(stripe.events(type)) if event["data"]["object"]["id"] == subscription)


def test_who_subscribes_again_keeps_access_in_whatever_order_the_events_come(
    billing: Billing,
    subscriber: Subscriber,
    stripe: Emulator,
    make_billing: MakeBilling,
    databases: DatabaseMaker,
    database: Database,
) -> None:
    """H68: all permutations; the late `deleted` of the old one takes nothing from the new one, at no moment."""
    subscriber.client.v1.subscriptions.cancel(subscriber.first)
    second = subscriber.subscribes_again("basic_month")
    events = [
        of(stripe, "customer.subscription.created", subscriber.first),
        of(stripe, "customer.subscription.deleted", subscriber.first),
        of(stripe, "customer.subscription.created", second),
        stripe.events("invoice.paid")[-1],
    ]
    with database.read() as session:
        begun = [
            _copied(session.get_one(OwnerMapping, (OWNER, False))),
            _copied(session.scalars(select(Customer)).one()),
        ]
    for order in itertools.permutations(events):
        url = databases.migrated()
        other, elsewhere = make_billing(database_url=url, clock=a_hurrying_clock()), Database(url)
        with elsewhere.write() as session:
            session.add_all(model(**values) for model, values in begun)
        for event in order:
            deliver(other, event)
            other.run_until_idle()
            assert other.access(OWNER).plan == "basic"
        assert {id: row.status for id, row in rows(elsewhere).items()} == {
            subscriber.first: "canceled",
            second: "active",
        }
        other.close()
        elsewhere.close()
        databases.remove(url)


def test_an_event_about_one_changes_nothing_of_the_other(
    billing: Billing, subscriber: Subscriber, stripe: Emulator, database: Database
) -> None:
    """H69: a row is chosen by the subscription's own id; a failed payment, an end and a plan stay where they belong."""
    second = subscriber.subscribes_again("basic_month", metadata={"which": "second"})
    deliver(billing, of(stripe, "customer.subscription.created", second))
    billing.run_until_idle()
    both = rows(database)
    assert (both[subscriber.first].plan, both[second].plan) == ("pro", "basic")
    bad = subscriber.client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscriber.customer})
    subscriber.client.v1.subscriptions.update(second, {"default_payment_method": bad.id})
    stripe.advance(days=32)
    deliver(billing, of(stripe, "customer.subscription.updated", second))
    deliver(billing, stripe.events("invoice.payment_failed")[-1])
    billing.run_until_idle()
    first, late = rows(database)[subscriber.first], rows(database)[second]
    assert (late.status, late.past_due_since is not None, late.snapshot["metadata"]) == (
        "past_due",
        True,
        {"which": "second"},
    )
    assert (first.status, first.past_due_since, first.plan, first.snapshot["metadata"].get("which")) == (
        "active",
        None,
        "pro",
        None,
    )
    subscriber.client.v1.subscriptions.cancel(second)
    deliver(billing, of(stripe, "customer.subscription.deleted", second))
    billing.run_until_idle()
    assert {id: row.status for id, row in rows(database).items()} == {subscriber.first: "active", second: "canceled"}
    assert billing.access(OWNER).plan == "pro"
    for id, row in rows(database).items():
        theirs = subscriber.client.v1.subscriptions.retrieve(id, {"expand": ["default_payment_method"]})
        assert row.snapshot == theirs.to_dict(for_json=True)


def test_an_event_about_a_subscription_nobody_has_seen_makes_a_row_of_its_own(
    billing: Billing, subscriber: Subscriber, stripe: Emulator, database: Database
) -> None:
    """H69: there is no "some active subscription of this customer" to fall back on."""
    billing.sync(OWNER)
    before = rows(database)[subscriber.first].snapshot
    event = of(stripe, "customer.subscription.created", subscriber.first)
    lying = event["data"]["object"] | {"id": "sub_nobody", "status": "canceled"}
    deliver(billing, event | {"id": "evt_nobody", "data": {"object": lying}})
    billing.run_until_idle()
    assert {id: row.snapshot for id, row in rows(database).items()} == {subscriber.first: before}


def test_the_best_of_several_speaks_for_the_owner(
    billing: Billing, subscriber: Subscriber, stripe: Emulator, database: Database
) -> None:
    """H70: by its status, then its plan, then its age; ended and incomplete ones are listed, and lose."""
    basic = subscriber.subscribes_again("basic_month")
    stripe.advance(seconds=5)
    ended = subscriber.subscribes_again()
    subscriber.client.v1.subscriptions.cancel(ended)
    stripe.advance(seconds=5)
    unpaid = subscriber.subscribes_again(payment_behavior="default_incomplete")
    billing.sync(OWNER)
    statuses = {id: row.status for id, row in rows(database).items()}
    assert statuses == {subscriber.first: "active", basic: "active", ended: "canceled", unpaid: "incomplete"}
    speaking, access = billing.subscription(OWNER), billing.access(OWNER)
    assert (speaking and speaking.id, access.plan) == (subscriber.first, "pro")
    assert access.subscription is not None
    assert access.subscription.id == subscriber.first
    newer = subscriber.subscribes_again()
    billing.sync(OWNER)
    speaking = billing.subscription(OWNER)
    assert (speaking and speaking.id) == newer

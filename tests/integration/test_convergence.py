"""
Whatever deliveries do, the database ends equal to Stripe.

Random lives of several customers; their events delivered in any order, repeated, late, to two processes that work
side by side, while Stripe fails now and then and workers die with a target in their hands. CONVERGENCE_EXAMPLES makes
it run longer.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
import stripe as sdk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from paidup import Billing, BillingError, inbox
from paidup.core import parse
from paidup.core.access import decide
from paidup.database.engine import Database
from paidup.models import Customer, Invoice, Subscription
from stripe_emulator import Emulator
from tests.support.databases import DatabaseMaker
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.paying import pay

OWNERS = ("user:1", "user:2", "org:3")
PATHS = ("/v1/customers/*", "/v1/subscriptions", "/v1/invoices", "/v1/checkout/sessions/*")
EXAMPLES = int(os.environ.get("CONVERGENCE_EXAMPLES", "5"))


class World:
    """Stripe, two processes of the app, and a network between them that does what it likes."""

    def __init__(self, stripe: Emulator, clocks: dict[Billing, Callable[[], datetime]], chance: random.Random) -> None:
        self.stripe = stripe
        self.clocks = clocks
        self.processes = list(clocks)
        self.workers = [billing.worker(threads=2) for billing in self.processes]
        self.client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}, max_network_retries=2)
        self.chance = chance
        self.delivered: set[str] = set()

    def live(self) -> None:
        """One thing happens to somebody. What Stripe refuses in the state things are in does not happen."""
        acts: list[Callable[[str], None]] = [
            self.subscribe,
            self.subscribe,
            self.cancel_later,
            self.keep,
            self.cancel_now,
            self.change_plan,
            self.pause_collection,
            self.break_card,
            self.mend_card,
            self.pass_time,
            self.pass_time,
            self.rename,
            self.delete,
        ]
        with suppress(sdk.StripeError, BillingError):
            self.chance.choice(acts)(self.chance.choice(OWNERS))

    def subscribe(self, owner: str) -> None:
        billing = self.chance.choice(self.processes)
        plan = self.chance.choice(("basic", "pro"))
        url = billing.checkout(owner, plan, email=f"{owner[-1]}@example.com").url
        assert url is not None
        with suppress(AssertionError):  # a trial's page has no card fields, another one needs them
            pay(url, number=None if plan == "basic" else "4242424242424242")

    def cancel_later(self, owner: str) -> None:
        self.client.v1.subscriptions.update(self._subscription(owner), {"cancel_at_period_end": True})

    def keep(self, owner: str) -> None:
        self.client.v1.subscriptions.update(self._subscription(owner), {"cancel_at_period_end": False})

    def cancel_now(self, owner: str) -> None:
        self.client.v1.subscriptions.cancel(self._subscription(owner))

    def change_plan(self, owner: str) -> None:
        subscription = self.client.v1.subscriptions.retrieve(self._subscription(owner))
        key = self.chance.choice(("basic_month", "pro_month"))
        price = self.client.v1.prices.list({"lookup_keys": [key]}).data[0]
        item = subscription["items"].data[0]
        self.client.v1.subscriptions.update(
            subscription.id,
            {"items": [{"id": item.id, "price": price.id}], "proration_behavior": "always_invoice"},
        )

    def pause_collection(self, owner: str) -> None:
        self.client.v1.subscriptions.update(self._subscription(owner), {"pause_collection": {"behavior": "void"}})

    def break_card(self, owner: str) -> None:
        self._use_card(owner, "pm_card_chargeCustomerFail")

    def mend_card(self, owner: str) -> None:
        self._use_card(owner, "pm_card_visa")
        for invoice in self.client.v1.invoices.list({"customer": self._customer(owner), "status": "open"}).data:
            self.client.v1.invoices.pay(invoice.id)

    def pass_time(self, owner: str) -> None:
        self.stripe.advance(days=self.chance.choice((1, 4, 15, 31)))

    def rename(self, owner: str) -> None:
        self.client.v1.customers.update(self._customer(owner), {"name": f"N{self.chance.random()}"})

    def delete(self, owner: str) -> None:
        if self.chance.random() < 0.2:
            self.client.v1.customers.delete(self._customer(owner))

    def disturb(self) -> None:
        """Deliver some of what has happened, in any order, some of it twice; let Stripe stumble; let a worker die."""
        if self.chance.random() < 0.3:
            status = self.chance.choice((429, 429, 500))
            self.stripe.fail_next(self.chance.choice(PATHS), status=status, times=self.chance.randint(1, 4))
        events = self.stripe.events()
        some = self.chance.sample(events, k=min(len(events), self.chance.randint(0, 25)))
        for event in some + self.chance.sample(some, k=len(some) // 3):
            self._deliver(event)
        if self.chance.random() < 0.3:
            self._die_with_a_lease()

    def settle(self) -> None:
        """Everything that never came comes at last; everybody works until nothing is left."""
        self.stripe.clear_faults()
        late = [event for event in self.stripe.events() if event["id"] not in self.delivered]
        self.chance.shuffle(late)
        for event in late:
            self._deliver(event)
        for worker in self.workers:
            assert worker.stop()
        for billing in self.processes:
            billing.run_until_idle(60)

    def _deliver(self, event: dict[str, Any]) -> None:
        billing = self.chance.choice(self.processes)
        deliver(billing, event, at=self.clocks[billing]())
        self.delivered.add(event["id"])

    def _die_with_a_lease(self) -> None:
        billing = self.chance.choice(self.processes)
        database = Database(billing.settings.database_url.get_secret_value())
        with database.write() as session:
            inbox.claim(session, now=self.clocks[billing]())
        database.close()

    def _customer(self, owner: str) -> str:
        for event in self.stripe.events("customer.created"):
            body = event["data"]["object"]
            if body["metadata"].get("paidup_owner") == owner and "deleted" not in self.stripe.get(body["id"]):
                return str(body["id"])
        raise BillingError(f"{owner} has no customer")

    def _subscription(self, owner: str) -> str:
        found = self.client.v1.subscriptions.list({"customer": self._customer(owner), "limit": 5}).data
        if not found:
            raise BillingError(f"{owner} has no subscription")
        return str(self.chance.choice(found).id)

    def _use_card(self, owner: str, token: str) -> None:
        method = self.client.v1.payment_methods.attach(token, {"customer": self._customer(owner)})
        self.client.v1.subscriptions.update(self._subscription(owner), {"default_payment_method": method.id})


@pytest.fixture
def worlds(databases: DatabaseMaker, make_billing: Callable[..., Billing]) -> Iterator[Callable[[int], World]]:
    opened: list[tuple[Emulator, str]] = []

    def make(seed: int) -> World:
        stripe = Emulator(port=0)
        stripe.start()
        url = databases.migrated()
        opened.append((stripe, url))
        clocks = {}
        for _ in range(2):
            clock = a_hurrying_clock()
            clocks[make_billing(api_base=stripe.url, database_url=url, clock=clock)] = clock
        next(iter(clocks)).push_catalog()
        return World(stripe, clocks, random.Random(seed))

    yield make
    for stripe, url in opened:
        stripe.stop()
        databases.remove(url)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.timeout(60 + 40 * EXAMPLES)
def test_any_life_and_any_delivery_end_in_stripes_own_state(worlds: Callable[[int], World], seed: int) -> None:
    """H1, H2, H3, H5, H13 but for lost events, H17, H21, H68."""
    world = worlds(seed)
    told: Counter[str] = Counter()
    for billing in world.processes:
        billing.on_change()(lambda change: told.update([change.id]))
    for worker in world.workers:
        worker.start()
    for _ in range(world.chance.randint(4, 14)):
        world.live()
        world.disturb()
    world.settle()
    compare(world)
    assert all(count == 1 for count in told.values()), "no change is handed out twice"


def compare(world: World) -> None:
    """Every mirrored row is Stripe's object, nothing is missing, and access is what a fresh look gives."""
    client, billing = world.client, world.processes[0]
    database = Database(billing.settings.database_url.get_secret_value())
    with database.read() as session:
        customers = list(session.scalars(select(Customer)))
        subscriptions = {row.id: row.snapshot for row in session.scalars(select(Subscription))}
        invoices = {row.id: row.snapshot for row in session.scalars(select(Invoice))}
    database.close()
    theirs: dict[str, list[Any]] = {owner: [] for owner in OWNERS}
    for row in customers:
        body = client.v1.customers.retrieve(row.id).to_dict(for_json=True)
        assert row.deleted is bool(body.get("deleted"))
        if row.deleted:
            continue
        assert (row.email, row.name) == (body["email"], body["name"])
        at_stripe = list(
            client.v1.subscriptions.list(
                {"customer": row.id, "status": "all", "expand": ["data.default_payment_method"]}
            ).auto_paging_iter()
        )
        for each in at_stripe:
            assert subscriptions[each.id] == each.to_dict(for_json=True)
        ours = {key for key, value in subscriptions.items() if value["customer"] == row.id}
        assert ours == {each.id for each in at_stripe}
        bills = {
            each.id: each.to_dict(for_json=True)
            for each in client.v1.invoices.list({"customer": row.id, "limit": 100}).auto_paging_iter()
        }
        assert {key: value for key, value in invoices.items() if value["customer"] == row.id} == bills
        theirs[row.owner] += [parse.subscription(each.to_dict(for_json=True)) for each in at_stripe]
    for owner in OWNERS:
        fresh = decide(
            owner, theirs[owner], catalog=billing.catalog, policy=billing.policy, now=world.clocks[billing]()
        )
        access = billing.access(owner)
        assert (access.plan, access.status, access.features) == (fresh.plan, fresh.status, fresh.features)

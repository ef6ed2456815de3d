"""
The crash matrix: a process killed at each step of accepting, claiming, fetching, applying and handing out.

Whatever the step, when another process goes on nothing is lost and nothing is done twice: rows are Stripe's, each
change is there once, what an in-transaction handler wrote is there once, and a handler after the commit was called at
least once with the same id.
"""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import stripe as sdk
from sqlalchemy import select, text

from paidup import Billing, Settings
from paidup.database.engine import Database
from paidup.database.tables import StoredChange, StoredEvent, SyncTarget
from paidup.models import Invoice, Subscription
from stripe_emulator import Emulator
from tests.conftest import PLANS, SECRET_KEY, WEBHOOK_SECRET
from tests.support.crashing import Stop, Work, an_app, running, stopped
from tests.support.databases import KINDS, DatabaseMaker, removed_afterwards
from tests.support.deliveries import deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

LEASES_ARE_OVER = timedelta(minutes=6)

CLAIM = r"UPDATE billing_sync_targets SET (?!.*applied).*lease_token"
FINISH = r"UPDATE billing_sync_targets SET .*applied"
TAKE = r"UPDATE billing_changes SET (?!.*state).*lease_until"
SETTLE = r"UPDATE billing_changes SET .*state"

ACCEPTING = {
    "before the event is inserted": Stop("before", "INSERT INTO billing_events"),
    "after the event is inserted": Stop("after", "INSERT INTO billing_events"),
}
WORKING: dict[str, Stop | str] = {
    "before the lease is taken": Stop("before", CLAIM),
    "before the lease is committed": Stop("at commit", CLAIM),
    "after the lease is committed": Stop("committed", CLAIM),
    "before a row is written": Stop("before", "INSERT INTO billing_subscriptions"),
    "in an in-transaction handler": "inside",
    "before what was applied is committed": Stop("at commit", FINISH),
    "after what was applied is committed": Stop("committed", FINISH),
    "before a change is taken": Stop("before", TAKE),
    "after a change is taken": Stop("committed", TAKE),
    "in a handler that has done its work": "outside",
    "before a change is settled": Stop("before", SETTLE),
    "after a change is settled": Stop("committed", SETTLE),
}
TOLD_TWICE = {"in a handler that has done its work", "before a change is settled"}
"""Where a handler after the commit has had the change, and nobody could note it."""


class World:
    """One Stripe and one database, where customers come, and processes die."""

    def __init__(self, stripe: Emulator, url: str, heard: Path) -> None:
        self.stripe = stripe
        self.settings = {
            "secret_key": SECRET_KEY,
            "webhook_secrets": WEBHOOK_SECRET,
            "api_base": stripe.url,
            "database_url": url,
            "app_url": "http://127.0.0.1:8000",
            "plans_file": str(PLANS),
        }
        self.work = Work(self.settings, heard)
        self.client = sdk.StripeClient(SECRET_KEY, base_addresses={"api": stripe.url})
        self.database = Database(url)
        with self.database.write() as session:
            session.execute(text("CREATE TABLE provisioned (change VARCHAR(200))"))
        self.door = an_app(self.work)
        self.survivor = an_app(replace(self.work, later=LEASES_ARE_OVER))
        self.door.push_catalog()
        self._owners = itertools.count(1)

    def sign_up(self) -> tuple[str, tuple[dict[str, Any], ...]]:
        """A new owner who pays: their customer, and what Stripe tells of it."""
        before = len(self.stripe.events())
        owner = f"user:{next(self._owners)}"
        pay(str(self.door.checkout(owner, "pro").url))
        customer = self.door.customer(owner)
        assert customer is not None
        return customer.id, tuple(self.stripe.events()[before:])

    def deliver(self, events: tuple[dict[str, Any], ...]) -> None:
        """Stripe delivers to a process that lives."""
        for each in events:
            deliver(self.door, each)

    def recover(self) -> None:
        """Another process goes on when the leases of the dead have run out."""
        self.survivor.run_until_idle()

    def at_stripe(self, customer: str) -> dict[str, Any]:
        """The customer's subscriptions and invoices as Stripe has them."""
        listed = {"customer": customer, "status": "all", "expand": ["data.default_payment_method"]}
        subscriptions = self.client.v1.subscriptions.list(cast(Any, listed)).data
        found = {each.id: each.to_dict(for_json=True) for each in subscriptions}
        invoices = self.client.v1.invoices.list({"customer": customer}).data
        return found | {each.id: each.to_dict(for_json=True) for each in invoices}

    def heard(self) -> Counter[str]:
        """How often handlers after the commit were told of each change."""
        return Counter(self.work.heard.read_text().splitlines())

    def close(self) -> None:
        """Give everything back."""
        self.door.close()
        self.survivor.close()
        self.database.close()


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests on a kind of database: each has a customer of its own."""
    maker: DatabaseMaker = request.getfixturevalue(f"{request.param}_databases".replace("postgresql", "postgres"))
    with removed_afterwards(maker, maker.migrated()) as url, Emulator(port=0) as stripe:
        world = World(stripe, url, tmp_path_factory.mktemp("crashes") / "heard")
        yield world
        world.close()


def assert_whole(world: World, customer: str, *, told: int = 3) -> None:
    """Nothing is lost, nothing is there twice; handlers after the commit were told so many times in all."""
    with world.database.read() as session:
        subscriptions = session.scalars(select(Subscription).where(Subscription.customer_id == customer))
        ours = {row.id: row.snapshot for row in subscriptions}
        invoices = session.scalars(select(Invoice).where(Invoice.customer_id == customer))
        ours |= {row.id: row.snapshot for row in invoices}
        changes = list(session.scalars(select(StoredChange).where(StoredChange.customer == customer)))
        provisioned = Counter(session.scalars(text("SELECT change FROM provisioned")))
        events = set(session.scalars(select(StoredEvent.state).where(StoredEvent.target == f"customer:{customer}")))
    assert ours == world.at_stripe(customer)
    assert sorted((each.kind, each.state) for each in changes) == [
        ("credits.granted", "done"),
        ("invoice.paid", "done"),
        ("subscription.started", "done"),
    ]
    assert {provisioned[each.id] for each in changes} == {1}
    heard = world.heard()
    assert all(heard[each.id] >= 1 for each in changes)
    assert sum(heard[each.id] for each in changes) == told
    assert events == {"done"}
    assert world.survivor.queue() == []


@pytest.mark.parametrize("where", ACCEPTING)
def test_killed_while_accepting_nothing_was_promised_and_the_next_delivery_counts(world: World, where: str) -> None:
    """H8, H3: Stripe had no answer, so it delivers again; whatever was stored by then is stored once."""
    customer, events = world.sign_up()
    with stopped(replace(world.work, events=events, stop=ACCEPTING[where])):
        pass
    world.deliver(events)
    world.recover()
    assert_whole(world, customer)


def test_killed_between_commit_and_answer_the_event_is_processed_all_the_same(world: World) -> None:
    """H8: stored is promised, whether the answer arrives or not."""
    customer, events = world.sign_up()
    with stopped(replace(world.work, events=events, stop_in="answering")):
        pass
    world.recover()
    assert_whole(world, customer)


@pytest.mark.parametrize("where", WORKING)
def test_killed_while_working_another_process_goes_on(world: World, where: str) -> None:
    """H8, H12: no lease, no half of a transaction and no call outlives its process for long."""
    customer, events = world.sign_up()
    world.deliver(events)
    place = WORKING[where]
    work = replace(world.work, stop=place) if isinstance(place, Stop) else replace(world.work, stop_in=place)
    with stopped(work):
        pass
    world.recover()
    assert_whole(world, customer, told=4 if where in TOLD_TWICE else 3)


def test_killed_in_a_transaction_that_makes_up_for_a_handler_that_had_not_been_there(world: World) -> None:
    """H12: found by a process without the app's handlers, such as `paidup sync`; handed to them later, once."""
    customer, events = world.sign_up()
    world.deliver(events)
    bare = Billing(Settings.from_env(**world.settings))
    bare.sync(customer)
    bare.close()
    with stopped(replace(world.work, stop_in="inside")):
        pass
    world.recover()
    assert_whole(world, customer)


def test_killed_with_calls_at_stripe_under_way(world: World) -> None:
    customer, events = world.sign_up()
    world.deliver(events)
    world.stripe.slow_next("/v1/subscriptions", 3)
    with running(world.work):
        eventually(lambda: not httpx.get(f"{world.stripe.url}/_emulator/faults", trust_env=False).json()["faults"])
    world.recover()
    assert_whole(world, customer)


@pytest.mark.parametrize("outcome", ["it has fetched what is old by now", "Stripe fails"])
def test_one_that_stalled_past_its_lease_changes_nothing(world: World, outcome: str) -> None:
    """H7, H17: what it found meanwhile is refused, and so is what it has to say about a failure; it works on."""
    customer, events = world.sign_up()
    world.deliver(events)
    # On SQLite it must not stop inside a transaction: it would be the one writer there is.
    is_late = world.database.is_postgresql and outcome != "Stripe fails"
    place = Stop("before", "INSERT INTO billing_customers") if is_late else Stop("committed", CLAIM)
    with stopped(replace(world.work, stop=place)) as stalled:
        subscription = next(iter(world.at_stripe(customer)))
        world.client.v1.subscriptions.update(subscription, {"cancel_at_period_end": True})
        world.recover()
        if outcome == "Stripe fails":
            world.stripe.fail_next("/v1/*", times=12)
        stalled.send(signal.SIGCONT)
        stalled.says("done")
        assert stalled.ended() == 0
    world.stripe.clear_faults()
    assert_whole(world, customer)
    with world.database.read() as session:
        target = session.get_one(SyncTarget, f"customer:{customer}")
    assert (target.lease_token, target.last_error, target.attempts) == (None, None, 0)

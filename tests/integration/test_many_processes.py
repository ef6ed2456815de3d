"""Two web and four worker processes on one PostgreSQL, under load and with losses, end where a calm one does."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe as sdk
from sqlalchemy import insert, select, text

from paidup import Billing
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping, StoredChange, StoredEvent, SyncTarget
from paidup.models import Customer, Invoice, Subscription, SubscriptionItem
from stripe_emulator import Emulator
from tests.conftest import PLANS, SECRET_KEY, WEBHOOK_SECRET
from tests.support.crashing import Child, Stop, Work, running
from tests.support.databases import DatabaseMaker, removed_afterwards
from tests.support.deliveries import deliver, signed
from tests.support.paying import pay
from tests.support.serving import free_port
from tests.support.waiting import eventually

CUSTOMERS = 24
SENDERS = 8
LEASE = timedelta(seconds=3)
CLAIM = r"UPDATE billing_sync_targets SET (?!.*applied).*lease_token"
FINISH = r"UPDATE billing_sync_targets SET .*applied"

Event = Mapping[str, Any]


@pytest.fixture
def urls(databases: DatabaseMaker) -> Iterator[tuple[str, str]]:
    """Two PostgreSQL databases, each with a table of the app's own: one for the storm, one for the calm."""
    with ExitStack() as stack:
        both = [stack.enter_context(removed_afterwards(databases, databases.migrated())) for _ in "12"]
        for url in both:
            database = Database(url)
            with database.write() as session:
                session.execute(text("CREATE TABLE provisioned (change VARCHAR(200))"))
            database.close()
        yield both[0], both[1]


@pytest.fixture
def work(urls: tuple[str, str], stripe: Emulator, tmp_path: Path) -> Work:
    settings = {
        "secret_key": SECRET_KEY,
        "webhook_secrets": WEBHOOK_SECRET,
        "api_base": stripe.url,
        "database_url": urls[0],
        "app_url": "http://127.0.0.1:8000",
        "plans_file": str(PLANS),
        "worker": "outside",
    }
    return Work(settings, tmp_path / "heard", lease=LEASE)


@pytest.fixture
def events(make_billing: Callable[..., Billing], stripe: Emulator, urls: tuple[str, str]) -> Sequence[Event]:
    """What Stripe tells of two dozen customers who came, and of those of them who are about to go or gone."""
    billing = make_billing(database_url=urls[0])
    billing.push_catalog()
    before = len(stripe.events())

    def live(number: int) -> None:
        owner = f"user:{number}"
        pay(str(billing.checkout(owner, "pro").url))
        client = sdk.StripeClient(SECRET_KEY, base_addresses={"api": stripe.url})
        customer = billing.customer(owner)
        assert customer is not None
        (subscription,) = client.v1.subscriptions.list({"customer": customer.id}).data
        if number % 3 == 1:
            client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
        if number % 3 == 2:
            client.v1.subscriptions.cancel(subscription.id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(live, range(CUSTOMERS)))
    return stripe.events()[before:]


class Senders:
    """Stripe's side: each delivery is repeated, at one web server or the other, until somebody answers 2xx."""

    def __init__(self, ports: list[int], events: Sequence[Event]) -> None:
        chance = random.Random(4)
        again = chance.sample(events, k=len(events) // 10)
        self._bodies = [json.dumps(event).encode() for event in (*events, *again)]
        chance.shuffle(self._bodies)
        self._ports = ports
        self.answered = 0

    def send(self) -> None:
        """Everything, over several connections at once."""
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(self._send_some, range(SENDERS)))

    def _send_some(self, number: int) -> None:
        with httpx.Client(timeout=20, trust_env=False) as client:
            for body in self._bodies[number::SENDERS]:
                eventually(lambda body=body: self._is_taken(client, body), 30)  # type: ignore[misc]  # bound at once
                self.answered += 1

    def _is_taken(self, client: httpx.Client, body: bytes) -> bool:
        self._ports.reverse()
        headers = {"stripe-signature": signed(body, secret=WEBHOOK_SECRET)}
        try:
            answer = client.post(f"http://127.0.0.1:{self._ports[0]}/billing/webhook", content=body, headers=headers)
        except httpx.TransportError:
            return False
        assert answer.status_code in (200, 503), answer.text
        return answer.is_success


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_two_webs_and_four_workers_end_where_one_calm_process_does(
    work: Work, events: Sequence[Event], urls: tuple[str, str], make_billing: Callable[..., Billing]
) -> None:
    """
    H1, H3, H5, H8, H17: deliveries shuffled and repeated over several connections.

    One web and one worker are killed in the middle, one worker stalls until another has taken its target over.
    """
    database = Database(urls[0])
    ports = [free_port(), free_port()]
    senders = Senders(list(ports), events)
    with ExitStack() as stack:

        def start(**more: Any) -> Child:
            return stack.enter_context(running(replace(work, **more)))

        webs = [start(port=port) for port in ports]
        for port in ports:
            eventually(lambda port=port: answers(port), 30)  # type: ignore[misc]  # bound at once
        # Those that are to die or to stall have no handlers after the commit: what they hold would be told twice.
        apart = {"forever": True, "deliver_changes": False}
        doomed = start(stop=Stop("at commit", FINISH), **apart)
        stalling = start(stop=Stop("committed", CLAIM), **apart)
        for child in (doomed, stalling):
            child.says("up")
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(senders.send)
            for child in (doomed, stalling):
                child.says("here")
            doomed.kill()
            healthy = [start(forever=True) for _ in range(2)]
            eventually(lambda: senders.answered > len(events) // 2 or sending.done(), 60)
            webs[0].kill()
            sending.result(120)
        eventually(lambda: is_idle(database), 60)
        stalling.send(signal.SIGCONT)
        for child in (stalling, *healthy):
            child.send(signal.SIGTERM)
            assert child.ended() == 0
        webs[1].send(signal.SIGTERM)
        assert webs[1].ended() in (0, -signal.SIGTERM)

    calm = a_calm_run(urls, events, make_billing)
    assert outcome(database) == outcome(calm)
    with database.read() as session:
        changes = set(session.scalars(select(StoredChange.id)))
        provisioned = Counter(session.scalars(text("SELECT change FROM provisioned")))
        states = set(session.scalars(select(StoredEvent.state)))
        deadlocks = session.scalar(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
    assert provisioned == dict.fromkeys(changes, 1)
    assert Counter(work.heard.read_text().splitlines()) == dict.fromkeys(changes, 1)
    assert len(changes) > CUSTOMERS
    assert states <= {"done", "ignored"}
    assert deadlocks == 0
    for each in (database, calm):
        each.close()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).is_success
    except httpx.TransportError:
        return False


def is_idle(database: Database) -> bool:
    """Is everything in step, handed out, and nobody's any more?"""
    with database.read() as session:
        dirty = session.scalars(select(SyncTarget.target).where(SyncTarget.applied < SyncTarget.requested)).all()
        pending = session.scalars(select(StoredChange.id).where(StoredChange.state == "pending")).all()
    return not dirty and not pending


def a_calm_run(urls: tuple[str, str], events: Sequence[Event], make_billing: Callable[..., Billing]) -> Database:
    """The same events once, in order, to one process that takes its time."""
    busy, calm = Database(urls[0]), Database(urls[1])
    with busy.read() as session, calm.write() as other:
        for row in session.execute(select(OwnerMapping.__table__)):
            other.execute(insert(OwnerMapping).values(**row._mapping))
    busy.close()
    billing = make_billing(database_url=urls[1])
    for event in events:
        deliver(billing, event)
    billing.run_until_idle()
    return calm


def outcome(database: Database) -> dict[str, Any]:
    """Every mirrored row, and what was found to have happened."""
    with database.read() as session:
        return {
            "customers": {row.id: (row.owner, row.snapshot) for row in session.scalars(select(Customer))},
            "subscriptions": {
                row.id: (row.status, row.plan, row.snapshot) for row in session.scalars(select(Subscription))
            },
            "items": {row.id: (row.subscription_id, row.price_id) for row in session.scalars(select(SubscriptionItem))},
            "invoices": {row.id: (row.status, row.snapshot) for row in session.scalars(select(Invoice))},
            "changes": {(row.id, row.owner) for row in session.scalars(select(StoredChange))},
        }

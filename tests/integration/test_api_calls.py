"""What synchronisation costs at Stripe, which allows 100 calls a second for all: counted while a worker runs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import func, select

from paidup import Billing
from paidup.core.targets import EVENTS
from paidup.database.engine import Database
from paidup.models import Invoice, Subscription, SubscriptionItem
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.calls import counted
from tests.support.deliveries import deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"

Event = dict[str, Any]


def a_slow_clock() -> Callable[[], datetime]:
    """A quarter as fast: a burst is one, however long a busy machine takes to deliver it."""
    began, at = monotonic(), datetime.now(UTC)
    return lambda: at + timedelta(seconds=(monotonic() - began) / 4)


@pytest.fixture
def billing(make_billing: MakeBilling) -> Billing:
    billing = make_billing(clock=a_slow_clock())
    billing.push_catalog()
    return billing


@pytest.fixture
def client(stripe: Emulator) -> Any:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@contextmanager
def working(billing: Billing) -> Iterator[None]:
    """A worker runs beside, and has done everything by the end."""
    worker = billing.worker()
    worker.start()
    try:
        yield
        eventually(lambda: not billing.queue(), 60)
    finally:
        assert worker.stop()


def deliver_at_once(billing: Billing, events: Sequence[Event]) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda event: deliver(billing, event), events))


def sign_up(billing: Billing, stripe: Emulator) -> list[Event]:
    """The events of a payment at Checkout that an endpoint listens to."""
    url = billing.checkout(OWNER, "pro").url
    billing.run_until_idle()
    before = {event["id"] for event in stripe.events()}
    pay(str(url))
    return [event for event in stripe.events() if event["id"] not in before and event["type"] in EVENTS]


@pytest.mark.parametrize("order", ["as it happened", "backwards", "shuffled"])
def test_the_events_of_a_sign_up_cost_four_calls(billing: Billing, stripe: Emulator, order: str) -> None:
    events = sign_up(billing, stripe)
    assert len(events) >= 10
    if order == "backwards":
        events.reverse()
    elif order == "shuffled":
        random.Random(1).shuffle(events)
    with counted(stripe) as calls:
        with working(billing):
            deliver_at_once(billing, events)
        assert calls.count <= 4
    assert billing.access(OWNER).plan == "pro"


def test_a_thousand_events_for_one_customer_cost_six_calls(billing: Billing, stripe: Emulator) -> None:
    """H17: a storm costs one customer's part of the budget, whatever its length."""
    events = sign_up(billing, stripe)
    deliver_at_once(billing, events)
    billing.run_until_idle()
    storm = [{**events[number % len(events)], "id": f"evt_storm_{number}"} for number in range(1000)]
    with counted(stripe) as calls:
        with working(billing):
            deliver_at_once(billing, storm)
        assert calls.count <= 6
    assert billing.access(OWNER).plan == "pro"


def test_a_customer_with_250_subscriptions_and_1000_invoices_is_synchronised_whole(
    billing: Billing, stripe: Emulator, client: Any, database: Database
) -> None:
    """H16: every list is read to its end."""
    sign_up(billing, stripe)
    billing.sync(OWNER)
    found = billing.customer(OWNER)
    assert found is not None
    price = client.prices.list({"lookup_keys": ["basic_month"]}).data[0].id
    for _ in range(249):
        client.subscriptions.create({"customer": found.id, "items": [{"price": price}], "trial_period_days": 30})
    for _ in range(1000 - 250):
        client.invoices.create({"customer": found.id})
    with counted(stripe) as calls:
        billing.sync(OWNER)
        assert calls.count == 1 + 3 + 10, "the customer, three pages of subscriptions, ten of invoices"
    with database.read() as session:
        counts = [
            session.scalar(select(func.count()).select_from(table))
            for table in (Subscription, SubscriptionItem, Invoice)
        ]
    assert counts == [250, 250, 1000]

"""A fact is one fact, however many events tell it, in whatever order, and whoever else finds it out."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from paidup import Billing, Change
from paidup.database.engine import Database
from paidup.models import Subscription
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.go_between import a_go_between
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return a_hurrying_clock()


@pytest.fixture
def billing(make_billing: MakeBilling, clock: Callable[[], datetime]) -> Billing:
    billing = make_billing(clock=clock)
    billing.push_catalog()
    return billing


@pytest.fixture
def database(billing: Billing) -> Iterator[Database]:
    database = Database(billing.settings.database_url.get_secret_value())
    yield database
    database.close()


class Credits:
    """An app that gives a hundred credits for a paid invoice, in paidup's transaction, and mails after it."""

    def __init__(self, billing: Billing, database: Database) -> None:
        self.mails: Counter[str] = Counter()
        self._database = database
        with database.write() as session:
            session.execute(text("CREATE TABLE credits (owner VARCHAR(255), amount INTEGER)"))
        billing.on_change("invoice.paid", in_transaction=True)(self._grant)
        billing.on_change()(self._mail)

    def _grant(self, change: Change, session: Session) -> None:
        session.execute(text("INSERT INTO credits VALUES (:owner, 100)"), {"owner": change.owner})

    def _mail(self, change: Change) -> None:
        self.mails[change.id] += 1

    @property
    def balance(self) -> int:
        """All that was given."""
        with self._database.read() as session:
            return int(session.scalar(text("SELECT COALESCE(SUM(amount), 0) FROM credits")) or 0)


def test_a_payment_is_granted_once_however_often_it_is_told(
    billing: Billing, database: Database, stripe: Emulator, clock: Callable[[], datetime]
) -> None:
    """H4: by two types of event, under ids nobody has seen, sent again, replayed by hand, and found by asking."""
    credits = Credits(billing, database)
    pay(str(billing.checkout(OWNER, "pro").url))
    [paid] = stripe.events("invoice.paid")
    [succeeded] = stripe.events("invoice.payment_succeeded")
    assert paid["data"]["object"]["id"] == succeeded["data"]["object"]["id"]
    told = [paid, succeeded, succeeded | {"id": "evt_elsewhere"}, paid | {"id": "evt_another"}, paid]
    for event in told:
        deliver(billing, event, at=clock())
        billing.run_until_idle()
        assert credits.balance == 100
    billing.replay(paid["id"])
    billing.run_until_idle()
    billing.sync(OWNER)
    billing.run_until_idle()
    assert credits.balance == 100
    assert sorted(id.split(":")[0] for id in credits.mails) == [
        "credits.granted",
        "invoice.paid",
        "subscription.started",
    ]
    assert set(credits.mails.values()) == {1}


def test_a_second_payment_is_another_fact(
    billing: Billing, database: Database, stripe: Emulator, clock: Callable[[], datetime]
) -> None:
    credits = Credits(billing, database)
    pay(str(billing.checkout(OWNER, "pro").url))
    stripe.advance(days=32)
    for event in stripe.events("invoice.payment_succeeded") + stripe.events("invoice.paid"):
        deliver(billing, event, at=clock())
        billing.run_until_idle()
    assert len(stripe.events("invoice.paid")) == 2
    assert credits.balance == 200


@pytest.mark.parametrize("last", ["renamed", "canceled"])
def test_events_of_one_second_end_alike_in_either_order(
    make_billing: MakeBilling, client: sdk.StripeClient, stripe: Emulator, billing: Billing, last: str
) -> None:
    """H2: their times decide nothing; Stripe is asked what came of it."""
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.v1.subscriptions.update(subscription.id, {"metadata": {"step": "1"}})
    if last == "canceled":
        client.v1.subscriptions.cancel(subscription.id)
    else:
        client.v1.subscriptions.update(subscription.id, {"metadata": {"step": "2"}})
    kinds = ("customer.subscription.updated", "customer.subscription.deleted")
    events = [event | {"created": 1_790_000_000} for event in stripe.events() if event["type"] in kinds][-2:]
    assert len(events) == 2
    outcomes = []
    for number, order in enumerate(itertools.permutations(events)):
        for event in order:
            deliver(billing, event | {"id": f"{event['id']}_{number}"})
            billing.run_until_idle()
        found = billing.subscription(OWNER)
        assert found is not None
        outcomes.append((found.status, found.metadata["step"], billing.access(OWNER).plan))
    expected: Any = ("canceled", "1", "free") if last == "canceled" else ("active", "2", "pro")
    assert outcomes == [expected, expected]


def test_an_upcoming_invoice_without_an_id_is_a_hint_like_any_other(
    billing: Billing, client: sdk.StripeClient, stripe: Emulator, clock: Callable[[], datetime]
) -> None:
    """H20: nothing is stored under no key, and what it hints at is looked up."""
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    [event] = stripe.events("invoice.paid")
    upcoming = {key: value for key, value in event["data"]["object"].items() if key != "id"}
    deliver(billing, event | {"id": "evt_up", "type": "invoice.upcoming", "data": {"object": upcoming}}, at=clock())
    billing.run_until_idle()
    assert billing.event("evt_up").state == "done"
    assert billing.access(OWNER).is_canceling
    assert len(billing.invoices(OWNER)) == 1


def test_an_event_in_another_version_is_kept_noted_and_fetched_in_ours(
    make_billing: MakeBilling, stripe: Emulator, database: Database, billing: Billing
) -> None:
    """H76: an endpoint without a version speaks the account's, which may be years old."""
    pay(str(billing.checkout(OWNER, "pro").url))
    [created] = stripe.events("customer.subscription.created")
    [item] = created["data"]["object"]["items"]["data"]
    period = {name: item[name] for name in ("current_period_start", "current_period_end")}
    plain = {key: value for key, value in item.items() if key not in period}
    old = created["data"]["object"] | period | {"items": {"object": "list", "data": [plain], "has_more": False}}
    with a_go_between(stripe) as between:
        asking = make_billing(api_base=between.url, clock=a_hurrying_clock())
        deliver(asking, created | {"api_version": "2020-08-27", "data": {"object": old}})
        asking.run_until_idle()
    assert between.versions == {asking.gateway.api_version}
    stored = billing.event(created["id"])
    assert (stored.state, stored.reason, stored.api_version) == ("done", "other_version", "2020-08-27")
    billing.replay(created["id"])
    billing.run_until_idle()
    assert billing.event(created["id"]).reason == "other_version"
    with database.read() as session:
        [row] = session.scalars(select(Subscription))
    assert row.snapshot["items"]["data"][0]["current_period_end"] == period["current_period_end"]
    assert "current_period_end" not in row.snapshot
    deliver(billing, created | {"id": "evt_ours"})
    billing.run_until_idle()
    assert (billing.event("evt_ours").state, billing.event("evt_ours").reason) == ("done", None)

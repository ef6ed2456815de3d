"""Missed events: fetched from Stripe's list, through the door of the webhooks, never counted as delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
import stripe as sdk
from sqlalchemy import select

from paidup import Billing, Progress, StripeError
from paidup.core.targets import EVENTS
from paidup.database import event_cursors
from paidup.database.engine import Database
from paidup.database.tables import StoredEvent
from stripe_emulator import Emulator
from tests.support.deliveries import deliver
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def billing(make_billing: Callable[..., Billing], stripe: Emulator) -> Billing:
    """A Billing that lives in Stripe's time."""
    billing = make_billing(clock=lambda: stripe.now)
    billing.push_catalog()
    return billing


def subscribe(billing: Billing, owner: str = OWNER) -> None:
    pay(str(billing.checkout(owner, "pro").url))


def work(billing: Billing, stripe: Emulator) -> None:
    """Process everything, in Stripe's time, which stands still by itself."""
    while billing.queue():
        stripe.advance(seconds=1)
        billing.run_until_idle()


def routed(stripe: Emulator) -> set[str]:
    return {event["id"] for event in stripe.events() if event["type"] in EVENTS}


def cursor(database: Database) -> datetime | None:
    with database.read() as session:
        return event_cursors.filled_until(session, livemode=False)


def stored(database: Database) -> dict[str, StoredEvent]:
    with database.read() as session:
        return {row.id: row for row in session.scalars(select(StoredEvent))}


def test_events_that_never_came_are_fetched_and_processed(
    billing: Billing, stripe: Emulator, database: Database
) -> None:
    """H13: the endpoint was off for days, Stripe has given up, and nobody has to do anything but fill."""
    billing.fill_missed_events()
    billing.reconcile(fix=True)
    subscribe(billing)
    stripe.advance(days=5)
    assert billing.access(OWNER).plan == "free"
    filled = billing.fill_missed_events()
    assert filled.stored > 5
    assert not filled.window_exceeded
    work(billing, stripe)
    assert billing.access(OWNER).plan == "pro"
    rows = stored(database)
    assert rows.keys() == routed(stripe)
    assert {(row.state, row.secret, row.deliveries) for row in rows.values()} <= {("done", -1, 0), ("ignored", -1, 0)}


def test_what_we_have_is_left_alone(billing: Billing, stripe: Emulator, database: Database) -> None:
    subscribe(billing)
    first, second, *_ = [event for event in stripe.events() if event["type"] in EVENTS]
    deliver(billing, first, at=stripe.now)
    filled = billing.fill_missed_events()
    assert (filled.found, filled.stored) == (len(routed(stripe)), len(routed(stripe)) - 1)
    assert billing.fill_missed_events().stored == 0
    deliver(billing, second, at=stripe.now)
    rows = stored(database)
    assert (rows[first["id"]].secret, rows[first["id"]].deliveries) == (0, 1)
    assert (rows[second["id"]].secret, rows[second["id"]].deliveries) == (-1, 1)
    assert billing.event(first["id"]).state == "pending"


def test_a_first_fill_says_that_there_may_have_been_more(billing: Billing, stripe: Emulator) -> None:
    """H14: again and again until everything was compared, as who heard it first may have died of it."""
    assert billing.fill_missed_events().window_exceeded
    assert billing.fill_missed_events().window_exceeded
    assert "gap" in {each.name for each in billing.health().findings}
    billing.reconcile()
    assert billing.fill_missed_events().window_exceeded, "nothing was mended"
    billing.reconcile(fix=True)
    assert "gap" not in {each.name for each in billing.health().findings}
    stripe.advance(days=29)
    assert not billing.fill_missed_events().window_exceeded
    stripe.advance(days=29.9)
    assert billing.fill_missed_events().window_exceeded


def test_a_gap_older_than_stripes_list_is_told_and_healed_by_the_comparison(billing: Billing, stripe: Emulator) -> None:
    """H14: the events of a customer who came and went thirty days ago are listed nowhere."""
    billing.fill_missed_events()
    filled_before = routed(stripe)
    subscribe(billing)
    gone = routed(stripe) - filled_before
    stripe.advance(days=31)
    filled = billing.fill_missed_events()
    assert filled.window_exceeded
    assert gone.isdisjoint({event.id for event in billing.events(limit=1000)})
    work(billing, stripe)
    billing.reconcile(fix=True)
    assert billing.reconcile().is_clean
    assert billing.access(OWNER).plan == "pro"


@pytest.fixture
def many(billing: Billing, stripe: Emulator) -> int:
    """More events than fit on two pages; how many of them lead somewhere."""
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    billing.fill_missed_events()
    before = len(routed(stripe))
    customer = client.v1.customers.create({})
    for number in range(205):
        client.v1.customers.update(customer.id, {"name": f"N{number}"})
    return len(routed(stripe)) - before


def test_every_page_is_read_and_told(billing: Billing, many: int) -> None:
    told: list[Progress] = []
    filled = billing.fill_missed_events(on_progress=told.append)
    assert filled.stored == many == 206
    assert [(each.phase, each.done) for each in told[:2]] == [("event", 100), ("event", 200)]
    assert len(told) == 3


def test_a_fill_that_breaks_off_is_no_success(
    billing: Billing, stripe: Emulator, database: Database, many: int
) -> None:
    """H15: page two fails for good; the cursor stays where it was, and the next fill has it all."""
    before = cursor(database)
    stripe.advance(days=1)
    stripe.fail_next("/v1/events", status=500, nth=2, times=50)
    with pytest.raises(StripeError):
        billing.fill_missed_events()
    assert cursor(database) == before
    assert len(stored(database)) >= 100
    stripe.clear_faults()
    billing.fill_missed_events()
    assert stored(database).keys() >= {event["id"] for event in stripe.events("customer.updated")}
    after = cursor(database)
    assert before is not None
    assert after is not None
    assert after > before + timedelta(hours=23)


def test_events_that_show_up_late_are_filled_all_the_same(
    billing: Billing, stripe: Emulator, database: Database
) -> None:
    """The list is read again for hours before the last fill: what has a time before it may have come after it."""
    subscribe(billing)
    stripe.advance(seconds=3600)
    with database.write() as session:
        event_cursors.advance(session, livemode=False, to=stripe.now)
    assert billing.fill_missed_events().stored == len(routed(stripe))


def test_the_cursor_only_moves_forward(database: Database, stripe: Emulator) -> None:
    now = stripe.now
    for hours in (5, 3):
        with database.write() as session:
            event_cursors.advance(session, livemode=False, to=now + timedelta(hours=hours))
    assert cursor(database) == now + timedelta(hours=5)


def test_events_that_lead_nowhere_are_not_stored(billing: Billing, stripe: Emulator, database: Database) -> None:
    subscribe(billing)
    assert routed(stripe) < {event["id"] for event in stripe.events()}
    billing.fill_missed_events()
    assert all(row.target for row in stored(database).values())


def test_bodies_are_kept_only_if_those_of_webhooks_are(make_billing: Callable[..., Billing], stripe: Emulator) -> None:
    billing = make_billing(keep_payloads=False)
    billing.push_catalog()
    billing.fill_missed_events()
    assert {event.payload for event in billing.events()} == {""}

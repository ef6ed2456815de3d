"""Synchronisation against the emulator: whatever is delivered, in whatever order, the rows are Stripe's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import select

from paidup import Billing, Change
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping
from paidup.models import Customer, Invoice, Price, Product, Subscription, SubscriptionItem
from stripe_emulator import Emulator
from tests.support.databases import DatabaseMaker
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it, to compare with."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


def subscribe(billing: Billing, plan: str = "pro", *, owner: str = OWNER, card: str | None = None) -> None:
    url = str(billing.checkout(owner, plan).url)
    pay(url, number=card) if card else pay(url)


def deliver_all(billing: Billing, stripe: Emulator) -> None:
    """Everything that happened so far, oldest first."""
    for event in stripe.events():
        deliver(billing, event)


def mirrored(database: Database) -> dict[str, Any]:
    """Every row, as plain facts."""
    with database.read() as session:
        return {
            "subscriptions": {
                row.id: (row.status, row.plan, row.current_period_end, row.cancel_at, row.ended_at)
                for row in session.scalars(select(Subscription))
            },
            "items": {
                row.id: (row.subscription_id, row.price_id, row.quantity)
                for row in session.scalars(select(SubscriptionItem))
            },
            "invoices": {
                row.id: (row.status, row.total, row.amount_paid, row.attempt_count, row.subscription_id)
                for row in session.scalars(select(Invoice))
            },
            "customers": {row.id: (row.owner, row.email, row.deleted) for row in session.scalars(select(Customer))},
        }


def at_stripe(client: sdk.StripeClient, database: Database) -> dict[str, Any]:
    """What Stripe itself says of the same things: the snapshots must be these, to the letter."""
    with database.read() as session:
        subscriptions = {row.id: row.snapshot for row in session.scalars(select(Subscription))}
        invoices = {row.id: row.snapshot for row in session.scalars(select(Invoice))}
    expand = ["default_payment_method"]
    return {
        "ours": subscriptions | invoices,
        "theirs": {
            each: client.v1.subscriptions.retrieve(each, {"expand": expand}).to_dict(for_json=True)
            for each in subscriptions
        }
        | {each: client.v1.invoices.retrieve(each).to_dict(for_json=True) for each in invoices},
    }


def test_the_events_of_a_sign_up_end_in_stripes_own_state(
    billing: Billing, stripe: Emulator, database: Database, client: sdk.StripeClient
) -> None:
    subscribe(billing)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    compared = at_stripe(client, database)
    assert compared["ours"] == compared["theirs"]
    assert len(compared["ours"]) == 2
    assert billing.access(OWNER).plan == "pro"
    assert [each.state for each in billing.events(state="pending")] == []


def test_products_and_prices_are_mirrored(billing: Billing, stripe: Emulator, database: Database) -> None:
    deliver_all(billing, stripe)
    billing.run_until_idle()
    with database.read() as session:
        plans = {row.plan for row in session.scalars(select(Product))}
        assert plans == {"basic", "pro", "team", None}, "None of an add-on"
        prices = {
            row.lookup_key: (row.unit_amount, row.currency, row.interval) for row in session.scalars(select(Price))
        }
    assert prices["pro_month"] == (2900, "usd", "month")
    assert len(prices) == 10


LIFE = (
    "customer.subscription.created",
    "customer.subscription.updated",
    "invoice.paid",
    "customer.subscription.deleted",
)


def test_every_order_of_one_lifes_events_ends_in_the_same_rows(
    billing: Billing, make_billing: Callable[..., Billing], stripe: Emulator, databases: DatabaseMaker
) -> None:
    """H1: all permutations; the older payload never wins, though it comes last and says `active`."""
    subscribe(billing)
    subscription_id = stripe.events("customer.subscription.created")[0]["data"]["object"]["id"]
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    client.v1.subscriptions.update(subscription_id, {"cancel_at_period_end": True})
    client.v1.subscriptions.cancel(subscription_id)
    events = [stripe.events(kind)[0] for kind in LIFE]
    owner_row = _owner_row(billing)
    outcomes = []
    for order in itertools.permutations(events):
        url = databases.migrated()
        other = make_billing(database_url=url, clock=a_hurrying_clock())
        database = Database(url)
        with database.write() as session:
            session.add(OwnerMapping(**owner_row))
        for event in order:
            deliver(other, event)
            other.run_until_idle()
        outcomes.append(mirrored(database))
        assert other.access(OWNER).plan == "free"
        other.close()
        database.close()
        databases.remove(url)
    assert len(outcomes) == 24
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0]["subscriptions"][subscription_id][0] == "canceled"


def _owner_row(billing: Billing) -> dict[str, Any]:
    database = Database(billing.settings.database_url.get_secret_value())
    with database.read() as session:
        row = session.get_one(OwnerMapping, (OWNER, False))
    database.close()
    return {column.name: getattr(row, column.name) for column in OwnerMapping.__table__.columns}


def test_repeated_deliveries_have_their_effects_once(
    make_billing: Callable[..., Billing], stripe: Emulator, database: Database
) -> None:
    """H3: serially, in parallel, and again when all is done."""
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    told: list[Change] = []
    billing.on_change()(told.append)
    subscribe(billing)
    for _ in range(3):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda event: deliver(billing, event), stripe.events() * 2))
        billing.run_until_idle()
    assert sorted(each.kind for each in told) == ["credits.granted", "invoice.paid", "subscription.started"]
    assert len(mirrored(database)["invoices"]) == 1


def test_a_webhook_that_overtakes_our_own_commit_is_adopted(
    billing: Billing, stripe: Emulator, database: Database
) -> None:
    """H6: Stripe made the customer, we never stored its id, and the webhook is here already."""
    stripe.fail_next("/v1/customers", status=500, times=3, after_work=True)
    with pytest.raises(Exception, match="could not create a customer"):
        billing.checkout(OWNER, "pro")
    with database.read() as session:
        assert session.get_one(OwnerMapping, (OWNER, False)).customer_id is None
    deliver_all(billing, stripe)
    billing.run_until_idle()
    customer = billing.customer(OWNER)
    assert customer is not None
    assert customer.id == stripe.events("customer.created")[0]["data"]["object"]["id"]
    subscribe(billing)
    assert len(stripe.events("customer.created")) == 1


def test_metadata_that_names_an_owner_makes_nobody_an_owner(
    billing: Billing, stripe: Emulator, database: Database, client: sdk.StripeClient
) -> None:
    """H38, H43: only an intent of our own row does; everything else is somebody else's customer."""
    forged = client.v1.customers.create({"metadata": {"paidup_owner": OWNER, "paidup_intent": "made up"}})
    client.v1.customers.create({"email": "another.product@example.com"})
    deliver_all(billing, stripe)
    billing.run_until_idle()
    assert mirrored(database)["customers"] == {}
    assert billing.customer(OWNER) is None
    ignored = {each.target: each.reason for each in billing.events(state="ignored") if each.target}
    assert ignored[f"customer:{forged.id}"] == "foreign_customer"


def test_a_failure_after_storing_is_retried_by_us(
    make_billing: Callable[..., Billing], stripe: Emulator, database: Database
) -> None:
    """H7: the delivery was answered long ago; nobody has to do anything."""
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    subscribe(billing)
    stripe.fail_next("/v1/subscriptions", status=500, times=9)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "pro"
    assert billing.queue() == []


def test_a_rate_limit_costs_no_attempt(make_billing: Callable[..., Billing], stripe: Emulator) -> None:
    """H112."""
    billing = make_billing(clock=a_hurrying_clock(timedelta(seconds=1)))
    billing.push_catalog()
    subscribe(billing)
    stripe.fail_next("/v1/invoices", status=429, times=14, reason="resource-specific")
    deliver_all(billing, stripe)
    billing.run_until_idle(60)
    assert billing.access(OWNER).plan == "pro"


def test_how_often_is_tried_before_giving_up_is_a_setting(
    make_billing: Callable[..., Billing], stripe: Emulator
) -> None:
    """H7: visible as failed, and started again by a replay."""
    billing = make_billing(sync_attempts=2, clock=a_hurrying_clock(timedelta(seconds=1)))
    billing.push_catalog()
    subscribe(billing)
    (created,) = stripe.events("customer.created")
    deliver(billing, created)
    stripe.fail_next("/v1/customers/*", status=500, times=100)
    billing.run_until_idle(60)
    assert [(each.attempts, each.gave_up_at is not None) for each in billing.queue()] == [(2, True)]
    assert [each.id for each in billing.events(state="failed")] == [created["id"]]
    stripe.clear_faults()
    billing.replay(created["id"])
    billing.run_until_idle()
    assert billing.queue() == []


def test_a_handler_in_the_transaction_that_raises_costs_the_synchronisation_nothing(
    billing: Billing, stripe: Emulator, database: Database
) -> None:
    """H7: it is called again later; what Stripe says is stored, and the events are done with."""
    calls: list[str] = []

    @billing.on_change("subscription.started", in_transaction=True)
    def provision(change: Change, session: Any) -> None:
        calls.append(change.id)
        if len(calls) == 1:
            raise RuntimeError("the app's own table is locked")

    subscribe(billing)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    assert (billing.access(OWNER).plan, billing.queue()) == ("pro", [])
    assert len(calls) == 1
    worker = billing.worker()
    worker.start()
    eventually(lambda: calls == [calls[0]] * 2)
    assert worker.stop()


def test_a_failed_renewal_is_past_due_in_grace_and_its_payment_recovers(
    make_billing: Callable[..., Billing], stripe: Emulator, client: sdk.StripeClient
) -> None:
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    told: list[str] = []
    billing.on_change()(lambda change: told.append(change.kind))
    subscribe(billing)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    customer = billing.customer(OWNER)
    assert customer is not None
    method = client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})
    stripe.advance(days=32)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    access = billing.access(OWNER)
    assert (access.plan, access.status, access.action, access.reason) == (
        "pro",
        "past_due",
        "update_payment_method",
        "past_due_grace",
    )
    good = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": good.id})
    client.v1.invoices.pay(next(each.id for each in billing.invoices(OWNER) if each.is_open))
    deliver_all(billing, stripe)
    billing.run_until_idle()
    assert billing.access(OWNER).status == "active"
    assert "payment.failed" in told
    assert told.count("payment.recovered") == 1


def test_a_scheduled_end_of_either_kind_is_canceling(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H71."""
    subscribe(billing)
    billing.sync(OWNER)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    end = subscription.current_period_end
    assert end is not None
    for schedule, undo in (
        ({"cancel_at_period_end": True}, {"cancel_at_period_end": False}),
        ({"cancel_at": int(end.timestamp())}, {"cancel_at": ""}),
    ):
        client.v1.subscriptions.update(subscription.id, schedule)  # type: ignore[arg-type]  # one of two literals
        billing.sync(OWNER)
        access = billing.access(OWNER)
        assert (access.plan, access.is_canceling, access.until) == ("pro", True, end)
        client.v1.subscriptions.update(subscription.id, undo)  # type: ignore[arg-type]  # one of two literals
        billing.sync(OWNER)
        assert not billing.access(OWNER).is_canceling


@pytest.mark.parametrize(
    "params",
    [
        {"cancel_at": 253_402_300_800},
        {"cancel_at": 10**15},
        {"pause_collection": {"behavior": "void", "resumes_at": 253_402_344_000}},
    ],
    ids=str,
)
def test_a_moment_beyond_all_calendars_keeps_nobody_from_being_synchronised(
    billing: Billing, client: sdk.StripeClient, params: Any
) -> None:
    """Typed in the Dashboard, it kept its customer out of step, and every verb from working, for ever."""
    subscribe(billing)
    billing.sync(OWNER)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.v1.subscriptions.update(subscription.id, params)
    billing.sync(OWNER)
    found = billing.subscription(OWNER)
    assert found is not None
    assert (found.cancel_at or found.resumes_at) == datetime(9000, 1, 1, tzinfo=UTC)
    assert {each.object for each in billing.reconcile().differences} & {found.id, found.customer} == set()
    back = billing.resume(OWNER)
    assert (back.is_canceling, back.is_paused, billing.access(OWNER).can("reports")) == (False, False, True)


def test_a_customer_deleted_at_stripe_loses_access_and_gets_a_new_one(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H41."""
    subscribe(billing)
    billing.sync(OWNER)
    first = billing.customer(OWNER)
    assert first is not None
    client.v1.customers.delete(first.id)
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "free"
    subscribe(billing)
    billing.sync(OWNER)
    second = billing.customer(OWNER)
    assert second is not None
    assert second.id != first.id
    assert billing.access(OWNER).plan == "pro"


def test_a_worker_that_sees_only_ids_survives_payloads_that_lie(billing: Billing, stripe: Emulator) -> None:
    """H32: a payload says `active`, Stripe says otherwise; Stripe is asked."""
    subscribe(billing)
    event = stripe.events("customer.subscription.created")[0]
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    client.v1.subscriptions.cancel(event["data"]["object"]["id"])
    deliver(billing, event)
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "free"


def test_a_second_subscription_made_behind_our_back_is_seen_once_and_access_stays(
    make_billing: Callable[..., Billing], stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H47: two completed all the same; the newer one is named to the app."""
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    told: list[Change] = []
    billing.on_change("subscription.duplicated")(told.append)
    subscribe(billing)
    billing.sync(OWNER)
    first = billing.subscription(OWNER)
    assert first is not None
    assert first.payment_method is not None
    stripe.advance(seconds=5)
    second = client.v1.subscriptions.create(
        {
            "customer": first.customer,
            "items": [{"price": first.items[0].price}],
            "default_payment_method": first.payment_method.id,
        }
    )
    for _ in range(2):
        billing.sync(OWNER)
    billing.run_until_idle()
    assert [each.subscription for each in told] == [second.id]
    assert told[0].data["subscriptions"] == sorted([first.id, second.id])
    assert billing.access(OWNER).plan == "pro"

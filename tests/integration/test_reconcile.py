"""Reconciliation: what no event told is found, both ways, named exactly, and mended by the way that events take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import delete, insert, select, update

from paidup import Billing, Change, Progress, StripeError
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping, SyncTarget
from paidup.models import Customer as CustomerRow
from paidup.models import Invoice, Price, Product, Subscription, SubscriptionItem
from stripe_emulator import Emulator
from tests.support.account import OWNER, deliver_all, subscribe, told
from tests.support.deliveries import a_hurrying_clock, deliver


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database that `billing` is on."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def in_step(billing: Billing, stripe: Emulator) -> Billing:
    """A Billing with one subscriber, everything delivered and processed."""
    subscribe(billing)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    return billing


def only(session: Any, model: Any, **which: Any) -> Any:
    return session.scalars(select(model).filter_by(**which)).one()


def test_nothing_differs_when_everything_came(in_step: Billing, stripe: Emulator) -> None:
    stripe.advance(days=32)
    deliver_all(in_step, stripe)
    in_step.run_until_idle()
    report = in_step.reconcile()
    assert (report.state, report.is_clean, report.differences) == ("done", True, ())
    assert report.compared == {
        "product": 5,
        "price": 10,
        "customer": 1,
        "invoice": 2,
        "subscription": 1,
        "refund": 0,
        "dispute": 0,
    }
    assert in_step.last_reconciliation() == report


def test_what_no_event_told_is_found_and_mended_and_told_once(
    make_billing: Callable[..., Billing], stripe: Emulator
) -> None:
    """H13: the endpoint was off for good; nothing was delivered, and nothing ever will be."""
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    changes: list[Change] = []
    billing.on_change()(changes.append)
    subscribe(billing)
    (subscription,) = (each["data"]["object"]["id"] for each in stripe.events("customer.subscription.created"))
    (invoice,) = (each["data"]["object"]["id"] for each in stripe.events("invoice.paid"))
    found = billing.reconcile()
    assert {("subscription", subscription, "exists", "no", "yes"), ("invoice", invoice, "exists", "no", "yes")} < told(
        found
    )
    assert (found.fixed, found.unsafe, found.at_risk) == (0, 0, {"usd": 5800})
    assert billing.access(OWNER).plan == "free"
    fixed = billing.reconcile(fix=True)
    assert told(fixed) == told(found)
    assert (fixed.is_clean, fixed.found, fixed.at_risk, fixed.mended) == (True, 0, {}, {"usd": 5800})
    assert billing.access(OWNER).plan == "pro"
    deliver_all(billing, stripe)
    billing.run_until_idle()
    assert billing.reconcile(fix=True).fixed == 0
    billing.run_until_idle()
    assert sorted(each.kind for each in changes) == ["credits.granted", "invoice.paid", "subscription.started"]


def test_events_that_never_came_are_kept_with_what_they_changed(
    in_step: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H14: a run that mends notes up to when everything is known; the next one lists what happened since."""
    assert in_step.reconcile(fix=True).events == {}
    client.v1.subscriptions.cancel(client.v1.subscriptions.list().data[0].id)
    (canceled,) = stripe.events("customer.subscription.deleted")
    report = in_step.reconcile(fix=True)
    assert (report.is_clean, report.fixed > 0, report.events["stored"]) == (True, True, 1)
    assert report.events["window_exceeded"] is False
    assert in_step.event(canceled["id"]).state == "done"
    assert in_step.queue() == []


def test_every_field_that_differs_is_named_with_both_values(
    in_step: Billing, database: Database, client: sdk.StripeClient
) -> None:
    subscription = client.v1.subscriptions.list().data[0]
    with database.write() as session:
        customer = only(session, CustomerRow)
        customer.email = "other@example.com"
        row = only(session, Subscription)
        row.status, row.plan = "past_due", "basic"
        item = only(session, SubscriptionItem)
        item.quantity = 3
        invoice = only(session, Invoice)
        invoice.total, invoice.snapshot = 1900, invoice.snapshot | {"footer": "Thanks", "invoice_pdf": "elsewhere"}
        only(session, Product, plan="pro").name = "Other"
        only(session, Price, lookup_key="team_month").unit_amount = 1
        ids = customer.id, row.id, item.id, invoice.id, row.snapshot["items"]["data"][0]["price"]["id"]
    customer_id, subscription_id, item_id, invoice_id, _ = ids
    email = client.v1.customers.retrieve(customer_id).email
    team = client.v1.prices.list({"lookup_keys": ["team_month"]}).data[0]
    report = in_step.reconcile()
    assert told(report) == {
        ("customer", customer_id, "email", "other@example.com", email),
        ("subscription", subscription_id, "status", "past_due", "active"),
        ("subscription", subscription_id, "plan", "basic", "pro"),
        ("subscription", subscription_id, f"items.{item_id}.quantity", "3", "1"),
        ("invoice", invoice_id, "total", "1900", "2900"),
        ("invoice", invoice_id, "footer", "Thanks", None),
        ("product", "paidup_pro", "name", "Other", "Pro"),
        ("price", team.id, "unit_amount", "1", str(team.unit_amount)),
    }
    assert {each.customer for each in report.differences if each.kind in ("invoice", "subscription")} == {customer_id}
    assert report.at_risk == {"usd": 2900 + 1000}
    assert in_step.reconcile(fix=True).fixed == 8
    assert in_step.reconcile().is_clean
    assert subscription.id == subscription_id


def test_what_stripe_lacks_is_found(in_step: Billing, database: Database) -> None:
    with database.write() as session:
        for model, id in ((Price, "price_gone"), (Invoice, "in_gone"), (Subscription, "sub_gone")):
            row = session.execute(select(model.__table__).limit(1)).mappings().one()
            session.execute(insert(model).values(dict(row) | {"id": id}))
    report = in_step.reconcile()
    assert told(report) == {
        ("price", "price_gone", "exists", "yes", "no"),
        ("invoice", "in_gone", "exists", "yes", "no"),
        ("subscription", "sub_gone", "exists", "yes", "no"),
    }
    assert report.at_risk == {"usd": 2 * 2900}
    fixed = in_step.reconcile(fix=True)
    left = [(each.object, each.reason) for each in fixed.differences if each.state != "fixed"]
    assert left == [("sub_gone", "not_at_stripe")]
    assert (fixed.fixed, fixed.unsafe, fixed.is_clean, fixed.at_risk) == (2, 1, False, {"usd": 2900})


def test_what_we_lack_is_found(in_step: Billing, database: Database) -> None:
    with database.write() as session:
        price = only(session, Price, lookup_key="team_year").id
        invoice = only(session, Invoice).id
        session.execute(delete(Price).where(Price.id == price))
        session.execute(delete(Invoice))
    report = in_step.reconcile()
    assert told(report) == {("price", price, "exists", "no", "yes"), ("invoice", invoice, "exists", "no", "yes")}
    assert report.at_risk == {"usd": 2900}
    assert in_step.reconcile(fix=True).is_clean
    assert in_step.reconcile().differences == ()


def test_a_customer_deleted_at_stripe_is_found(in_step: Billing, client: sdk.StripeClient) -> None:
    customer = in_step.customer(OWNER)
    assert customer is not None
    client.v1.customers.delete(customer.id)
    report = in_step.reconcile(fix=True)
    assert ("customer", customer.id, "deleted", "false", "true") in told(report)
    assert in_step.access(OWNER).plan == "free"
    assert in_step.reconcile().is_clean


def test_a_customer_of_whom_stripe_knows_nothing_is_left_to_a_person(in_step: Billing, database: Database) -> None:
    """A key of another account must not take everybody's access away."""
    ours = in_step.customer(OWNER)
    assert ours is not None
    with database.write() as session:
        for model in (CustomerRow, Subscription, Invoice):
            name = "id" if model is CustomerRow else "customer_id"
            session.execute(update(model).values({name: "cus_elsewhere"}))
        session.execute(update(OwnerMapping).values(customer_id="cus_elsewhere"))
    report = in_step.reconcile(fix=True)
    assert {(each.object, each.state, each.reason) for each in report.differences} == {
        ("cus_elsewhere", "unsafe", "unknown_to_stripe"),
        (ours.id, "unsafe", "owner_has_another_customer"),
    }
    assert in_step.access(OWNER).plan == "pro"


def test_a_customer_whose_creation_we_could_not_commit_is_adopted(
    billing: Billing, stripe: Emulator, database: Database, client: sdk.StripeClient
) -> None:
    """H109: Stripe made it, the answer was lost, and so was every event."""
    stripe.fail_next("/v1/customers", status=500, times=3, after_work=True)
    with pytest.raises(StripeError):
        billing.checkout(OWNER, "pro")
    (orphan,) = client.v1.customers.list().data
    assert ("customer", orphan.id, "exists", "no", "yes") in told(billing.reconcile())
    assert billing.reconcile(fix=True).is_clean
    customer = billing.customer(OWNER)
    assert customer is not None
    assert customer.id == orphan.id


def test_work_in_flight_is_no_drift(in_step: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    seen = len(stripe.events())
    client.v1.subscriptions.update(client.v1.subscriptions.list().data[0].id, {"cancel_at_period_end": True})
    for event in stripe.events()[seen:]:
        deliver(in_step, event)
    report = in_step.reconcile()
    assert (report.differences, report.in_flight) == ((), 1)
    in_step.run_until_idle()
    report = in_step.reconcile()
    assert (report.is_clean, report.in_flight) == (True, 0)


def test_an_event_that_was_on_its_way_all_the_time_is_no_drift(
    in_step: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    client.v1.subscriptions.cancel(client.v1.subscriptions.list().data[0].id)
    (canceled,) = stripe.events("customer.subscription.deleted")

    def deliver_late(progress: Progress) -> None:
        if progress.phase == "subscription":
            deliver(in_step, canceled)

    report = in_step.reconcile(on_progress=deliver_late)
    assert (report.differences, report.in_flight) == ((), 1)


def test_a_customer_we_gave_up_on_is_not_in_flight(
    in_step: Billing, database: Database, client: sdk.StripeClient
) -> None:
    """Nobody would see to them otherwise."""
    client.v1.subscriptions.cancel(client.v1.subscriptions.list().data[0].id)
    with database.write() as session:
        gave_up = {"requested": SyncTarget.requested + 1, "gave_up_at": datetime.now(UTC)}
        session.execute(update(SyncTarget).where(SyncTarget.target.like("customer:%")).values(gave_up))
    assert in_step.reconcile().found > 0
    assert in_step.reconcile(fix=True).is_clean
    assert (in_step.queue(), in_step.access(OWNER).plan) == ([], "free")


def test_what_cannot_be_mended_now_is_told_and_left_to_the_workers(
    in_step: Billing, stripe: Emulator, database: Database
) -> None:
    with database.write() as session:
        session.execute(update(Invoice).values(total=1))
    # The first call is that of the second look.
    stripe.fail_next("/v1/customers/*", status=500, nth=2, times=3)
    report = in_step.reconcile(fix=True)
    (difference,) = report.differences
    assert (difference.state, difference.reason, report.is_clean) == ("found", "stripe_unavailable", False)
    in_step.run_until_idle()
    assert in_step.reconcile().is_clean


def test_since_when_a_payment_is_late_is_compared_as_well(in_step: Billing, database: Database) -> None:
    """It is nothing of Stripe's, but follows from the invoices."""
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    with database.write() as session:
        session.execute(update(Subscription).values(past_due_since=long_ago))
    report = in_step.reconcile()
    assert [(each.field, each.ours, each.theirs) for each in report.differences] == [
        ("past_due_since", long_ago.isoformat(), None)
    ]
    assert in_step.reconcile(fix=True).is_clean

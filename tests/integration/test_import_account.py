"""An existing account is taken in: whole, in silence, and nobody becomes an owner by what they write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import select, update

from paidup import Billing, Change
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping
from paidup.models import Customer as CustomerRow
from paidup.models import SubscriptionItem
from stripe_emulator import Emulator
from tests.support.account import OWNER, a_customer, by_app_user, deliver_all, price_of, subscribe, told
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


def test_an_existing_account_is_taken_in_whole_and_in_silence(
    make_billing: Callable[..., Billing], stripe: Emulator, client: sdk.StripeClient, database: Database
) -> None:
    """H16: 250 customers, and a subscription with more items than a list shows."""
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    changes: list[Change] = []
    billing.on_change()(changes.append)
    for user in range(248):
        a_customer(client, user)
    payer = a_customer(client, "payer", price=price_of(client))
    late = a_customer(client, "late", price=price_of(client))
    client.v1.customers.create({"email": "foreign@example.com"})
    items = [
        client.v1.prices.create(
            {"currency": "usd", "unit_amount": 100, "recurring": {"interval": "month"}, "product": "paidup_team"}
        ).id
        for _ in range(12)
    ]
    client.v1.subscriptions.create({"customer": payer, "items": [{"price": each} for each in items]})
    bad = client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": late})
    client.v1.customers.update(late, {"invoice_settings": {"default_payment_method": bad.id}})
    stripe.advance(days=32)
    before = billing.reconcile(owner_of=by_app_user)
    assert (before.found, before.adopted, before.foreign) == (250 + 5 + 10 + 12, 0, 1)
    with database.read() as session:
        assert session.scalars(select(CustomerRow)).all() == []
    report = billing.reconcile(fix=True, owner_of=by_app_user)
    assert (report.adopted, report.foreign, report.is_clean) == (250, 1, True)
    assert report.imported == {"customer": 250, "invoice": 6, "subscription": 3}
    after = billing.reconcile()
    assert (after.differences, after.compared["customer"]) == ((), 250)
    assert (billing.access("user:payer").plan, billing.access("user:payer").status) == ("pro", "active")
    assert (billing.access("user:late").status, billing.access("user:late").reason) == ("past_due", "past_due_grace")
    with database.read() as session:
        assert len(session.scalars(select(SubscriptionItem)).all()) == 14
        old = session.scalars(select(CustomerRow).order_by(CustomerRow.created, CustomerRow.id)).first()
    assert old is not None
    with database.write() as session:
        session.execute(update(CustomerRow).where(CustomerRow.id == old.id).values(name="Other"))
    assert told(billing.reconcile()) == {("customer", old.id, "name", "Other", None)}
    billing.run_until_idle()
    assert changes == []


def test_one_owner_has_one_customer_whoever_else_claims_it(
    in_step: Billing, client: sdk.StripeClient, database: Database
) -> None:
    ours = in_step.customer(OWNER)
    assert ours is not None
    second = a_customer(client, 1, email=ours.email)
    rivals = {a_customer(client, 7, price=price_of(client)), a_customer(client, 7)}
    nobody = client.v1.customers.create({"email": str(ours.email)}).id
    unnamable = a_customer(client, "\n")
    report = in_step.reconcile(fix=True, owner_of=by_app_user)
    refused = {each.object: each.reason for each in report.differences}
    assert refused.pop(second) == "owner_has_another_customer"
    assert refused.pop(unnamable) == "invalid_owner"
    assert (set(refused) < rivals, set(refused.values())) == (True, {"owner_has_another_customer"})
    assert (report.unsafe, report.adopted, report.foreign) == (3, 1, 1)
    assert in_step.customer(OWNER) == ours
    with database.read() as session:
        assert session.get(CustomerRow, nobody) is None
        owners = {row.customer_id for row in session.scalars(select(OwnerMapping))}
    assert owners == {ours.id, *(rivals - set(refused))}


def test_a_customer_of_another_paidup_is_left_alone(in_step: Billing, client: sdk.StripeClient) -> None:
    """H43: two apps may share an account; metadata alone makes nobody an owner here."""
    client.v1.customers.create({"metadata": {"paidup_owner": "user:2", "paidup_intent": "made up"}})
    assert in_step.reconcile(fix=True).foreign == 1
    again = client.v1.customers.create({"metadata": {"paidup_owner": OWNER, "paidup_intent": "made up"}})
    report = in_step.reconcile(fix=True)
    assert [(each.object, each.reason) for each in report.differences] == [(again.id, "owner_has_another_customer")]


def test_a_customer_that_moved_during_the_import_is_synchronised_again(
    make_billing: Callable[..., Billing], stripe: Emulator, client: sdk.StripeClient
) -> None:
    """An event that comes before the mapping finds nobody's customer; it must not be lost with that."""
    billing = make_billing()
    billing.push_catalog()
    customer = a_customer(client, 1, price=price_of(client))
    (subscription,) = client.v1.subscriptions.list().data

    def cancel_behind_its_back(progress: Any) -> None:
        if progress.phase == "subscription":
            client.v1.subscriptions.cancel(subscription.id)
            deliver(billing, stripe.events("customer.subscription.deleted")[0])
            billing.run_until_idle()

    report = billing.reconcile(fix=True, owner_of=by_app_user, on_progress=cancel_behind_its_back)
    assert report.adopted == 1
    assert [each.target for each in billing.queue()] == [f"customer:{customer}"]
    billing.run_until_idle()
    assert billing.reconcile().is_clean
    assert billing.access(OWNER).plan == "free"


def test_what_went_back_before_is_known_and_told_to_nobody(
    make_billing: Callable[..., Billing], stripe: Emulator, client: sdk.StripeClient
) -> None:
    two_days_later = timedelta(days=2)
    billing = make_billing(clock=lambda: datetime.now(UTC) + two_days_later)
    billing.push_catalog()
    a_customer(client, 1, price=price_of(client))
    (charge,) = client.v1.charges.list().data
    client.v1.refunds.create({"charge": charge.id, "amount": 300})
    stripe.advance(days=2)
    changes: list[Change] = []
    billing.on_change("invoice.refunded")(changes.append)
    report = billing.reconcile(fix=True, owner_of=by_app_user)
    assert (report.adopted, report.found) == (1, 0)
    billing.run_until_idle()
    (invoice,) = billing.invoices("user:1")
    assert (invoice.amount_refunded, changes) == (300, [])
    client.v1.refunds.create({"charge": charge.id, "amount": 200})
    for event in stripe.events():
        deliver(billing, event, at=stripe.now)
    billing.run_until_idle()
    assert [each.data["amount"] for each in changes] == [200]

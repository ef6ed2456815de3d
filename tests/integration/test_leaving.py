"""An owner's account is deleted: whatever fails meanwhile, nothing of theirs is charged afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import select

from paidup import AsyncBilling, Billing, Change, InvalidOwner, StripeUnavailable
from paidup.database.engine import Database
from paidup.models import Customer, Subscription
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.account import deliver_all, subscribe
from tests.support.deliveries import a_hurrying_clock
from tests.support.paying import pay

OWNER = "user:1"
OVER = {"canceled", "incomplete_expired"}

pytestmark = pytest.mark.hazard(45)


@pytest.fixture
def client(stripe: Emulator) -> Any:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def leaver(make_billing: MakeBilling, stripe: Emulator, client: Any) -> Billing:
    """A Billing whose owner has two subscriptions, an open invoice and an open Checkout."""
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    billing_url = billing.checkout(OWNER, "pro", email="ada@example.com", name="Ada").url
    pay(str(billing_url))
    billing.sync(OWNER)
    customer = customer_of(billing)
    item = {"price": another_price(client)}
    client.subscriptions.create({"customer": customer, "items": [item], "trial_period_days": 30})
    client.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd"})
    client.invoices.finalize_invoice(
        client.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"}).id,
        {"auto_advance": False},
    )
    client.checkout.sessions.create(
        {
            "customer": customer,
            "mode": "subscription",
            "line_items": [item | {"quantity": 1}],
            "success_url": "https://app.example/done",
        }
    )
    billing.sync(OWNER)
    return billing


def another_price(client: Any) -> str:
    return str(client.prices.list({"lookup_keys": ["basic_month"]}).data[0].id)


def customer_of(billing: Billing) -> str:
    found = billing.customer(OWNER)
    assert found is not None
    return found.id


def nothing_can_be_charged(client: Any, customer: str) -> None:
    subscriptions = client.subscriptions.list({"customer": customer, "status": "all"}).data
    assert len(subscriptions) == 2
    assert {each.status for each in subscriptions} <= OVER
    assert {each.status for each in client.invoices.list({"customer": customer}).data} <= {"paid", "void"}
    assert {each.status for each in client.checkout.sessions.list({"customer": customer}).data} <= {
        "complete",
        "expired",
    }
    assert client.customers.retrieve(customer).deleted


def test_everything_that_could_charge_them_is_ended_and_they_are_deleted(
    leaver: Billing, client: Any, database_url: str
) -> None:
    customer = customer_of(leaver)
    assert leaver.delete_customer(OWNER)
    nothing_can_be_charged(client, customer)
    assert (leaver.customer(OWNER), leaver.access(OWNER).plan) == (None, "free")
    assert [each.kind for each in leaver.changes() if each.kind == "subscription.ended"] == ["subscription.ended"] * 2
    assert leaver.queue() == []
    database = Database(database_url)
    with database.read() as session:
        assert set(session.scalars(select(Subscription.status))) == {"canceled"}
        [row] = session.scalars(select(Customer))
        assert (row.email, row.name, "ada" in str(row.snapshot).lower()) == (None, None, False)
    database.close()


@pytest.mark.parametrize("heard_between", [True, False])
def test_the_app_is_told_once(leaver: Billing, stripe: Emulator, heard_between: bool) -> None:
    """By the verb, and not again by the events of the deletion."""
    customer = customer_of(leaver)
    told: list[Change] = []
    leaver.on_change("customer.deleted")(told.append)
    leaver.delete_customer(OWNER)
    if heard_between:
        leaver.run_until_idle()
    deliver_all(leaver, stripe)
    leaver.run_until_idle()
    leaver.delete_customer(OWNER)
    leaver.run_until_idle()
    assert [(each.owner, each.customer) for each in told] == [(OWNER, customer)]


def test_they_may_come_back_as_somebody_new(leaver: Billing, client: Any) -> None:
    customer = customer_of(leaver)
    assert leaver.delete_customer(OWNER)
    subscribe(leaver)
    leaver.sync(OWNER)
    assert customer_of(leaver) != customer
    assert leaver.access(OWNER).plan == "pro"


def test_their_late_events_change_nothing(leaver: Billing, stripe: Emulator) -> None:
    assert leaver.delete_customer(OWNER)
    deliver_all(leaver, stripe)
    leaver.run_until_idle()
    assert (leaver.customer(OWNER), leaver.access(OWNER).plan) == (None, "free")


def test_again_and_for_nobody_it_is_done_at_once(leaver: Billing, stripe: Emulator) -> None:
    assert leaver.delete_customer(OWNER)
    stripe.fail_next("/v1/*", status=500, times=50)
    assert leaver.delete_customer(OWNER)
    assert leaver.delete_customer("user:2")
    with pytest.raises(InvalidOwner):
        leaver.delete_customer("")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers/*",
        "/v1/checkout/sessions/*/expire",
        "/v1/subscriptions",
        "/v1/subscriptions/*",
        "/v1/invoices",
        "/v1/invoices/*/void",
    ],
)
@pytest.mark.parametrize("fault", ["refused", "answer lost"])
def test_what_fails_is_finished_by_the_workers(
    leaver: Billing, stripe: Emulator, client: Any, path: str, fault: str
) -> None:
    customer = customer_of(leaver)
    if fault == "refused":
        stripe.fail_next(path, status=500, times=3)  # the SDK's own repetitions as well
    else:
        stripe.cut_next(path, after_work=True, times=3)
    done = leaver.delete_customer(OWNER)
    assert done or [each.target for each in leaver.queue(kind="leaving")] == [f"leaving:{customer}"]
    leaver.run_until_idle()
    nothing_can_be_charged(client, customer)
    assert leaver.queue() == []
    assert leaver.access(OWNER).plan == "free"


def test_a_creation_whose_answer_was_lost_leaves_nobody(make_billing: MakeBilling, stripe: Emulator) -> None:
    billing = make_billing()
    billing.push_catalog()
    stripe.cut_next("/v1/customers", after_work=True, times=3)
    with pytest.raises(Exception, match="no answer"):
        billing.checkout(OWNER, "pro")
    assert billing.delete_customer(OWNER)
    [customer] = [event["data"]["object"]["id"] for event in stripe.events("customer.deleted")]
    assert [event["data"]["object"]["id"] for event in stripe.events("customer.created")] == [customer]


@pytest.mark.parametrize("after_work", [True, False], ids=["made", "not made"])
def test_a_creation_that_has_no_answer_yet_is_finished_by_the_workers(
    make_billing: MakeBilling, stripe: Emulator, after_work: bool
) -> None:
    """The app deletes its rows at once, so the wish must be stored, whether or not Stripe can be asked."""
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    stripe.cut_next("/v1/customers", after_work=after_work, times=3)
    with pytest.raises(StripeUnavailable):
        billing.checkout(OWNER, "pro")
    stripe.clear_faults()
    stripe.fail_next("/v1/*", status=500, times=6)
    assert not billing.delete_customer(OWNER)
    assert len(billing.queue(kind="leaving")) == 1
    stripe.clear_faults()
    billing.run_until_idle()
    [made] = [event["data"]["object"]["id"] for event in stripe.events("customer.created")]
    assert [event["data"]["object"]["id"] for event in stripe.events("customer.deleted")] == [made]
    assert (billing.queue(), billing.customer(OWNER)) == ([], None)
    assert billing.delete_customer(OWNER)


def test_a_creation_that_stripe_refuses_after_all_leaves_nobody_to_delete(
    make_billing: MakeBilling, stripe: Emulator
) -> None:
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    stripe.cut_next("/v1/customers", times=3)
    with pytest.raises(StripeUnavailable):
        billing.checkout(OWNER, "pro")
    stripe.clear_faults()
    stripe.fail_next("/v1/customers", status=400)
    assert not billing.delete_customer(OWNER)
    billing.run_until_idle()
    assert (billing.queue(), stripe.events("customer.created")) == ([], [])
    assert billing.delete_customer(OWNER)


def test_a_key_of_the_other_mode_deletes_nobody(
    leaver: Billing, make_billing: MakeBilling, stripe: Emulator, client: Any
) -> None:
    """What waits does not say its mode; a live worker that meets it leaves it alone."""
    customer = customer_of(leaver)
    live = make_billing(secret_key="sk_live_paidup", api_base=None)
    assert live.delete_customer(OWNER), "live, they never were anybody"
    stripe.fail_next("/v1/*", status=500, times=3)
    assert not leaver.delete_customer(OWNER, wait=timedelta(seconds=5))
    worker = live.worker()
    with pytest.raises(TimeoutError):
        worker.run_until_idle(0.5)
    assert not hasattr(client.customers.retrieve(customer), "deleted")


def test_it_is_a_coroutine_as_well(leaver: Billing) -> None:
    assert asyncio.run(AsyncBilling(leaver).delete_customer(OWNER))

"""Customers: whose they are is ours to know, what they are called is Stripe's, and neither overwrites the other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import stripe as sdk

from paidup import Billing, CustomerNotFound, StripeUnavailable
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.go_between import GoBetween, a_go_between
from tests.support.paying import pay

OWNER, OTHER = "user:1", "user:2"
SIGN_IN = "ada@example.com"


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def between(stripe: Emulator) -> Iterator[GoBetween]:
    with a_go_between(stripe) as between:
        yield between


@pytest.fixture
def billing(make_billing: MakeBilling, between: GoBetween) -> Billing:
    billing = make_billing(api_base=between.url, clock=a_hurrying_clock())
    billing.push_catalog()
    return billing


def test_a_webhook_that_is_processed_before_our_own_commit_changes_nothing_of_the_outcome(
    billing: Billing, make_billing: MakeBilling, between: GoBetween, stripe: Emulator
) -> None:
    """H6: Stripe's answer to "make a customer" is still on its way, and a worker has heard of them already."""
    elsewhere = make_billing(clock=a_hurrying_clock())
    overtaken: list[str] = []

    def overtake(answer: bytes) -> bytes:
        if between.calls[-1] == ("POST", "/v1/customers"):
            deliver(elsewhere, stripe.events("customer.created")[0])
            elsewhere.run_until_idle()
            adopted = elsewhere.customer(OWNER)
            assert adopted is not None
            overtaken.append(adopted.id)
        return answer

    between.change = overtake
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    customer = billing.customer(OWNER)
    assert customer is not None
    assert overtaken == [customer.id]
    assert billing.access(OWNER).plan == "pro"
    assert len(stripe.events("customer.created")) == 1


def test_an_address_changed_at_stripe_is_mirrored_and_neither_overwrites_the_other(
    billing: Billing, between: GoBetween, client: sdk.StripeClient, stripe: Emulator, database_url: str
) -> None:
    """H44: Stripe's side. Whose customer it is does not hang on it, and a later Checkout changes nothing there."""
    pay(str(billing.checkout(OWNER, "pro", email=SIGN_IN).url))
    billing.sync(OWNER)
    before = billing.customer(OWNER)
    assert before is not None
    client.v1.customers.update(before.id, {"email": "invoices@company.example"})
    for event in stripe.events("customer.updated"):
        deliver(billing, event)
        billing.run_until_idle()
    billing.portal(OWNER)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.v1.subscriptions.cancel(subscription.id)
    billing.sync(OWNER)
    billing.checkout(OWNER, "pro", email=SIGN_IN)
    billing.sync(OWNER)
    after = billing.customer(OWNER)
    assert after is not None
    assert (after.id, after.owner, after.email) == (before.id, OWNER, "invoices@company.example")
    assert client.v1.customers.retrieve(before.id).email == "invoices@company.example"
    before_each = [event["data"]["previous_attributes"] for event in stripe.events("customer.updated")]
    assert [each["email"] for each in before_each if "email" in each] == [SIGN_IN]
    assert between.calls.count(("POST", "/v1/customers")) == 1
    database = Database(database_url)
    with database.read() as session:
        assert session.get_one(OwnerMapping, (OWNER, False)).params["email"] == SIGN_IN
    database.close()


def test_an_address_makes_nobody_the_owner_of_what_another_one_has(
    billing: Billing, client: sdk.StripeClient, stripe: Emulator
) -> None:
    """H36: not that of another owner's customer, nor that of one made in the Dashboard."""
    client.v1.customers.create({"email": SIGN_IN})
    pay(str(billing.checkout(OWNER, "pro", email=SIGN_IN).url))
    billing.sync(OWNER)
    with pytest.raises(CustomerNotFound):
        billing.portal(OTHER)
    billing.checkout(OTHER, "pro", email=SIGN_IN)
    for event in stripe.events():
        deliver(billing, event)
    billing.run_until_idle()
    assert len(stripe.events("customer.created")) == 3
    mine, theirs = billing.customer(OWNER), billing.customer(OTHER)
    assert mine is not None
    assert theirs is not None
    assert mine.id != theirs.id
    assert (billing.access(OWNER).plan, billing.access(OTHER).plan) == ("pro", "free")
    assert billing.invoices(OTHER) == []


def test_nobody_is_searched_for(billing: Billing, between: GoBetween) -> None:
    """H34: Stripe's search is a minute late; the mapping decides, and no list is asked by an address."""
    for owner in (OWNER, OTHER, OWNER):
        billing.checkout(owner, "pro", email=SIGN_IN)
    assert [path for _, path in between.calls if "search" in path] == []
    assert ("GET", "/v1/customers") not in between.calls
    assert between.calls.count(("POST", "/v1/customers")) == 2


def test_what_a_session_of_others_says_of_its_owner_counts_for_nothing(
    billing: Billing, client: sdk.StripeClient, stripe: Emulator
) -> None:
    """H38: a payment link's reference and metadata are what its visitor likes, an owner's own open claim included."""
    opened = billing.checkout(OTHER, "pro")
    claim = stripe.get(str(opened.session_id))["metadata"]
    [price] = client.v1.prices.list({"lookup_keys": ["pro_month"]}).data
    for reference in (OTHER, claim["paidup_intent"]):
        session = client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": price.id, "quantity": 1}],
                "success_url": "https://link.example/done",
                "client_reference_id": reference,
                "metadata": claim,
                "subscription_data": {"metadata": claim},
            }
        )
        pay(str(session.url))
    for event in stripe.events():
        deliver(billing, event)
    billing.run_until_idle()
    assert len(stripe.events("customer.subscription.created")) == 2
    assert (billing.access(OTHER).plan, billing.subscription(OTHER)) == ("free", None)
    assert billing.find_checkout(OTHER, str(opened.session_id)).state == "open"
    assert "foreign_customer" in {event.reason for event in billing.events(state="ignored", limit=500)}


@pytest.mark.parametrize("how", ["told", "missing"])
def test_a_customer_that_is_gone_is_over_and_replaced_at_the_next_checkout(
    billing: Billing, client: sdk.StripeClient, stripe: Emulator, how: str
) -> None:
    """H41: whether Stripe tells of the deletion, or knows nothing of them any more."""
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    gone = billing.customer(OWNER)
    assert gone is not None
    if how == "told":
        client.v1.customers.delete(gone.id)
        deliver(billing, stripe.events("customer.deleted")[0])
        billing.run_until_idle()
    else:
        for path in (f"/v1/customers/{gone.id}", "/v1/subscriptions", "/v1/invoices", "/v1/checkout/sessions/*"):
            stripe.fail_next(path, status=404, times=1)
        billing.sync(OWNER)
        stripe.clear_faults()
    assert (billing.access(OWNER).plan, billing.subscription(OWNER), billing.customer(OWNER)) == ("free", None, None)
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    new = billing.customer(OWNER)
    assert new is not None
    assert new.id != gone.id
    assert billing.access(OWNER).plan == "pro"


def test_what_another_app_on_the_account_does_costs_a_call_each_and_no_row(
    billing: Billing, between: GoBetween, client: sdk.StripeClient, stripe: Emulator
) -> None:
    """H43: however much they have, and however often it is told."""
    [price] = client.v1.prices.list({"lookup_keys": ["pro_month"]}).data
    theirs = client.v1.customers.create({"email": "somebody@example.com"})
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": theirs.id})
    client.v1.subscriptions.create(
        {"customer": theirs.id, "items": [{"price": price.id}], "default_payment_method": card.id}
    )
    events = [event for event in stripe.events() if event["type"].startswith(("customer", "invoice"))]
    between.calls.clear()
    for event in events * 2:
        deliver(billing, event)
    billing.run_until_idle()
    assert set(between.calls) == {("GET", f"/v1/customers/{theirs.id}")}
    assert len(between.calls) <= 2
    assert {event.reason for event in billing.events() if event.target} == {"foreign_customer"}


def test_a_customer_deleted_before_we_knew_them_is_found_out(
    billing: Billing, client: sdk.StripeClient, stripe: Emulator
) -> None:
    """H6: the answer is lost and the customer deleted; repeating the call gives the old answer, of somebody gone."""
    stripe.cut_next("/v1/customers", method="POST", after_work=True, times=3)
    with pytest.raises(StripeUnavailable):
        billing.checkout(OWNER, "pro")
    [created] = stripe.events("customer.created")
    client.v1.customers.delete(created["data"]["object"]["id"])
    for event in stripe.events():
        deliver(billing, event)
    billing.run_until_idle()
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "pro"


@pytest.mark.parametrize("days", [0.5, 3])
def test_an_answer_lost_days_ago_makes_no_second_customer(
    make_billing: MakeBilling, client: sdk.StripeClient, stripe: Emulator, days: float
) -> None:
    """H110: Stripe forgets idempotency keys after a day, and no event tells of the customer in time."""
    later = timedelta(0)
    billing = make_billing(clock=lambda: datetime.now(UTC) + later)
    billing.push_catalog()
    stripe.cut_next("/v1/customers", method="POST", after_work=True, times=3)
    with pytest.raises(StripeUnavailable):
        billing.checkout(OWNER, "pro")
    later = timedelta(days=days)
    stripe.advance(days=days)
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "pro"
    assert len(client.v1.customers.list().data) == 1

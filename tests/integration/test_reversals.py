"""Refunds and disputes: whose they are, what they make of invoices and access, and what the app is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import stripe as sdk

from paidup import AccessPolicy, Billing, Change, Grants, Invoice
from paidup.database.engine import Database
from paidup.models import Reversal
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.account import deliver_all
from tests.support.calls import counted
from tests.support.deliveries import deliver
from tests.support.paying import pay

OWNER = "user:1"
DISPUTED_CARD = "4000000000000259"
INQUIRY_CARD = "4000000000001976"
REFUND_FAILS_CARD = "4000000000005126"

Told = list[Change]


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def billing(billing: Billing, told: Told) -> Billing:
    billing.on_change()(told.append)
    return billing


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def bought_with(billing: Billing, stripe: Emulator, card: str) -> None:
    pay(str(billing.checkout(OWNER, "pro").url), number=card)
    hear(billing, stripe)


def hear(billing: Billing, stripe: Emulator) -> None:
    """Everything is delivered and done."""
    deliver_all(billing, stripe)
    billing.run_until_idle()


def charge_of(client: sdk.StripeClient, billing: Billing) -> Any:
    """The owner's latest charge."""
    customer = billing.customer(OWNER)
    assert customer is not None
    return client.v1.charges.list({"customer": customer.id}).data[0]


def invoice_of(billing: Billing) -> Invoice:
    """The owner's latest invoice."""
    return billing.invoices(OWNER)[0]


def kinds(told: Told) -> list[str]:
    return [each.kind for each in told if each.kind.startswith(("dispute", "refund", "invoice.refunded"))]


def test_a_refund_shows_on_the_invoice_and_is_told_once(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, told: Told
) -> None:
    """H99: what is not wholly refunded stays paid for."""
    bought_with(billing, stripe, "4242424242424242")
    charge = charge_of(client, billing)
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 900, "reason": "requested_by_customer"})
    for _ in range(2):
        hear(billing, stripe)
    assert (invoice_of(billing).amount_refunded, invoice_of(billing).is_refunded) == (900, False)
    assert invoice_of(billing).is_paid
    assert billing.access(OWNER).plan == "pro"
    (change,) = [each for each in told if each.kind == "invoice.refunded"]
    assert change.id == f"invoice.refunded:{refund.id}"
    assert (change.owner, change.invoice) == (OWNER, invoice_of(billing).id)
    assert change.subscription == billing.access(OWNER).subscription.id  # type: ignore[union-attr]
    assert change.data == {
        "amount": 900,
        "currency": "usd",
        "reason": "requested_by_customer",
        "status": "succeeded",
        "charge": charge.id,
        "is_whole": False,
    }
    client.v1.refunds.create({"charge": charge.id})
    hear(billing, stripe)
    assert (invoice_of(billing).amount_refunded, invoice_of(billing).is_refunded) == (2900, True)
    assert [each.data["is_whole"] for each in told if each.kind == "invoice.refunded"] == [False, True]


@pytest.mark.parametrize(("worth", "plan"), [(Grants.YES, "pro"), (Grants.NO, "free")])
def test_what_a_whole_refund_is_worth_is_a_policy(
    make_billing: MakeBilling, stripe: Emulator, client: sdk.StripeClient, worth: Grants, plan: str
) -> None:
    """H99."""
    billing = make_billing(policy=AccessPolicy(refunded=worth))
    billing.push_catalog()
    bought_with(billing, stripe, "4242424242424242")
    client.v1.refunds.create({"charge": charge_of(client, billing).id})
    hear(billing, stripe)
    access = billing.access(OWNER)
    assert (access.plan, access.status) == (plan, "active")
    assert access.reason == ("active" if plan == "pro" else "refunded")
    stripe.advance(days=32)
    hear(billing, stripe)
    assert billing.access(OWNER).plan == "pro", "the next period is paid"


def test_a_dispute_holds_access_until_it_is_won(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, told: Told
) -> None:
    """H99, H100: a dispute names its charge, and nobody else."""
    bought_with(billing, stripe, DISPUTED_CARD)
    access = billing.access(OWNER)
    assert (access.plan, access.status, access.reason, access.is_paid) == ("free", "active", "disputed", False)
    assert invoice_of(billing).dispute == "needs_response"
    (dispute,) = client.v1.disputes.list().data
    (opened,) = [each for each in told if each.kind == "dispute.opened"]
    assert access.subscription is not None
    assert opened.subscription == access.subscription.id
    assert (opened.id, opened.owner, opened.invoice) == (f"dispute.opened:{dispute.id}", OWNER, invoice_of(billing).id)
    assert (opened.data["amount"], opened.data["reason"]) == (2900, "fraudulent")

    client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    hear(billing, stripe)
    assert (billing.access(OWNER).plan, billing.access(OWNER).reason) == ("pro", "active")
    assert invoice_of(billing).dispute == "won"
    assert kinds(told) == ["dispute.opened", "dispute.closed"]
    assert [each.data["status"] for each in told if each.kind == "dispute.closed"][-1] == "won"


def test_a_lost_dispute_takes_access_until_something_is_paid(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, told: Told
) -> None:
    """H99."""
    bought_with(billing, stripe, DISPUTED_CARD)
    (dispute,) = client.v1.disputes.list().data
    client.v1.disputes.close(dispute.id)
    hear(billing, stripe)
    assert (billing.access(OWNER).plan, invoice_of(billing).dispute) == ("free", "lost")
    assert [each.data["status"] for each in told if each.kind == "dispute.closed"][-1] == "lost"
    customer = billing.customer(OWNER)
    assert customer is not None
    method = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})
    stripe.advance(days=32)
    hear(billing, stripe)
    assert billing.access(OWNER).plan == "pro"


def test_an_inquiry_takes_nothing(billing: Billing, stripe: Emulator, told: Told) -> None:
    bought_with(billing, stripe, INQUIRY_CARD)
    assert billing.access(OWNER).plan == "pro"
    assert str(invoice_of(billing).dispute).startswith("warning_")
    assert kinds(told) == []


def test_a_policy_may_leave_access_while_a_dispute_is_open(make_billing: MakeBilling, stripe: Emulator) -> None:
    billing = make_billing(policy=AccessPolicy(disputed=Grants.YES))
    billing.push_catalog()
    bought_with(billing, stripe, DISPUTED_CARD)
    assert billing.access(OWNER).plan == "pro"


def test_a_refund_that_fails_is_taken_back(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, told: Told
) -> None:
    bought_with(billing, stripe, REFUND_FAILS_CARD)
    client.v1.refunds.create({"charge": charge_of(client, billing).id})
    hear(billing, stripe)
    assert invoice_of(billing).is_refunded
    stripe.advance(days=6)
    hear(billing, stripe)
    assert invoice_of(billing).amount_refunded == 0
    assert kinds(told) == ["invoice.refunded", "refund.failed"]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_any_order_ends_the_same(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, told: Told, order: tuple[int, ...]
) -> None:
    """H1, H99: a refund before the payment it is of converges."""
    pay(str(billing.checkout(OWNER, "pro").url))
    bought = stripe.events()
    customer = next(event["data"]["object"]["id"] for event in bought if event["type"] == "customer.created")
    (charge,) = client.v1.charges.list({"customer": customer}).data
    client.v1.refunds.create({"charge": charge.id, "amount": 100})
    refunded = stripe.events()[len(bought) :]
    half = len(bought) // 2
    parts = (bought[:half], bought[half:], refunded)
    for number in order:
        for event in parts[number]:
            deliver(billing, event)
        billing.run_until_idle()
    assert invoice_of(billing).amount_refunded == 100
    assert kinds(told) == ["invoice.refunded"]


def test_a_charge_costs_three_calls(billing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    bought_with(billing, stripe, "4242424242424242")
    charge = charge_of(client, billing)
    client.v1.refunds.create({"charge": charge.id, "amount": 100})
    with counted(stripe) as calls:
        hear(billing, stripe)
        assert calls.count == 3
    client.v1.refunds.create({"charge": charge.id, "amount": 100})
    with counted(stripe) as calls:
        hear(billing, stripe)
        assert calls.count == 2, "which invoice it paid is known"


def test_money_of_nobody_is_an_alarm(billing: Billing, client: sdk.StripeClient, stripe: Emulator) -> None:
    """H100."""
    bought_with(billing, stripe, "4242424242424242")
    customer = billing.customer(OWNER)
    assert customer is not None
    for whose in ({"customer": customer.id}, {}):
        intent = client.v1.payment_intents.create(
            {
                "amount": 500,
                "currency": "usd",
                "confirm": True,
                "payment_method": "pm_card_visa",
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                **whose,  # type: ignore[typeddict-item]
            }
        )
        client.v1.refunds.create({"payment_intent": intent.id})
    hear(billing, stripe)
    found = [(each.severity, each.message) for each in billing.health().findings if each.name == "unresolved_money"]
    assert [severity for severity, _ in found] == ["warning", "note"]
    assert "1 refunds or disputes of our customers are of no invoice" in found[0][1]
    assert billing.access(OWNER).plan == "pro"


def test_what_was_never_delivered_is_found_and_mended(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, told: Told, database: Database
) -> None:
    bought_with(billing, stripe, "4242424242424242")
    charge = charge_of(client, billing)
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 100})
    report = billing.reconcile()
    (difference,) = report.differences
    assert (difference.kind, difference.object, difference.field) == ("charge", charge.id, f"{refund.id}.exists")
    assert (dict(report.at_risk), report.compared["refund"]) == ({"usd": 100}, 1)
    mended = billing.reconcile(fix=True)
    assert (mended.fixed, mended.found) == (1, 0)
    billing.run_until_idle()
    assert invoice_of(billing).amount_refunded == 100
    assert kinds(told) == ["invoice.refunded"]
    with database.write() as session:
        row = session.get(Reversal, refund.id)
        assert row is not None
        row.status = "pending"
    (difference,) = billing.reconcile().differences
    assert (difference.field, difference.ours, difference.theirs) == (f"{refund.id}.status", "pending", "succeeded")


def test_a_thin_event_names_the_refund_alone(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient, told: Told
) -> None:
    bought_with(billing, stripe, "4242424242424242")
    refund = client.v1.refunds.create({"charge": charge_of(client, billing).id, "amount": 100})
    thin = {
        "id": "evt_thin_1",
        "object": "v2.core.event",
        "type": "v1.refund.updated",
        "created": "2026-11-23T10:00:00.000Z",
        "livemode": False,
        "related_object": {"id": refund.id, "type": "refund", "url": f"/v1/refunds/{refund.id}"},
    }
    deliver(billing, thin)
    billing.run_until_idle()
    assert kinds(told) == ["invoice.refunded"]

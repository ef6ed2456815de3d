"""Events that do not say whose they are, and thin ones: found out, and synchronised like all others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe as sdk

from paidup import Billing
from paidup.core import targets
from stripe_emulator import Emulator
from tests.support.deliveries import a_hurrying_clock, deliver, signed
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def billing(make_billing: Callable[..., Billing]) -> Billing:
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    pay(str(billing.checkout(OWNER, "pro").url))
    return billing


def deliver_thin(billing: Billing, type: str, object_type: str, object_id: str) -> str:
    body = {
        "id": f"evt_thin_{object_id}",
        "object": "v2.core.event",
        "type": type,
        "livemode": False,
        "created": datetime.now(UTC).isoformat(),
        "context": None,
        "related_object": {"id": object_id, "type": object_type, "url": f"/v1/{object_type}s/{object_id}"},
    }
    raw = json.dumps(body).encode()
    return billing.receive(raw, signed(raw, secret=billing.settings.webhook_secrets[0].get_secret_value())).state


def the_subscription(client: sdk.StripeClient) -> Any:
    [subscription] = client.v1.subscriptions.list({"status": "all"}).data
    return subscription


@pytest.mark.parametrize("kind", ["subscription", "invoice"])
def test_a_thin_event_of_an_object_nobody_knows_yet_brings_its_customer(
    billing: Billing, client: sdk.StripeClient, kind: str
) -> None:
    """H19: processed, by fetching."""
    subscription = the_subscription(client)
    object_id = subscription.id if kind == "subscription" else subscription.latest_invoice
    assert deliver_thin(billing, f"v1.{kind}.created", kind, object_id) == "pending"
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "pro"
    assert {event.state for event in billing.events()} == {"done"}


def test_a_thin_event_of_a_known_object_costs_no_call_to_find_its_customer(
    billing: Billing, client: sdk.StripeClient, stripe: Emulator
) -> None:
    billing.sync(OWNER)
    subscription = the_subscription(client)
    client.v1.subscriptions.cancel(subscription.id)
    stripe.fail_next("/v1/subscriptions/*")
    deliver_thin(billing, "v1.customer.subscription.canceled", "subscription", subscription.id)
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "free"


def test_a_disputed_charge_leads_to_its_customer(billing: Billing, client: sdk.StripeClient, stripe: Emulator) -> None:
    billing.sync(OWNER)
    subscription = the_subscription(client)
    client.v1.payment_intents.create(
        {
            "amount": 900,
            "currency": "usd",
            "customer": str(subscription.customer),
            "payment_method": "pm_card_createDispute",
            "confirm": True,
        }
    )
    [disputed] = stripe.events("charge.dispute.created")
    assert "customer" not in disputed["data"]["object"]
    client.v1.subscriptions.cancel(subscription.id)  # as the account's settings may do with a disputed one
    deliver(billing, disputed)
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "free"


def test_an_object_that_is_nobodys_is_ignored_with_the_reason(billing: Billing, client: sdk.StripeClient) -> None:
    """H18: no retries for what will never be ours."""
    charge = client.v1.payment_intents.create(
        {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    ).latest_charge
    deliver_thin(billing, "v1.charge.updated", "charge", str(charge))
    deliver_thin(billing, "v1.invoice.updated", "invoice", "in_gone")
    billing.run_until_idle()
    assert {(event.state, event.reason) for event in billing.events()} == {("ignored", "no_customer")}


def test_what_can_be_looked_up_can_be_asked_for(billing: Billing) -> None:
    """Each kind in the registry has its call."""
    assert [billing.gateway.customer_of(kind, f"{kind}_gone") for kind in sorted(targets.LOOKED_UP)] == [None] * 5
    assert [billing.gateway.charge_of(kind, f"{kind}_gone") for kind in sorted(targets.OF_A_CHARGE)] == [None] * 2

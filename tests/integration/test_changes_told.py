"""What an app is told beside plans and payments: pauses, pages that were left, customers who are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe as sdk

from paidup import Billing, Change
from stripe_emulator import Emulator
from tests.support.account import deliver_all, subscribe
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def told(billing: Billing) -> list[Change]:
    heard: list[Change] = []
    billing.on_change()(heard.append)
    return heard


def hear(billing: Billing, stripe: Emulator) -> None:
    """Everything is delivered, twice."""
    for _ in range(2):
        deliver_all(billing, stripe)
        billing.run_until_idle()


def of(told: list[Change], *kinds: str) -> list[tuple[str, dict[str, object]]]:
    return [(each.kind, dict(each.data)) for each in told if each.kind in kinds]


def test_each_pause_and_its_end(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    subscribe(billing)
    hear(billing, stripe)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=20)
    billing.pause(OWNER, until=until)
    hear(billing, stripe)
    billing.resume(OWNER)
    hear(billing, stripe)
    billing.pause(OWNER, kind="subscription")
    hear(billing, stripe)
    billing.resume(OWNER)
    hear(billing, stripe)
    assert of(told, "subscription.paused", "subscription.unpaused") == [
        ("subscription.paused", {"plan": "pro", "pause": "collection", "resumes_at": until.isoformat()}),
        ("subscription.unpaused", {"plan": "pro"}),
        ("subscription.paused", {"plan": "pro", "pause": "subscription", "resumes_at": None}),
        ("subscription.unpaused", {"plan": "pro"}),
    ]


def test_a_page_that_was_left_until_it_ran_out(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    """One that another page took the place of is nobody's change of mind."""
    billing.checkout(OWNER, "basic")
    left = billing.checkout(OWNER, "team", seats=3)
    hear(billing, stripe)
    assert of(told, "checkout.expired") == []
    stripe.advance(days=2)
    hear(billing, stripe)
    assert of(told, "checkout.expired") == [("checkout.expired", {"plan": "team", "interval": "month", "seats": 3})]
    (change,) = [each for each in told if each.kind == "checkout.expired"]
    assert (change.id, change.owner) == (f"checkout.expired:{left.session_id}", OWNER)


def test_a_customer_who_was_deleted(billing: Billing, stripe: Emulator, client: Any, told: list[Change]) -> None:
    subscribe(billing)
    hear(billing, stripe)
    customer = billing.customer(OWNER)
    assert customer is not None
    client.customers.delete(customer.id)
    hear(billing, stripe)
    (change,) = [each for each in told if each.kind == "customer.deleted"]
    assert (change.owner, change.customer) == (OWNER, customer.id)


def test_only_a_new_period_is_told_as_one(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    """H88: a seat that is bought is paid for as well, and fills no quota again."""
    pay(str(billing.checkout(OWNER, "team", seats=3).url))
    hear(billing, stripe)
    first = billing.subscription(OWNER)
    assert first is not None
    stripe.advance(days=10)
    billing.sync(OWNER)
    billing.change_plan(OWNER, billing.preview_change(OWNER, "team", seats=5).id)
    hear(billing, stripe)
    stripe.advance(days=22)
    hear(billing, stripe)
    second = billing.subscription(OWNER)
    assert second is not None
    assert second.current_period_start == first.current_period_end
    paid = [each.data for each in told if each.kind == "invoice.paid"]
    assert [(each["billing_reason"], each["period_start"], each["period_end"]) for each in paid] == [
        ("subscription_create", iso(first.current_period_start), iso(first.current_period_end)),
        ("subscription_update", None, None),
        ("subscription_cycle", iso(second.current_period_start), iso(second.current_period_end)),
    ]


def iso(moment: datetime | None) -> str:
    assert moment is not None
    return moment.isoformat()

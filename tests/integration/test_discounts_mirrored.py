"""What is taken off somebody's bills is known here, as Stripe has it."""

from __future__ import annotations

from typing import Any

import pytest
import stripe as sdk

from paidup import Billing, Discount
from stripe_emulator import Emulator
from tests.support.account import deliver_all
from tests.support.paying import pay

OWNER = "user:1"
OTHER = "user:2"


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


def hear(billing: Billing, stripe: Emulator) -> None:
    deliver_all(billing, stripe)
    billing.run_until_idle()


def discounts(billing: Billing, owner: str = OWNER) -> tuple[Discount, ...]:
    found = billing.subscription(owner)
    assert found is not None
    return found.discounts


def test_a_subscriptions_discount_is_known_until_it_ends(billing: Billing, stripe: Emulator, client: Any) -> None:
    """H75."""
    client.coupons.create(
        {"id": "SPRING", "name": "Spring", "percent_off": 20, "duration": "repeating", "duration_in_months": 3}
    )
    code = client.promotion_codes.create({"promotion": {"type": "coupon", "coupon": "SPRING"}, "code": "HELLO"})
    for owner in (OWNER, OTHER):
        pay(str(billing.checkout(owner, "pro", promotion_code="HELLO").url))
    hear(billing, stripe)
    (found,) = discounts(billing)
    assert (found.coupon, found.name, found.percent_off, found.duration) == ("SPRING", "Spring", 20.0, "repeating")
    assert found.promotion_code == code.id
    assert found.ends_at is not None
    billing.reconcile(fix=True)
    client.coupons.update("SPRING", {"name": "Another name"})
    assert billing.reconcile().is_clean, "neither the name nor how often it was redeemed is news of a subscription"

    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.subscriptions.delete_discount(subscription.id)
    hear(billing, stripe)
    assert discounts(billing) == ()
    assert len(discounts(billing, OTHER)) == 1


def test_an_amount_that_is_taken_off_once(billing: Billing, stripe: Emulator, client: Any) -> None:
    """H75."""
    client.coupons.create({"id": "FIVER", "amount_off": 500, "currency": "usd", "duration": "once"})
    pay(str(billing.checkout(OWNER, "pro").url))
    hear(billing, stripe)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.subscriptions.update(subscription.id, {"discounts": [{"coupon": "FIVER"}]})
    hear(billing, stripe)
    (found,) = discounts(billing)
    assert (found.amount_off, found.currency, found.duration, found.ends_at) == (500, "usd", "once", None)


def test_a_lost_event_of_a_discount_is_drift(billing: Billing, stripe: Emulator, client: Any) -> None:
    """H75."""
    client.coupons.create({"id": "FIVER", "amount_off": 500, "currency": "usd", "duration": "forever"})
    pay(str(billing.checkout(OWNER, "pro").url))
    hear(billing, stripe)
    billing.reconcile(fix=True)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    client.subscriptions.update(subscription.id, {"discounts": [{"coupon": "FIVER"}]})
    assert not billing.reconcile().is_clean
    billing.reconcile(fix=True)
    assert [each.coupon for each in discounts(billing)] == ["FIVER"]

"""The plugin's fixture and its builders; the states are those of docs.stripe.com/billing/subscriptions/overview."""

from __future__ import annotations

import pytest

from stripe_emulator.testing import Stripe
from stripe_emulator.testing.plugin import stripe

__all__ = ["stripe"]


def test_customers_are_brought_into_any_state(stripe: Stripe) -> None:
    def status(id: str) -> str:
        return str(stripe.api.subscriptions.retrieve(id).status)

    assert status(stripe.customer("a@example.com").subscribed("pro_month").subscription) == "active"
    assert status(stripe.customer("b@example.com").trialing("pro_month", days=7).subscription) == "trialing"
    assert status(stripe.customer("c@example.com").incomplete("pro_month").subscription) == "incomplete"
    assert status(stripe.customer("d@example.com").subscribed("pro_month").canceled().subscription) == "canceled"
    leaving = stripe.customer("e@example.com").subscribed("pro_month").canceling()
    assert stripe.api.subscriptions.retrieve(leaving.subscription).cancel_at_period_end
    late = stripe.customer("f@example.com").subscribed("pro_month").past_due()
    assert status(late.subscription) == "past_due"
    stripe.advance(days=1)
    assert status(leaving.subscription) == "canceled"


def test_what_needs_a_subscription_says_so(stripe: Stripe) -> None:
    with pytest.raises(ValueError, match="no subscription yet"):
        stripe.customer("a@example.com").canceling()

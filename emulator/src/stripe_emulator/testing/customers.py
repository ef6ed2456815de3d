"""Customers brought into a state: `stripe.customer("a@example.com").subscribed("pro_month").canceling()`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stripe_emulator.testing.stripe import Stripe


class CustomerBuilder:
    """A customer being brought into some state, step by step; `id` and `subscription` are what came of it."""

    def __init__(self, stripe: Stripe, id: str) -> None:
        self._stripe = stripe
        self.id = id
        self.subscription = ""

    def with_card(self, card: str) -> CustomerBuilder:
        """Their default card, by a `pm_card_*` name."""
        method = self._stripe.api.payment_methods.attach(card, {"customer": self.id})
        self._stripe.api.customers.update(self.id, {"invoice_settings": {"default_payment_method": method.id}})
        return self

    def subscribed(self, price: str, *, quantity: int = 1, **more: Any) -> CustomerBuilder:
        """Subscribed to the price with this lookup key; a price that is not there is made."""
        items = [{"price": self._stripe.price(price), "quantity": quantity}]
        made = self._stripe.api.subscriptions.create({"customer": self.id, "items": items, **more})
        self.subscription = made.id
        return self

    def trialing(self, price: str, *, days: int = 14) -> CustomerBuilder:
        """In a trial."""
        return self.subscribed(price, trial_period_days=days)

    def incomplete(self, price: str) -> CustomerBuilder:
        """Subscribed, the first invoice unpaid."""
        return self.subscribed(price, payment_behavior="default_incomplete")

    def past_due(self) -> CustomerBuilder:
        """The next renewal comes and the card is declined. Moves the clock."""
        self.with_card("pm_card_chargeCustomerFail")
        self._stripe.advance(to="renewal", customer=self.id)
        return self

    def canceling(self) -> CustomerBuilder:
        """Canceled at the end of the period."""
        self._stripe.api.subscriptions.update(self._subscription(), {"cancel_at_period_end": True})
        return self

    def canceled(self) -> CustomerBuilder:
        """Canceled at once."""
        self._stripe.api.subscriptions.cancel(self._subscription())
        return self

    def _subscription(self) -> str:
        if not self.subscription:
            raise ValueError('there is no subscription yet; say .subscribed("price") before')
        return self.subscription

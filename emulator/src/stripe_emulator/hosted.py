"""
What the hosted pages do: Checkout, 3D Secure, the billing portal and the invoice page, without any HTML.

Every method is one transaction of the engine; its events are delivered after it returns.
"""

from __future__ import annotations

from stripe_emulator.hosted_views import (
    CardInput,
    ChallengeView,
    CheckoutView,
    InvoicePageView,
    InvoiceView,
    LineView,
    Outcome,
    PortalView,
    PriceChoice,
    SubView,
)

__all__ = [
    "CardInput",
    "ChallengeView",
    "CheckoutView",
    "Hosted",
    "InvoicePageView",
    "InvoiceView",
    "LineView",
    "Outcome",
    "PortalView",
    "PriceChoice",
    "SubView",
]


class Hosted:
    """The verbs behind the hosted pages; one per app, at `request.app.state.hosted`."""

    def checkout(self, session_id: str) -> CheckoutView | None:
        """The Checkout page of a session, or None when there is no such session."""
        raise NotImplementedError

    def pay(self, session_id: str, *, email: str | None, card: CardInput | None) -> Outcome:
        """Submit the Checkout page."""
        raise NotImplementedError

    def challenge(self, token: str) -> ChallengeView | None:
        """The 3D Secure page behind a token, or None once answered or unknown."""
        raise NotImplementedError

    def answer_challenge(self, token: str, ok: bool) -> Outcome:
        """Complete or fail a 3D Secure challenge. A failure's `redirect` leads back to the page it came from."""
        raise NotImplementedError

    def portal(self, secret: str) -> PortalView | None:
        """The portal of a session secret, or None when it is unknown or has expired."""
        raise NotImplementedError

    def save_card(self, secret: str, card: CardInput) -> Outcome:
        """Make a card the customer's default."""
        raise NotImplementedError

    def cancel(self, secret: str, subscription_id: str, *, feedback: str | None, comment: str | None) -> Outcome:
        """Cancel as the portal's configuration says: at the period's end, or at once."""
        raise NotImplementedError

    def resume(self, secret: str, subscription_id: str) -> Outcome:
        """Undo a scheduled cancellation."""
        raise NotImplementedError

    def plan_choices(self, secret: str, subscription_id: str) -> list[PriceChoice]:
        """The prices a subscription may switch to; empty when the configuration forbids it."""
        raise NotImplementedError

    def change_plan(self, secret: str, subscription_id: str, price_id: str, quantity: int) -> Outcome:
        """Switch a subscription to another price, prorated as the configuration says."""
        raise NotImplementedError

    def pay_invoice(self, secret: str, invoice_id: str) -> Outcome:
        """Pay an open invoice from the portal with the default card."""
        raise NotImplementedError

    def invoice(self, token: str) -> InvoicePageView | None:
        """The hosted invoice page of a token, or None."""
        raise NotImplementedError

    def pay_hosted_invoice(self, token: str, card: CardInput | None) -> Outcome:
        """Pay from the hosted invoice page, with a new card or (None) the default one."""
        raise NotImplementedError

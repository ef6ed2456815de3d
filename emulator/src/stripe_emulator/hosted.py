"""
What the hosted pages do: Checkout, 3D Secure, the billing portal and the invoice page, without any HTML.

Every method is one transaction of the engine; its events are delivered after it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from stripe_emulator import checkout_page, invoice_page, portal_page, portal_preview, typed_card
from stripe_emulator.billing.challenges import CHALLENGE
from stripe_emulator.clock import real_time
from stripe_emulator.hosted_views import (
    BankInput,
    CardInput,
    ChallengeView,
    ChangeView,
    CheckoutView,
    DetailsInput,
    DiscountView,
    InvoicePageView,
    InvoiceView,
    LineView,
    Outcome,
    PortalView,
    PriceChoice,
    SubView,
)
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.resources import setup_intents
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

__all__ = [
    "BankInput",
    "CardInput",
    "ChallengeView",
    "ChangeView",
    "CheckoutView",
    "DetailsInput",
    "DiscountView",
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

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def checkout(self, session_id: str) -> CheckoutView | None:
        """The Checkout page of a session, or None when there is no such session."""
        self._engine.catch_up()
        session = self._engine.store.get(session_id, "checkout.session")
        return None if session is None else checkout_page.view(self._engine, session)

    def pay(
        self, session_id: str, *, email: str | None, card: CardInput | None = None, bank: BankInput | None = None
    ) -> Outcome:
        """Submit the Checkout page with a card or a bank account; with neither when none is asked for."""

        def work() -> Outcome:
            session = self._engine.store.get(session_id, "checkout.session")
            if session is None:
                return Outcome("closed", "There is no such page.")
            return checkout_page.pay(self._engine, session, email=email, card=card, bank=bank)

        return self._transaction(work)

    def set_promotion_code(self, session_id: str, code: str | None) -> Outcome:
        """Apply a promotion code typed on the Checkout page, or (None) take it back."""

        def work() -> Outcome:
            session = self._engine.store.get(session_id, "checkout.session")
            if session is None:
                return Outcome("closed", "There is no such page.")
            return checkout_page.set_promotion_code(self._engine, session, code)

        return self._transaction(work)

    def challenge(self, token: str) -> ChallengeView | None:
        """The 3D Secure page behind a token, or None once answered or unknown."""
        challenge = self._engine.store.get(token, CHALLENGE)
        if challenge is None:
            return None
        intent = self._engine.store.get(challenge["intent"])
        if intent is None or intent["status"] != "requires_action":
            return None
        return ChallengeView(
            token=token,
            amount=intent.get("amount", 0),
            currency=intent.get("currency") or self._engine.settings.default_currency,
            merchant_name=self._engine.settings.merchant_name,
        )

    def answer_challenge(self, token: str, ok: bool) -> Outcome:
        """Complete or fail a 3D Secure challenge. A failure's `redirect` leads back to the page it came from."""

        def work() -> Outcome:
            challenge = self._engine.store.get(token, CHALLENGE)
            intent = self._engine.store.get(challenge["intent"]) if challenge else None
            if challenge is None or intent is None or intent["status"] != "requires_action":
                return Outcome("closed", "This authentication has been answered already.")
            self._engine.store.remove(token)
            match challenge.get("purpose"):
                case checkout_page.PURPOSE:
                    return checkout_page.answer_challenge(self._engine, challenge, ok)
                case portal_page.PURPOSE:
                    return portal_page.answer_challenge(self._engine, challenge, intent, ok)
                case _ if intent["object"] == "setup_intent":
                    return setup_intents.answer_challenge(self._engine, challenge, intent, ok)
                case _:
                    return invoice_page.answer_challenge(self._engine, challenge, intent, ok)

        return self._transaction(work)

    def portal(self, secret: str) -> PortalView | None:
        """The portal of a session secret, or None when it is unknown or has expired."""
        self._engine.catch_up()
        with self._engine.transaction():
            session = portal_page.find(self._engine, secret)
            if session is None:
                return None
            session.update(_used=True, _seen=real_time())
            return portal_page.view(self._engine, session)

    def save_card(self, secret: str, card: CardInput) -> Outcome:
        """Make a card the customer's default."""
        return self._in_portal(secret, lambda session: portal_page.save_card(self._engine, session, card))

    def save_details(self, secret: str, details: DetailsInput) -> Outcome:
        """Change who the customer is, as far as the configuration lets them."""
        return self._in_portal(secret, lambda session: portal_page.save_details(self._engine, session, details))

    def cancel(self, secret: str, subscription_id: str, *, feedback: str | None, comment: str | None) -> Outcome:
        """Cancel as the portal's configuration says: at the period's end, or at once."""
        return self._with_subscription(
            secret,
            subscription_id,
            lambda session, subscription: portal_page.cancel(
                self._engine, session, subscription, feedback=feedback, comment=comment
            ),
        )

    def resume(self, secret: str, subscription_id: str) -> Outcome:
        """Undo a scheduled cancellation."""
        return self._with_subscription(
            secret,
            subscription_id,
            lambda session, subscription: portal_page.resume(self._engine, session, subscription),
        )

    def pause(self, secret: str, subscription_id: str) -> Outcome:
        """Pause a subscription until somebody resumes it."""
        return self._with_subscription(
            secret,
            subscription_id,
            lambda session, subscription: portal_page.pause(self._engine, session, subscription),
        )

    def plan_choices(self, secret: str, subscription_id: str) -> list[PriceChoice]:
        """The prices a subscription may switch to; empty when the configuration forbids it."""
        session = portal_page.find(self._engine, secret)
        subscription = self._own("subscription", session, subscription_id)
        if session is None or subscription is None:
            return []
        return portal_page.plan_choices(self._engine, session, subscription)

    def preview_change(self, secret: str, subscription_id: str, price_id: str, quantity: int) -> ChangeView | None:
        """What that switch will cost; None when it can't be made."""
        session = portal_page.find(self._engine, secret)
        subscription = self._own("subscription", session, subscription_id)
        if session is None or subscription is None:
            return None
        return portal_preview.preview(self._engine, session, subscription, price_id, quantity)

    def change_plan(self, secret: str, subscription_id: str, price_id: str, quantity: int) -> Outcome:
        """Switch a subscription to another price, prorated as the configuration says."""
        return self._with_subscription(
            secret,
            subscription_id,
            lambda session, subscription: portal_page.change_plan(
                self._engine, session, subscription, price_id, quantity
            ),
        )

    def pay_invoice(self, secret: str, invoice_id: str) -> Outcome:
        """Pay an open invoice from the portal with the default card."""

        def work(session: Json) -> Outcome:
            invoice = self._own("invoice", session, invoice_id)
            if invoice is None:
                return portal_page.GONE
            return invoice_page.pay(self._engine, invoice, None, back=f"/p/session/{secret}")

        return self._in_portal(secret, work)

    def invoice(self, token: str) -> InvoicePageView | None:
        """The hosted invoice page of a token, or None."""
        self._engine.catch_up()
        invoice = invoice_page.find(self._engine, token)
        return None if invoice is None else invoice_page.view(self._engine, invoice)

    def pay_hosted_invoice(self, token: str, card: CardInput | None) -> Outcome:
        """Pay from the hosted invoice page, with a new card or (None) the default one."""

        def work() -> Outcome:
            invoice = invoice_page.find(self._engine, token)
            if invoice is None:
                return Outcome("closed", "There is no such invoice.")
            return invoice_page.pay(self._engine, invoice, card, back=f"/i/{token}")

        return self._transaction(work)

    def _transaction(self, work: Callable[[], Outcome]) -> Outcome:
        self._engine.catch_up()
        try:
            with self._engine.transaction():
                return work()
        except ApiError as error:
            return typed_card.refused(error)

    def _in_portal(self, secret: str, work: Callable[[Json], Outcome]) -> Outcome:
        def found() -> Outcome:
            session = portal_page.find(self._engine, secret)
            return portal_page.GONE if session is None else work(session)

        return self._transaction(found)

    def _with_subscription(self, secret: str, id: str, work: Callable[[Json, Json], Outcome]) -> Outcome:
        def found(session: Json) -> Outcome:
            subscription = self._own("subscription", session, id)
            return portal_page.GONE if subscription is None else work(session, subscription)

        return self._in_portal(secret, found)

    def _own(self, kind: str, session: Json | None, id: str) -> Json | None:
        value = self._engine.store.get(id, kind)
        return value if value is not None and session is not None and value["customer"] == session["customer"] else None

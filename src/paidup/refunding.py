"""
Giving back what is left of a period that was paid for, once, when a subscription is ended before its time.

The amount is Stripe's own proration, with its taxes and discounts, and never more than what was paid for the period
and is still there. It is written on the subscription before that ends: nothing can be prorated afterwards, and whoever
repeats the call finds it there. Refunds that were made bear the subscription's id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from paidup.core import parse
from paidup.core.subscription import Subscription
from paidup.errors import StripeNotFound, StripeRejected, SubscriptionRefused
from paidup.invoices import PAYMENTS
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]

_KEY = "paidup_refund"
"""Metadata key: on a subscription what is to be given back and since when, on a refund the subscription."""
_IN_TIME = timedelta(hours=1)
"""How long after it was noted the subscription must have ended for it to count: what was left then was about that."""
_SAME_MOMENT = timedelta(hours=1)
"""How far the invoice of a period may be from its beginning."""
_IN_TENS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
"""Currencies with three decimals, of which Stripe moves two: https://docs.stripe.com/currencies#three-decimal"""


@dataclass(frozen=True, slots=True)
class Unused:
    """What of a subscription was paid for and will not be used if it ends now. `amount` is in minor units."""

    subscription: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class _Payment:
    intent: str
    charge: str
    left: int
    """What has not been refunded of it, in minor units."""


class Refunding:
    """Computes and gives back what is unused."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def unused(self, subscription: Subscription) -> Unused:
        """What would be given back now. Raises StripeError."""
        return Unused(subscription.id, self._unused(subscription)[0], subscription.currency)

    def note(self, subscription: Subscription) -> None:
        """Write down what is to be given back, before the subscription ends. Raises StripeError."""
        amount, since = self._unused(subscription)
        self._gateway.update_subscription(subscription.id, {"metadata": {_KEY: f"{amount}@{since}"}})

    def give_back(self, subscription: Subscription) -> list[str]:
        """
        Refund what was noted of a subscription that has ended, but for what was refunded already; the charges.

        Raises SubscriptionRefused when nothing was noted before it ended; StripeError.
        """
        wanted = _noted(subscription)
        if wanted is None:
            raise SubscriptionRefused(
                f"subscription {subscription.id} ended without a refund",
                action="contact_us",
                remedy="nothing can be prorated any more: refund its last payment at Stripe",
            )
        charges: list[str] = []
        for payment in self._payments(subscription) if wanted else ():
            done = self._done(payment, subscription)
            if not done and (part := min(wanted, payment.left)):
                self._refund(payment, part, subscription)
                done = part
            if done:
                wanted -= done
                charges.append(payment.charge)
        return charges

    def _unused(self, subscription: Subscription) -> tuple[int, int]:
        """The amount, and since when it is unused: the moment, in Stripe's time, for which it was computed."""
        params = {"subscription": subscription.id, "subscription_details": {"cancel_now": True}}
        try:
            preview = self._gateway.preview_invoice(params)
        except StripeNotFound:
            return 0, 0  # nothing is left, as in a trial
        prorated = max(0, -int(preview["total"]))
        left = sum(payment.left for payment in self._payments(subscription)) if prorated else 0
        amount = min(prorated, left)
        if subscription.currency in _IN_TENS:
            amount -= amount % 10
        return amount, max((line["period"]["start"] for line in preview["lines"]["data"]), default=0)

    def _payments(self, subscription: Subscription) -> Iterator[_Payment]:
        """What was paid for the current period, the newest first."""
        start = subscription.current_period_start
        for invoice in self._gateway.list_subscription_invoices(subscription.id, status="paid"):
            paid = parse.invoice(invoice)
            if paid.amount_paid <= 0 or start is None or paid.created < start - _SAME_MOMENT:
                continue
            body = self._gateway.retrieve_invoice(paid.id, expand=PAYMENTS)
            for each in body["payments"]["data"]:
                intent = parse.reference(each["payment"].get("payment_intent"))
                if each["status"] == "paid" and intent is not None:
                    charge = self._gateway.charge_of_payment(intent)
                    if charge is not None and self._may_be_refunded(charge):
                        left = charge["amount_captured"] - charge["amount_refunded"]
                        yield _Payment(intent, charge["id"], left)

    def _may_be_refunded(self, charge: Json) -> bool:
        """Not while a bank has the money, nor once it is lost; Stripe calls a charge disputed for ever."""
        return not charge["disputed"] or all(
            each["status"] == "won" or each["is_charge_refundable"]
            for each in self._gateway.list_disputes(charge["id"])
        )

    def _done(self, payment: _Payment, subscription: Subscription) -> int:
        return sum(
            refund["amount"]
            for refund in self._gateway.list_refunds(payment.charge)
            if (refund.get("metadata") or {}).get(_KEY) == subscription.id
        )

    def _refund(self, payment: _Payment, amount: int, subscription: Subscription) -> None:
        params = {
            "payment_intent": payment.intent,
            "amount": amount,
            "reason": "requested_by_customer",
            "metadata": {_KEY: subscription.id},
        }
        try:
            self._gateway.create_refund(params, idempotency_key=f"paidup-refund-{subscription.id}-{payment.charge}")
        except StripeRejected:
            if not self._done(payment, subscription):  # otherwise another click was faster
                raise


def _noted(subscription: Subscription) -> int | None:
    """What was to be given back when it ended."""
    amount, _, since = subscription.metadata.get(_KEY, "").partition("@")
    if not (amount.isdecimal() and since.isdecimal()) or subscription.ended_at is None:
        return None
    in_time = abs(subscription.ended_at.timestamp() - int(since)) <= _IN_TIME.total_seconds()
    return int(amount) if in_time or int(amount) == 0 else None

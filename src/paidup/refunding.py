"""
Giving back what is left of a period that was paid for, once, when a subscription is ended before its time.

The amount is Stripe's own proration, with its taxes and discounts, and never more than what was paid for the period
and is still there. It is written on the subscription before that ends: nothing can be prorated afterwards, and whoever
repeats the call finds it there. Refunds that were made bear the subscription's id.

Each try at a charge has an idempotency key of its own, which names no amount: two clicks that computed different ones
must not both be served. A refusal that Stripe would repeat for a day is followed by another try, which is noted beside
the amount; the note is written under the key of the try before, so that nobody who still holds that key can refund with
it. So whoever reads a number knows that all tries before it are over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from paidup.core import parse
from paidup.core.subscription import Subscription
from paidup.errors import StripeNotFound, StripeRejected, StripeUnavailable, SubscriptionRefused
from paidup.invoices import PAYMENTS
from paidup.stripe_api import idempotency
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]

_KEY = "paidup_refund"
"""Metadata key: on a subscription what is to be given back and since when, on a refund the subscription."""
_LONGEST_NOTE = 500
"""What Stripe takes as the value of a metadata key."""
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


@dataclass(frozen=True, slots=True)
class _Note:
    """
    What is written on a subscription: `amount@since`, and how often a charge was refused: `@charge:tries`.

    A note of an earlier call may be written over a later one: what is lost is how often something was refused. The key
    of such a try is answered with its refusal, which counts anew.
    """

    amount: int
    since: int
    tries: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> _Note | None:
        """None for what is no note."""
        amount, _, rest = text.partition("@")
        since, *tries = rest.split("@")
        if not (amount.isdecimal() and since.isdecimal()):
            return None
        counted = (each.rpartition(":") for each in tries)
        return cls(int(amount), int(since), {charge: int(n) for charge, _, n in counted if n.isdecimal()})

    def after_refusal(self, charge: str) -> _Note:
        """With one more try at a charge."""
        return replace(self, tries={**self.tries, charge: self.tries.get(charge, 0) + 1})

    def __str__(self) -> str:
        return "@".join([f"{self.amount}@{self.since}", *(f"{charge}:{n}" for charge, n in self.tries.items())])


class Refunding:
    """Computes and gives back what is unused."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def unused(self, subscription: Subscription) -> Unused:
        """What would be given back now. Raises StripeError."""
        return Unused(subscription.id, self._unused(subscription)[0], subscription.currency)

    def note(self, subscription: Subscription) -> None:
        """
        Write down what is to be given back, before the subscription ends. Raises StripeError.

        Not once it has ended, nor over what another click has written since `subscription` was read: of what is over,
        Stripe computes nothing, and that must not be what counts.
        """
        try:
            amount, since = self._unused(subscription)
        except StripeRejected:
            if not self._was_faster(subscription):
                raise
            return
        if not self._was_faster(subscription):
            self._gateway.update_subscription(subscription.id, {"metadata": {_KEY: str(_Note(amount, since))}})

    def _was_faster(self, before: Subscription) -> bool:
        """Has another click come first?"""
        now = parse.subscription(self._gateway.retrieve_subscription(before.id))
        return now.has_ended or now.metadata.get(_KEY) != before.metadata.get(_KEY)

    def give_back(self, subscription: Subscription) -> list[str]:
        """
        Refund what was noted of a subscription that has ended, but for what was refunded already; the charges.

        Raises SubscriptionRefused when nothing was noted before it ended; StripeError.
        """
        note = _noted(subscription)
        if note is None:
            raise SubscriptionRefused(
                f"subscription {subscription.id} ended without a refund",
                action="contact_us",
                remedy="nothing can be prorated any more: refund its last payment at Stripe",
            )
        charges: list[str] = []
        wanted = note.amount
        for payment in self._payments(subscription) if wanted else ():
            done = self._done(payment, subscription)
            if not done and (part := min(wanted, payment.left)):
                self._refund(payment, part, subscription, note)
                done = part
            if done:
                wanted = max(0, wanted - done)
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

    def _refund(self, payment: _Payment, amount: int, subscription: Subscription, note: _Note) -> None:
        params = {
            "payment_intent": payment.intent,
            "amount": amount,
            "reason": "requested_by_customer",
            "metadata": {_KEY: subscription.id},
        }
        key = _key(subscription, payment, note)
        try:
            self._gateway.create_refund(params, idempotency_key=key)
        except StripeRejected as error:
            if self._done(payment, subscription):
                return  # another click was faster
            if error.stripe_code == idempotency.REUSED:
                raise StripeUnavailable(
                    "another refund of this payment is under way, or was refused a moment ago",
                    remedy="try again in a minute",
                    stripe_code=error.stripe_code,
                ) from error
            self._begin_anew(payment, subscription, note, key)
            raise

    def _begin_anew(self, payment: _Payment, subscription: Subscription, note: _Note, key: str) -> None:
        """
        Note that the next try is another one, once the key of this one can refund nothing any more.

        Stripe may have kept its refusal under the key, which is used up then. If it has not, this call uses it up.
        """
        value = str(note.after_refusal(payment.charge))
        if len(value) > _LONGEST_NOTE:
            return
        params = {"metadata": {_KEY: value}}
        try:
            self._gateway.update_subscription(subscription.id, params, idempotency_key=key)
        except StripeRejected as error:
            if error.stripe_code != idempotency.REUSED:
                raise
            self._gateway.update_subscription(subscription.id, params)


def _key(subscription: Subscription, payment: _Payment, note: _Note) -> str:
    tries = note.tries.get(payment.charge, 0)
    return f"paidup-refund-{subscription.id}-{payment.charge}" + (f"-{tries}" if tries else "")


def _noted(subscription: Subscription) -> _Note | None:
    """What was to be given back when it ended."""
    note = _Note.read(subscription.metadata.get(_KEY, ""))
    if note is None or subscription.ended_at is None:
        return None
    in_time = abs(subscription.ended_at.timestamp() - note.since) <= _IN_TIME.total_seconds()
    return note if in_time or note.amount == 0 else None

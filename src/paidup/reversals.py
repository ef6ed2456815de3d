"""
One verb: what of a charge went back, as Stripe has it.

A dispute and a refund name their charge and nobody else. Whose it is and which invoice it paid are asked for once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paidup.core import parse
from paidup.core.reversal import Reversal
from paidup.errors import StripeNotFound
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reversed:
    """A charge with its refunds and disputes; nothing of one that Stripe does not have."""

    customer: str | None
    subscription: str | None
    """What it paid for, when its invoice was asked for just now."""
    is_whole: bool
    """Was all of it refunded?"""
    found: list[tuple[Reversal, Json]]


def fetch(gateway: Gateway, charge_id: str, known: Mapping[str, Reversal], *, livemode: bool) -> Reversed:
    """The charge as it is now; `known` is what was known of it, which never goes away. Raises StripeError."""
    try:
        charge = gateway.retrieve_charge(charge_id)
    except StripeNotFound:
        return Reversed(None, None, False, [])
    kinds = {each.kind for each in known.values()}
    bodies: list[Json] = []
    if charge["amount_refunded"] or "refund" in kinds or charge["refunded"]:
        bodies += gateway.list_refunds(charge_id)
    if charge["disputed"] or "dispute" in kinds:
        bodies += gateway.list_disputes(charge_id)
    invoice, subscription = next((each.invoice for each in known.values() if each.invoice), None), None
    intent = parse.reference(charge.get("payment_intent"))
    if bodies and invoice is None and intent is not None and (paid := gateway.invoice_paid_by(intent)) is not None:
        invoice, subscription = paid["id"], parse.invoice_subscription(paid)
    return Reversed(
        customer=parse.reference(charge.get("customer")),
        subscription=subscription,
        is_whole=bool(charge["refunded"]),
        found=[(parse.reversal(body, charge=charge, invoice=invoice, livemode=livemode), body) for body in bodies],
    )

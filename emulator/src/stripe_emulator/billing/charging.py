"""The charge an attempt leaves behind, whatever was charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stripe_emulator.billing.attempts import Attempt, last_error
from stripe_emulator.cards import CARDS, Decline
from stripe_emulator.ids import new_id
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

ELEVATED = "Stripe evaluated this payment as having elevated risk."


def make_charge(
    engine: Engine, intent: Json, method: Json, *, decline: Decline | None = None, pending: bool = False
) -> Json:
    """
    Store the charge of an attempt: succeeded, failed, or `pending` until the bank has answered.

    One that isn't a card's has an id of its own kind. A pending one is captured and not yet paid, and nobody has
    judged its risk.
    """
    paid = decline is None and not pending
    captured = pending or (paid and intent["capture_method"] != "manual")
    id = new_id("ch" if method["type"] == "card" else "py")
    status: Literal["succeeded", "pending", "failed"] = "pending" if pending else "succeeded" if paid else "failed"
    return engine.store.add(
        {
            **nulls("charge"),
            "id": id,
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if captured else 0,
            "amount_refunded": 0,
            "billing_details": method["billing_details"],
            "calculated_statement_descriptor": (intent["statement_descriptor"] or "EMULATED INC") if paid else None,
            "captured": captured,
            "created": engine.now(intent.get("_clock")),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_code": None if decline is None else decline.code,
            "failure_message": None if decline is None else decline.message,
            "fraud_details": {},
            "livemode": False,
            "metadata": dict(intent["metadata"]),
            "outcome": None if pending else outcome_of(decline, elevated=_is_elevated(method)),
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": _method_details(method, intent["amount"], paid=paid),
            "receipt_email": intent["receipt_email"],
            "receipt_url": receipt_url(id) if paid else None,
            "refunded": False,
            "shipping": intent["shipping"],
            "status": status,
            "_clock": intent.get("_clock"),
        }
    )


def refuse(engine: Engine, intent: Json, method: Json, decline: Decline) -> Attempt:
    """A payment that failed at once: its charge, and the intent ready for another payment method."""
    charge = make_charge(engine, intent, method, decline=decline)
    intent.update(
        status="requires_payment_method",
        latest_charge=charge["id"],
        last_payment_error=last_error(decline, method["id"], charge["id"]),
        payment_method=None,
    )
    engine.emit("charge.failed", charge)
    engine.emit("payment_intent.payment_failed", intent)
    return Attempt("failed", decline)


def receipt_url(charge: str) -> str:
    """Where the payer's receipt would be."""
    return f"https://pay.stripe.com/receipts/{charge}"


def outcome_of(decline: Decline | None, *, elevated: bool = False) -> Json:
    """What the network and Radar made of it. See https://docs.stripe.com/declines#blocked-payments"""
    shared = {"network_advice_code": None, "network_decline_code": None}
    if decline is None:
        return {
            **shared,
            "advice_code": None,
            "network_status": "approved_by_network",
            "reason": "elevated_risk_level" if elevated else None,
            "risk_level": "elevated" if elevated else "normal",
            "risk_score": 68 if elevated else 20,
            "seller_message": "Stripe evaluated this payment as having elevated risk."
            if elevated
            else "Payment complete.",
            "type": "manual_review" if elevated else "authorized",
        }
    if decline.by_radar:
        return {
            **shared,
            "advice_code": None,
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "risk_level": "highest",
            "risk_score": 90,
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    return {
        **shared,
        "advice_code": "do_not_try_again" if decline.is_hard else "try_again_later",
        "network_status": "declined_by_network",
        "reason": decline.decline_code or decline.code,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }


def _is_elevated(method: Json) -> bool:
    return method["type"] == "card" and CARDS[method["_number"]].elevated


def _method_details(method: Json, amount: int, *, paid: bool) -> Json:
    type = method["type"]
    if type == "card":
        return {"type": type, "card": _card_details(method["card"], amount, paid=paid)}
    kept = {"account_holder_type", "account_type", "bank_name", "routing_number"}
    kept |= {"bank_code", "branch_code", "country", "fingerprint", "last4"}
    account = {name: value for name, value in method[type].items() if name in kept}
    also = {"payment_reference": None} if type == "us_bank_account" else {}
    return {"type": type, type: {**account, **also, "expected_debit_date": None, "mandate": None}}


def _card_details(card: Json, amount: int, *, paid: bool) -> Json:
    return {
        "amount_authorized": amount if paid else None,
        "authorization_code": None,
        "brand": card["brand"],
        "checks": card["checks"],
        "country": card["country"],
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "wallet": None,
    }

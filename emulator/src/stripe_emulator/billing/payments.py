"""Charging a card: payment intents, their charges, 3D Secure, declines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stripe_emulator.billing import disputes, funds
from stripe_emulator.cards import AUTHENTICATION_FAILED, AUTHENTICATION_REQUIRED, CARDS, GENERIC, Decline, TestCard
from stripe_emulator.faults import take_decline
from stripe_emulator.ids import new_id, token
from stripe_emulator.rendering import public, renders, show
from stripe_emulator.resources.payment_methods import must_authenticate
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

CHALLENGE = "_challenge"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt to take money (or save a card) ended."""

    status: Literal["succeeded", "failed", "requires_action"]
    decline: Decline | None = None


def create_intent(
    engine: Engine,
    *,
    amount: int,
    currency: str,
    customer: str | None,
    clock: str | None,
    description: str | None = None,
    setup_future_usage: str | None = None,
    metadata: Json | None = None,
    terms: Json | None = None,
) -> Json:
    """A payment intent that waits for a payment method; `terms` are further fields, as they are shown."""
    id = new_id("pi")
    intent: Json = {
        **nulls("payment_intent"),
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "capture_method": "automatic_async",
        "client_secret": f"{id}_secret_{token(25)}",
        "confirmation_method": "automatic",
        "created": engine.now(clock),
        "currency": currency,
        "customer": customer,
        "description": description,
        "livemode": False,
        "metadata": metadata or {},
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "setup_future_usage": setup_future_usage,
        "status": "requires_payment_method",
        "_clock": clock,
        **(terms or {}),
    }
    engine.store.add(intent)
    engine.emit("payment_intent.created", intent)
    return intent


def confirm(engine: Engine, intent: Json, method: Json, *, off_session: bool, authenticated: bool = False) -> Attempt:
    """
    Try to take the money.

    A card that wants 3D Secure waits for the challenge when its holder is there, and is declined when not.
    """
    intent["payment_method"] = method["id"]
    intent["next_action"] = None
    card = CARDS[method["_number"]]
    if not authenticated and must_authenticate(method, off_session=off_session):
        if off_session:
            return _decline(engine, intent, method, AUTHENTICATION_REQUIRED)
        return _challenge(engine, intent)
    refusal = card.after_authentication or card.charge
    if off_session and refusal is None and take_decline(engine):
        refusal = GENERIC
    if refusal is not None:
        return _decline(engine, intent, method, refusal)
    charge = _charge(engine, intent, method, None)
    method["_set_up"] = True
    intent.update(latest_charge=charge["id"], last_payment_error=None)
    if intent["capture_method"] == "manual":
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        engine.emit("charge.succeeded", charge)
        engine.emit("payment_intent.amount_capturable_updated", intent)
    else:
        intent.update(status="succeeded", amount_received=intent["amount"])
        engine.emit("charge.succeeded", charge)
        engine.emit("payment_intent.succeeded", intent)
        _follow(engine, charge, card)
    return Attempt("succeeded")


def capture(engine: Engine, intent: Json, amount: int) -> None:
    """Take the money a card was authorised for, or a part of it; what is left is released."""
    charge = engine.find("charge", intent["latest_charge"])
    with engine.changing(charge, "charge.captured"):
        charge.update(captured=True, amount_captured=amount)
    intent.update(status="succeeded", amount_received=amount, amount_capturable=0)
    engine.emit("payment_intent.succeeded", intent)
    _follow(engine, charge, CARDS[engine.find("payment_method", charge["payment_method"])["_number"]])


def _follow(engine: Engine, charge: Json, card: TestCard) -> None:
    """What a test card brings about once its money is taken."""
    if card.bypasses_pending:
        funds.announce(engine, charge)
    if card.dispute is not None:
        disputes.open_dispute(engine, charge, card.dispute)


def fail_authentication(engine: Engine, intent: Json) -> Attempt:
    """The holder did not pass the challenge."""
    intent["status"] = "requires_payment_method"
    intent["next_action"] = None
    intent["last_payment_error"] = _last_error(AUTHENTICATION_FAILED, intent["payment_method"], None)
    intent["payment_method"] = None
    engine.emit("payment_intent.payment_failed", intent)
    return Attempt("failed", AUTHENTICATION_FAILED)


def cancel_intent(engine: Engine, intent: Json, reason: str) -> None:
    """Give up a payment intent that has not succeeded."""
    if intent["status"] in ("succeeded", "canceled"):
        return
    if intent["status"] == "requires_capture":
        charge = engine.find("charge", intent["latest_charge"])
        with engine.changing(charge, "charge.refunded"):
            charge.update(amount_refunded=charge["amount"], refunded=True)
    intent.update(
        amount_capturable=0,
        status="canceled",
        canceled_at=engine.now(intent.get("_clock")),
        cancellation_reason=reason,
        next_action=None,
    )
    engine.emit("payment_intent.canceled", intent)


def create_setup_intent(
    engine: Engine,
    customer: str | None,
    *,
    clock: str | None,
    metadata: Json | None = None,
    terms: Json | None = None,
) -> Json:
    """A setup intent that waits for a payment method; `terms` are further fields, as they are shown."""
    id = new_id("seti")
    intent: Json = {
        **nulls("setup_intent"),
        "id": id,
        "object": "setup_intent",
        "client_secret": f"{id}_secret_{token(25)}",
        "created": engine.now(clock),
        "customer": customer,
        "livemode": False,
        "metadata": metadata or {},
        "payment_method_options": {"card": {"mandate_options": None, "network": None, "request_three_d_secure": None}},
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
        "usage": "off_session",
        "_clock": clock,
        **(terms or {}),
    }
    engine.store.add(intent)
    engine.emit("setup_intent.created", intent)
    return intent


def confirm_setup(engine: Engine, intent: Json, method: Json, *, authenticated: bool = False) -> Attempt:
    """Try to save a card for later."""
    intent["payment_method"] = method["id"]
    card = CARDS[method["_number"]]
    if not authenticated and must_authenticate(method, off_session=False):
        intent["status"] = "requires_action"
        intent["next_action"] = _next_action(engine, _new_challenge(engine, intent))
        engine.emit("setup_intent.requires_action", intent)
        return Attempt("requires_action")
    intent["next_action"] = None
    if card.setup is not None:
        intent["status"] = "requires_payment_method"
        intent["payment_method"] = None
        intent["last_setup_error"] = _last_error(card.setup, method["id"], None)
        engine.emit("setup_intent.setup_failed", intent)
        return Attempt("failed", card.setup)
    method["_set_up"] = True
    intent["status"] = "succeeded"
    intent["last_setup_error"] = None
    engine.emit("setup_intent.succeeded", intent)
    return Attempt("succeeded")


def fail_setup_authentication(engine: Engine, intent: Json) -> Attempt:
    """The holder did not pass the challenge while saving a card."""
    intent["status"] = "requires_payment_method"
    intent["next_action"] = None
    failure = Decline("setup_intent_authentication_failure", AUTHENTICATION_FAILED.message)
    intent["last_setup_error"] = _last_error(failure, intent["payment_method"], None)
    intent["payment_method"] = None
    engine.emit("setup_intent.setup_failed", intent)
    return Attempt("failed", failure)


def challenge_of(engine: Engine, intent: Json) -> Json | None:
    """The open 3D Secure challenge of an intent."""
    token_ = intent.get("_challenge")
    return engine.store.get(token_, CHALLENGE) if token_ else None


def _challenge(engine: Engine, intent: Json) -> Attempt:
    intent["status"] = "requires_action"
    intent["next_action"] = _next_action(engine, _new_challenge(engine, intent))
    engine.emit("payment_intent.requires_action", intent)
    return Attempt("requires_action")


def _new_challenge(engine: Engine, intent: Json) -> Json:
    previous = challenge_of(engine, intent)
    if previous is not None:
        engine.store.remove(previous["id"])
    challenge = engine.store.add({"id": token(32), "object": CHALLENGE, "intent": intent["id"], "state": "open"})
    challenge["back"] = intent.get("_return_url")
    intent["_challenge"] = challenge["id"]
    return challenge


def _next_action(engine: Engine, challenge: Json) -> Json:
    return {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "return_url": challenge.get("back"),
            "url": f"{engine.base_url}/c/3ds/{challenge['id']}",
        },
    }


def _decline(engine: Engine, intent: Json, method: Json, decline: Decline) -> Attempt:
    charge = _charge(engine, intent, method, decline)
    intent.update(
        status="requires_payment_method",
        latest_charge=charge["id"],
        last_payment_error=_last_error(decline, method["id"], charge["id"]),
        payment_method=None,
    )
    engine.emit("charge.failed", charge)
    engine.emit("payment_intent.payment_failed", intent)
    return Attempt("failed", decline)


def _last_error(decline: Decline, method: str | None, charge: str | None) -> Json:
    error: Json = {
        "charge": charge,
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://docs.stripe.com/error-codes#{decline.code.replace('_', '-')}",
        "message": decline.message,
        "param": decline.param,
        "payment_method": method,
        "type": "card_error",
    }
    return {key: value for key, value in error.items() if value is not None}


def _charge(engine: Engine, intent: Json, method: Json, decline: Decline | None) -> Json:
    paid = decline is None
    captured = paid and intent["capture_method"] != "manual"
    id = new_id("ch")
    card = method["card"]
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
            "outcome": _outcome(decline),
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {
                "type": "card",
                "card": {
                    "amount_authorized": intent["amount"] if paid else None,
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
                    "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
                    "regulated_status": "unregulated",
                    "three_d_secure": None,
                    "wallet": None,
                },
            },
            "receipt_email": intent["receipt_email"],
            "receipt_url": f"https://pay.stripe.com/receipts/{id}" if paid else None,
            "refunded": False,
            "shipping": intent["shipping"],
            "status": "succeeded" if paid else "failed",
            "_clock": intent.get("_clock"),
        }
    )


def _outcome(decline: Decline | None) -> Json:
    if decline is None:
        return {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 20,
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    return {
        "advice_code": "do_not_try_again" if decline.is_hard else "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network",
        "reason": decline.decline_code or decline.code,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }


@renders("payment_intent")
def show_intent(engine: Engine, intent: Json) -> Json:
    """With the payment method of the last error in full, as Stripe sends it."""
    return _with_error_method(engine, public(intent), "last_payment_error")


@renders("setup_intent")
def show_setup_intent(engine: Engine, intent: Json) -> Json:
    """With the payment method of the last error in full, as Stripe sends it."""
    return _with_error_method(engine, public(intent), "last_setup_error")


def _with_error_method(engine: Engine, shown: Json, field: str) -> Json:
    error = shown[field]
    if error and isinstance(error.get("payment_method"), str):
        method = engine.store.get(error["payment_method"], "payment_method")
        error["payment_method"] = show(engine, method) if method else None
    return shown

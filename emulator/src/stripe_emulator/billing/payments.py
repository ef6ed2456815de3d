"""Payment intents: made, charged at once or debited over days, captured, given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import challenges, debits, disputes, funds
from stripe_emulator.billing.attempts import Attempt, last_error, with_error_method
from stripe_emulator.billing.charging import make_charge, refuse
from stripe_emulator.cards import AUTHENTICATION_FAILED, AUTHENTICATION_REQUIRED, CARDS, TestCard
from stripe_emulator.faults import take_decline
from stripe_emulator.ids import new_id, token
from stripe_emulator.rendering import public, renders
from stripe_emulator.resources.payment_methods import must_authenticate
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


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

    A card that wants 3D Secure waits for the challenge when its holder is there, and is declined when not. A debit of
    a bank account is only begun.
    """
    intent["payment_method"] = method["id"]
    intent["next_action"] = None
    if method["type"] != "card":
        return debits.begin(engine, intent, method, refusal=take_decline(engine, off_session=off_session))
    card = CARDS[method["_number"]]
    if not authenticated and must_authenticate(method, off_session=off_session):
        if off_session:
            return refuse(engine, intent, method, AUTHENTICATION_REQUIRED)
        challenges.ask(engine, intent)
        return Attempt("requires_action")
    refusal = card.after_authentication or card.charge
    if refusal is None:
        refusal = take_decline(engine, off_session=off_session)
    if refusal is not None:
        return refuse(engine, intent, method, refusal)
    charge = make_charge(engine, intent, method)
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
    intent["last_payment_error"] = last_error(AUTHENTICATION_FAILED, intent["payment_method"], None)
    intent["payment_method"] = None
    engine.emit("payment_intent.payment_failed", intent)
    return Attempt("failed", AUTHENTICATION_FAILED)


def cancel_intent(engine: Engine, intent: Json, reason: str) -> None:
    """Give up a payment intent that has not succeeded."""
    if intent["status"] in ("succeeded", "canceled"):
        return
    if intent["status"] == "processing":
        debits.call_back(engine, intent)
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


@renders("payment_intent")
def show_intent(engine: Engine, intent: Json) -> Json:
    """With the payment method of the last error in full, as Stripe sends it."""
    return with_error_method(engine, public(intent), "last_payment_error")

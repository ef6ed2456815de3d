"""Setup intents: a payment method saved for later, at once or after its holder has authenticated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import challenges
from stripe_emulator.billing.attempts import Attempt, last_error, with_error_method
from stripe_emulator.cards import AUTHENTICATION_FAILED, Decline
from stripe_emulator.ids import new_id, token
from stripe_emulator.rendering import public, renders
from stripe_emulator.resources.payment_methods import must_authenticate, refuses_setup
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


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
    """Try to save a card for later; a bank account is saved at once."""
    intent["payment_method"] = method["id"]
    setup_refusal = refuses_setup(method)
    if not authenticated and must_authenticate(method, off_session=False):
        challenges.ask(engine, intent)
        return Attempt("requires_action")
    intent["next_action"] = None
    if setup_refusal is not None:
        intent["status"] = "requires_payment_method"
        intent["payment_method"] = None
        intent["last_setup_error"] = last_error(setup_refusal, method["id"], None)
        engine.emit("setup_intent.setup_failed", intent)
        return Attempt("failed", setup_refusal)
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
    intent["last_setup_error"] = last_error(failure, intent["payment_method"], None)
    intent["payment_method"] = None
    engine.emit("setup_intent.setup_failed", intent)
    return Attempt("failed", failure)


@renders("setup_intent")
def show_setup_intent(engine: Engine, intent: Json) -> Json:
    """With the payment method of the last error in full, as Stripe sends it."""
    return with_error_method(engine, public(intent), "last_setup_error")

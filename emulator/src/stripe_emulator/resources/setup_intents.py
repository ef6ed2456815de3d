"""Setup intents: a card saved for later, at once or after its holder has authenticated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import typed_card
from stripe_emulator.billing import setups
from stripe_emulator.billing.attempts import Attempt
from stripe_emulator.hosted_views import Outcome
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import show
from stripe_emulator.resources import customers, payment_methods
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A setup intent; with `confirm` and a payment method the card is saved at once."""
    customer = params.get("customer")
    owner = customers.existing(engine, customer, param="customer") if customer else None
    params.ignore("automatic_payment_methods", "allowed_payment_method_types", "mandate_data", "use_stripe_sdk")
    terms = {"description": params.get("description"), "usage": params.get("usage", "off_session")}
    intent = setups.create_setup_intent(
        engine,
        customer,
        clock=owner["test_clock"] if owner else None,
        metadata=params.get("metadata") or {},
        terms=terms,
    )
    wanted = params.get("payment_method")
    intent["_return_url"] = params.get("return_url")
    if params.get("confirm", False):
        return _confirm(engine, intent, wanted)
    if wanted is not None:
        _choose(engine, intent, wanted)
    return intent


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One setup intent."""
    params.ignore("client_secret")
    return engine.find("setup_intent", ids[0])


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Setup intents by customer and payment method."""
    customer, method = params.get("customer"), params.get("payment_method")
    return [
        intent
        for intent in engine.store.scan("setup_intent")
        if customer in (None, intent["customer"]) and method in (None, intent["payment_method"])
    ]


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its description, metadata, customer and payment method, while nothing is saved yet."""
    intent = engine.find("setup_intent", ids[0])
    _check_state(intent, "update")
    if "description" in params:
        intent["description"] = params["description"] or None
    if "customer" in params:
        intent["customer"] = customers.existing(engine, params["customer"], param="customer")["id"]
    if "payment_method" in params:
        _choose(engine, intent, params["payment_method"])
    intent["metadata"] = merged(intent["metadata"], params)
    return intent


def confirm(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Save the card, or ask for its holder's authentication."""
    intent = engine.find("setup_intent", ids[0])
    params.ignore("mandate_data", "use_stripe_sdk")
    _check_state(intent, "confirm")
    if "return_url" in params:
        intent["_return_url"] = params["return_url"]
    return _confirm(engine, intent, params.get("payment_method"))


def cancel(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Give one up that has not succeeded."""
    intent = engine.find("setup_intent", ids[0])
    _check_state(intent, "cancel")
    intent.update(
        status="canceled",
        cancellation_reason=params.get("cancellation_reason"),
        next_action=None,
    )
    engine.emit("setup_intent.canceled", intent)
    return intent


def answer_challenge(engine: Engine, challenge: Json, intent: Json, ok: bool) -> Outcome:
    """What follows a 3D Secure challenge of a setup intent that no page made."""
    back = challenge.get("back")
    method = engine.find("payment_method", intent["payment_method"])
    if ok:
        attempt = setups.confirm_setup(engine, intent, method, authenticated=True)
    else:
        attempt = setups.fail_setup_authentication(engine, intent)
    if attempt.decline is not None:
        return typed_card.declined(attempt.decline, redirect=back)
    _keep(engine, intent, method)
    return Outcome("complete", redirect=back)


def _confirm(engine: Engine, intent: Json, wanted: str | None) -> Json:
    wanted = wanted or intent["payment_method"]
    if wanted is None:
        raise invalid(
            "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with "
            "a payment method and then confirm it again.",
            param="payment_method",
            code="setup_intent_unexpected_state",
        )
    method = payment_methods.usable(engine, wanted, None, param="payment_method")
    attempt = setups.confirm_setup(engine, intent, method)
    if attempt.status == "failed":
        raise _refusal(engine, intent, attempt)
    if attempt.status == "succeeded":
        _keep(engine, intent, method)
    return intent


def _keep(engine: Engine, intent: Json, method: Json) -> None:
    if intent["customer"] and method["customer"] is None:
        payment_methods.attach(engine, method, intent["customer"])


def _choose(engine: Engine, intent: Json, wanted: str) -> None:
    method = payment_methods.usable(engine, wanted, None, param="payment_method")
    intent.update(payment_method=method["id"], status="requires_confirmation")


def _refusal(engine: Engine, intent: Json, attempt: Attempt) -> Exception:
    assert attempt.decline is not None
    error = attempt.decline.error()
    error.keep = True
    error.extra["setup_intent"] = show(engine, intent)
    return error


def _check_state(intent: Json, verb: str) -> None:
    if intent["status"] not in CONFIRMABLE:
        raise invalid(
            f"You cannot {verb} this SetupIntent because it has a status of {intent['status']}.",
            code="setup_intent_unexpected_state",
        )


ROUTES = [
    Route("POST", "/v1/setup_intents", create, "SetupIntentCreateParams"),
    Route("GET", "/v1/setup_intents", listing, "SetupIntentListParams"),
    Route("GET", "/v1/setup_intents/{id}", retrieve, "SetupIntentRetrieveParams"),
    Route("POST", "/v1/setup_intents/{id}", update, "SetupIntentUpdateParams"),
    Route("POST", "/v1/setup_intents/{id}/confirm", confirm, "SetupIntentConfirmParams"),
    Route("POST", "/v1/setup_intents/{id}/cancel", cancel, "SetupIntentCancelParams"),
]

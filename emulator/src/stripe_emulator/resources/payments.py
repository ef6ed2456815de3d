"""Payment intents, setup intents and charges, as results of what happened; payment intents can be confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, payments
from stripe_emulator.cards import Decline
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import as_list, includes, show
from stripe_emulator.resources import payment_methods
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def retrieve_intent(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One payment intent."""
    params.ignore("client_secret")
    return engine.find("payment_intent", ids[0])


def list_intents(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Payment intents by customer."""
    customer = params.get("customer")
    return [intent for intent in engine.store.scan("payment_intent") if customer in (None, intent["customer"])]


def confirm_intent(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Confirm the payment intent of an open invoice, as the Payment Element does from a page.

    A declined card is a 402 and leaves its failed charge behind.
    """
    intent = engine.find("payment_intent", ids[0])
    params.ignore("return_url", "setup_future_usage", "mandate_data", "use_stripe_sdk")
    if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        raise invalid(
            f"This PaymentIntent's status is {intent['status']}, so it can't be confirmed.",
            code="payment_intent_unexpected_state",
        )
    wanted = params.get("payment_method") or intent["payment_method"]
    if wanted is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. "
            "You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it "
            "again directly with a payment method.",
            code="payment_intent_unexpected_state",
        )
    method = payment_methods.usable(engine, wanted, None, param="payment_method")
    if method["customer"] is None and intent["customer"] is not None:
        payment_methods.attach(engine, method, intent["customer"])
    attempt = payments.confirm(engine, intent, method, off_session=params.get("off_session", False) is True)
    invoice = invoice_of(engine, intent)
    if invoice is not None:
        collection.conclude(engine, invoice, attempt, method)
    if attempt.status == "failed":
        assert attempt.decline is not None
        error = attempt.decline.error()
        error.keep = True
        error.extra["payment_intent"] = show(engine, intent)
        raise error
    return intent


def cancel_intent(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Give one up that has not succeeded."""
    intent = engine.find("payment_intent", ids[0])
    if intent["status"] in ("succeeded", "canceled"):
        raise invalid(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    payments.cancel_intent(engine, intent, params.get("cancellation_reason", "requested_by_customer"))
    return intent


def invoice_of(engine: Engine, intent: Json) -> Json | None:
    """The invoice a payment intent pays."""
    for payment in engine.store.scan("invoice_payment"):
        if payment["payment"]["payment_intent"] == intent["id"]:
            return engine.store.get(payment["invoice"], "invoice")
    return None


def retrieve_setup(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One setup intent."""
    params.ignore("client_secret")
    return engine.find("setup_intent", ids[0])


def list_setups(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Setup intents by customer and payment method."""
    customer, method = params.get("customer"), params.get("payment_method")
    return [
        intent
        for intent in engine.store.scan("setup_intent")
        if customer in (None, intent["customer"]) and method in (None, intent["payment_method"])
    ]


def create_setup(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A setup intent; with `confirm` and a payment method the card is saved at once."""
    customer = params.get("customer")
    owner = engine.find("customer", customer, param="customer") if customer else None
    params.ignore("usage", "automatic_payment_methods", "return_url")
    clock = owner["test_clock"] if owner else None
    intent = payments.create_setup_intent(engine, customer, clock=clock, metadata=params.get("metadata") or {})
    wanted = params.get("payment_method")
    if params.get("confirm", False):
        if wanted is None:
            raise invalid("You must provide a payment method to confirm.", param="payment_method")
        method = payment_methods.usable(engine, wanted, None, param="payment_method")
        attempt = payments.confirm_setup(engine, intent, method)
        if attempt.status == "failed":
            assert isinstance(attempt.decline, Decline)
            error = attempt.decline.error()
            error.keep = True
            raise error
        if attempt.status == "succeeded" and customer and method["customer"] is None:
            payment_methods.attach(engine, method, customer)
    elif wanted is not None:
        method = payment_methods.usable(engine, wanted, None, param="payment_method")
        intent.update(payment_method=method["id"], status="requires_confirmation")
    return intent


def retrieve_charge(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One charge."""
    return engine.find("charge", ids[0])


def list_charges(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Charges by customer and payment intent."""
    customer, intent = params.get("customer"), params.get("payment_intent")
    return [
        charge
        for charge in engine.store.scan("charge")
        if customer in (None, charge["customer"]) and intent in (None, charge["payment_intent"])
    ]


@includes("charge", "refunds")
def show_refunds(engine: Engine, charge: Json) -> Json:
    """Its refunds, when expanded."""
    found = [show(engine, refund) for refund in engine.store.scan("refund") if refund["charge"] == charge["id"]]
    return as_list(found, f"/v1/charges/{charge['id']}/refunds")


ROUTES = [
    Route("GET", "/v1/payment_intents", list_intents, "PaymentIntentListParams"),
    Route("GET", "/v1/payment_intents/{id}", retrieve_intent, "PaymentIntentRetrieveParams"),
    Route("POST", "/v1/payment_intents/{id}/confirm", confirm_intent, "PaymentIntentConfirmParams"),
    Route("POST", "/v1/payment_intents/{id}/cancel", cancel_intent, "PaymentIntentCancelParams"),
    Route("POST", "/v1/setup_intents", create_setup, "SetupIntentCreateParams"),
    Route("GET", "/v1/setup_intents", list_setups, "SetupIntentListParams"),
    Route("GET", "/v1/setup_intents/{id}", retrieve_setup, "SetupIntentRetrieveParams"),
    Route("GET", "/v1/charges", list_charges, "ChargeListParams"),
    Route("GET", "/v1/charges/{id}", retrieve_charge, "ChargeRetrieveParams"),
]

"""Payment intents: made, confirmed, captured and given up; those of invoices are confirmed here too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import collection, payments
from stripe_emulator.cards import AUTHENTICATION_REQUIRED
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import show
from stripe_emulator.resources import customers, payment_methods
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = (*CONFIRMABLE, "requires_capture", "processing")
DETAILS = ("description", "receipt_email", "setup_future_usage", "statement_descriptor", "statement_descriptor_suffix")


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    A payment that waits for its method; with `confirm` the card is charged at once.

    A declined card is a 402 and leaves the intent and its failed charge behind.
    """
    customer = params.get("customer")
    owner = customers.existing(engine, customer, param="customer") if customer else None
    params.ignore("allowed_payment_method_types", "mandate_data", "use_stripe_sdk")
    amount = _positive(params["amount"], "amount")
    automatic = params.plain("automatic_payment_methods")
    intent = payments.create_intent(
        engine,
        amount=amount,
        currency=params["currency"].lower(),
        customer=customer,
        clock=owner["test_clock"] if owner else None,
        metadata=params.get("metadata") or {},
        terms={
            **{name: params.get(name) for name in DETAILS},
            "automatic_payment_methods": {"allow_redirects": "always", **automatic} if automatic else None,
            "capture_method": params.get("capture_method", "automatic_async"),
            "confirmation_method": params.get("confirmation_method", "automatic"),
            "shipping": payment_methods.shipping_of(params),
        },
    )
    wanted = params.get("payment_method")
    if params.get("confirm", False):
        return _confirm(engine, intent, wanted, params)
    for name in ("return_url", "off_session", "error_on_requires_action"):
        if name in params:
            raise invalid(f"You can only pass `{name}` with `confirm=true`.", param=name)
    if wanted is not None:
        _choose(engine, intent, wanted)
    return intent


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One payment intent."""
    params.ignore("client_secret")
    return engine.find("payment_intent", ids[0])


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Payment intents by customer."""
    customer = params.get("customer")
    return [intent for intent in engine.store.scan("payment_intent") if customer in (None, intent["customer"])]


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its amount and details, while nothing is charged yet. Stripe has no event for it."""
    intent = engine.find("payment_intent", ids[0])
    _check_state(intent, "update", CONFIRMABLE)
    if "amount" in params:
        intent["amount"] = _positive(params["amount"], "amount")
    if "currency" in params:
        intent["currency"] = params["currency"].lower()
    if "capture_method" in params:
        intent["capture_method"] = params["capture_method"]
    if "customer" in params:
        intent["customer"] = customers.existing(engine, params["customer"], param="customer")["id"]
    if "shipping" in params:
        intent["shipping"] = payment_methods.shipping_of(params)
    intent.update({name: params[name] or None for name in DETAILS if name in params})
    intent["metadata"] = merged(intent["metadata"], params)
    if "payment_method" in params:
        _choose(engine, intent, params["payment_method"])
    return intent


def confirm(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    Try to take the money, also that of an open invoice, as the Payment Element does from a page.

    A declined card is a 402 and leaves its failed charge behind.
    """
    intent = engine.find("payment_intent", ids[0])
    params.ignore("mandate_data", "use_stripe_sdk")
    if intent["status"] not in CONFIRMABLE:
        raise invalid(
            f"This PaymentIntent's status is {intent['status']}, so it can't be confirmed.",
            code="payment_intent_unexpected_state",
        )
    for name in ("receipt_email", "setup_future_usage"):
        if name in params:
            intent[name] = params[name] or None
    if "shipping" in params:
        intent["shipping"] = payment_methods.shipping_of(params)
    return _confirm(engine, intent, params.get("payment_method"), params)


def capture(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Take what was authorised, or a part of it once and for all."""
    intent = engine.find("payment_intent", ids[0])
    if intent["status"] != "requires_capture":
        raise invalid(
            f"This PaymentIntent could not be captured because it has a status of {intent['status']}. Only a "
            "PaymentIntent with one of the following statuses may be captured: requires_capture.",
            code="payment_intent_unexpected_state",
        )
    if not params.get("final_capture", True):
        raise invalid("This PaymentIntent does not support multicapture.", param="final_capture")
    amount = _positive(params.get("amount_to_capture", intent["amount_capturable"]), "amount_to_capture")
    if amount > intent["amount_capturable"]:
        raise invalid(
            f"The amount_to_capture ({amount}) is greater than the amount that can be captured "
            f"({intent['amount_capturable']}).",
            param="amount_to_capture",
            code="amount_too_large",
        )
    intent["metadata"] = merged(intent["metadata"], params)
    payments.capture(engine, intent, amount)
    return intent


def cancel(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Give one up that has not succeeded; an authorised amount is released."""
    intent = engine.find("payment_intent", ids[0])
    _check_state(intent, "cancel", CANCELABLE)
    payments.cancel_intent(engine, intent, params.get("cancellation_reason"))
    return intent


def invoice_of(engine: Engine, intent: Json) -> Json | None:
    """The invoice a payment intent pays."""
    for payment in engine.store.scan("invoice_payment"):
        if payment["payment"]["payment_intent"] == intent["id"]:
            return engine.store.get(payment["invoice"], "invoice")
    return None


def _confirm(engine: Engine, intent: Json, wanted: str | None, params: Params) -> Json:
    wanted = wanted or intent["payment_method"]
    if wanted is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. "
            "You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it "
            "again directly with a payment method.",
            code="payment_intent_unexpected_state",
        )
    method = payment_methods.usable(engine, wanted, None, param="payment_method")
    if method["customer"] is None and intent["customer"] is not None and intent["setup_future_usage"]:
        payment_methods.attach(engine, method, intent["customer"])
    if "return_url" in params:
        intent["_return_url"] = params["return_url"]
    off_session = params.get("off_session", False)
    off_session = off_session is True or isinstance(off_session, str)
    attempt = payments.confirm(engine, intent, method, off_session=off_session)
    invoice = invoice_of(engine, intent)
    if invoice is not None:
        collection.conclude(engine, invoice, attempt, method)
    if attempt.status == "requires_action" and params.get("error_on_requires_action", False):
        attempt = payments.fail_authentication(engine, intent)
        raise _refusal(engine, intent, AUTHENTICATION_REQUIRED.error())
    params.ignore("error_on_requires_action")
    if attempt.status == "failed":
        assert attempt.decline is not None
        raise _refusal(engine, intent, attempt.decline.error())
    return intent


def _refusal(engine: Engine, intent: Json, error: ApiError) -> ApiError:
    error.keep = True
    error.extra["payment_intent"] = show(engine, intent)
    return error


def _choose(engine: Engine, intent: Json, wanted: str) -> None:
    method = payment_methods.usable(engine, wanted, None, param="payment_method")
    intent.update(payment_method=method["id"], status="requires_confirmation")


def _positive(amount: int, param: str) -> int:
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", param=param, code="parameter_invalid_integer")
    return amount


def _check_state(intent: Json, verb: str, allowed: tuple[str, ...]) -> None:
    if intent["status"] not in allowed:
        raise invalid(
            f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )


ROUTES = [
    Route("POST", "/v1/payment_intents", create, "PaymentIntentCreateParams"),
    Route("GET", "/v1/payment_intents", listing, "PaymentIntentListParams"),
    Route("GET", "/v1/payment_intents/{id}", retrieve, "PaymentIntentRetrieveParams"),
    Route("POST", "/v1/payment_intents/{id}", update, "PaymentIntentUpdateParams"),
    Route("POST", "/v1/payment_intents/{id}/confirm", confirm, "PaymentIntentConfirmParams"),
    Route("POST", "/v1/payment_intents/{id}/capture", capture, "PaymentIntentCaptureParams"),
    Route("POST", "/v1/payment_intents/{id}/cancel", cancel, "PaymentIntentCancelParams"),
]

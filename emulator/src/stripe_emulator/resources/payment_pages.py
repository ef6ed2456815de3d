"""
The two calls by which the Stripe CLI completes a Checkout session.

Stripe does not document them; the CLI's fixture of `checkout.session.completed` shows what they take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from stripe_emulator import checkout_page
from stripe_emulator.protocol.errors import card_error, invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import checkout_sessions, payment_methods
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


class PageRetrieveParams(TypedDict):
    """Nothing."""


class PageConfirmParams(TypedDict):
    """What to pay with, and the amount that was shown, in minor units."""

    payment_method: str
    expected_amount: int


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """The session behind a page."""
    return checkout_sessions.find(engine, ids[0])


def confirm(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Submit the page of an open session; a declined card is a 402 and the session stays open."""
    session = checkout_sessions.find(engine, ids[0])
    if session["status"] != "open":
        raise invalid(checkout_page.closed(session).message, code="payment_intent_unexpected_state")
    due, expected = session["amount_total"] or 0, params["expected_amount"]
    if expected != due:
        raise invalid(
            f"The expected_amount ({expected}) is not what the page asks for ({due}).",
            param="expected_amount",
            code="checkout_amount_mismatch",
        )
    method = payment_methods.usable(engine, params["payment_method"], None, param="payment_method")
    if method["type"] not in session["payment_method_types"]:
        raise invalid(
            f"The PaymentMethod's type ({method['type']}) is not one of those the page offers "
            f"({', '.join(session['payment_method_types'])}).",
            param="payment_method",
            code="payment_intent_incompatible_payment_method",
        )
    outcome = checkout_page.pay_with(engine, session, method)
    if outcome.kind == "declined":
        error = card_error(outcome.message, code="card_declined")
        error.keep = True
        raise error
    return session


ROUTES = [
    Route("GET", "/v1/payment_pages/{id}", retrieve, PageRetrieveParams),
    Route("POST", "/v1/payment_pages/{id}/confirm", confirm, PageConfirmParams),
]

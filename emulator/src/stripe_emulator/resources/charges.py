"""Charges: the attempts of payment intents to take money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import payments
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import as_list, includes, show
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One charge."""
    return engine.find("charge", ids[0])


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Charges by customer and payment intent."""
    customer, intent = params.get("customer"), params.get("payment_intent")
    return [
        charge
        for charge in engine.store.scan("charge")
        if customer in (None, charge["customer"]) and intent in (None, charge["payment_intent"])
    ]


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its description, receipt address and metadata."""
    charge = engine.find("charge", ids[0])
    with engine.changing(charge, "charge.updated"):
        for name in ("description", "receipt_email"):
            if name in params:
                charge[name] = params[name] or None
        charge["metadata"] = merged(charge["metadata"], params)
    return charge


def capture(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Take what was authorised, or a part of it; its payment intent has succeeded then."""
    charge = engine.find("charge", ids[0])
    if charge["captured"] or not charge["paid"] or charge["refunded"]:
        raise invalid(f"Charge {charge['id']} has already been captured or can't be.", code="charge_already_captured")
    amount = params.get("amount", charge["amount"])
    if not 1 <= amount <= charge["amount"]:
        raise invalid(
            "You cannot capture a charge for an amount greater than it already has.",
            param="amount",
            code="amount_too_large",
        )
    payments.capture(engine, engine.find("payment_intent", charge["payment_intent"]), amount)
    return charge


@includes("charge", "refunds")
def show_refunds(engine: Engine, charge: Json) -> Json:
    """Its refunds, when expanded."""
    found = [show(engine, refund) for refund in engine.store.scan("refund") if refund["charge"] == charge["id"]]
    return as_list(found, f"/v1/charges/{charge['id']}/refunds")


ROUTES = [
    Route("GET", "/v1/charges", listing, "ChargeListParams"),
    Route("GET", "/v1/charges/{id}", retrieve, "ChargeRetrieveParams"),
    Route("POST", "/v1/charges/{id}", update, "ChargeUpdateParams"),
    Route("POST", "/v1/charges/{id}/capture", capture, "ChargeCaptureParams"),
]

"""Refunds, whole and partial. A refund changes no subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Give back a charge or a part of it; never more than is left."""
    charge = _charge(engine, params)
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} has not been paid.", code="charge_not_refundable", param="charge")
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left <= 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded", param="charge"
        )
    amount = params.get("amount") or left
    if amount > left:
        raise invalid(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount")
    refund: Json = {
        **nulls("refund"),
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "charge": charge["id"],
        "created": engine.now(charge["_clock"]),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "destination_details": _destination(charge),
        "metadata": params.get("metadata") or {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "status": "succeeded",
        "_clock": charge["_clock"],
    }
    engine.store.add(refund)
    engine.emit("refund.created", refund)
    with engine.changing(charge, "charge.refunded"):
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    return refund


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its metadata. Both events of a changed refund are sent, as Stripe does."""
    refund = engine.find("refund", ids[0])
    before = dict(refund["metadata"])
    refund["metadata"] = merged(refund["metadata"], params)
    previous = {name: before.get(name) for name in before.keys() | refund["metadata"].keys()}
    changed = {name: value for name, value in previous.items() if refund["metadata"].get(name) != value}
    if changed:
        for type in ("refund.updated", "charge.refund.updated"):
            engine.emit(type, refund, {"metadata": changed})
    return refund


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One refund."""
    return engine.find("refund", ids[0])


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Refunds by charge and payment intent."""
    charge, intent = params.get("charge"), params.get("payment_intent")
    return [
        refund
        for refund in engine.store.scan("refund")
        if charge in (None, refund["charge"]) and intent in (None, refund["payment_intent"])
    ]


def _charge(engine: Engine, params: Params) -> Json:
    if "charge" in params:
        return engine.find("charge", params["charge"], param="charge")
    if "payment_intent" in params:
        intent = engine.find("payment_intent", params["payment_intent"], param="payment_intent")
        charge = engine.store.get(intent["latest_charge"] or "", "charge")
        if charge is None or not charge["captured"] or not charge["paid"]:
            raise invalid(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        return charge
    raise invalid("One of the following params should be provided for this request: payment_intent or charge.")


def _destination(charge: Json) -> Json:
    if charge["payment_method_details"]["type"] != "card":
        return {"type": charge["payment_method_details"]["type"]}
    return {
        "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
        "type": "card",
    }


ROUTES = [
    Route("POST", "/v1/refunds", create, "RefundCreateParams"),
    Route("GET", "/v1/refunds", listing, "RefundListParams"),
    Route("GET", "/v1/refunds/{id}", retrieve, "RefundRetrieveParams"),
    Route("POST", "/v1/refunds/{id}", update, "RefundUpdateParams"),
]

"""
Refunds, whole and partial. A refund changes no subscription.

Two test cards refund later, or take it back: https://docs.stripe.com/testing#refunds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator import agenda
from stripe_emulator.cards import CARDS, RefundEnd
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources.metadata import merged
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

ANSWER_AFTER = 5 * DAY


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
    if charge["disputed"] and _is_lost_or_open(engine, charge):
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    amount = params.get("amount", left)
    if amount < 1:
        raise invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
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
    end = _end_of(engine, charge)
    if end is not None:
        refund["_answer_at"] = refund["created"] + ANSWER_AFTER
        refund["_fails"] = end == "fails_later"
    if end == "succeeds_later":
        refund.update(status="pending", pending_reason="processing")
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
    previous = {name: before.get(name) for name in {**before, **refund["metadata"]}}
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


def _end_of(engine: Engine, charge: Json) -> RefundEnd | None:
    method = engine.store.get(charge["payment_method"], "payment_method")
    return CARDS[method["_number"]].refund if method is not None and method["type"] == "card" else None


def _is_lost_or_open(engine: Engine, charge: Json) -> bool:
    return any(
        dispute["charge"] == charge["id"] and not dispute["is_charge_refundable"] and dispute["status"] != "won"
        for dispute in engine.store.scan("dispute")
    )


def _next_due(engine: Engine, refund: Json) -> int | None:
    return refund.get("_answer_at")


def _answer(engine: Engine, refund: Json) -> None:
    """The bank has dealt with a refund: it arrived, or comes back to the account."""
    previous: Json = {"status": refund["status"]}
    refund["_answer_at"] = None
    if not refund["_fails"]:
        previous["pending_reason"] = refund.pop("pending_reason")
        refund["status"] = "succeeded"
    else:
        refund.update(status="failed", failure_reason="unknown")
        charge = engine.find("charge", refund["charge"])
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
    for type in ("refund.updated", "charge.refund.updated"):
        engine.emit(type, refund, previous)
    if refund["_fails"]:
        engine.emit("refund.failed", refund)


agenda.register("refund", next_due=_next_due, when_due=_answer)


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

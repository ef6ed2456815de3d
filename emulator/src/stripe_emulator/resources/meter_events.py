"""
Meter events: what was used, reported once and by whom it was used; and taking one back.

At Stripe much of what can be wrong with one is found out later and told by thin events; here it is refused at once.
See https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from stripe_emulator.billing.usage import EVENT
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import renders
from stripe_emulator.resources.meters import find_by_event
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

BACK, AHEAD = 35 * DAY, 300
"""How old an event may be, and how far in the future, in seconds."""
UNIQUE_FOR = DAY


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Report usage. An identifier is taken once in a day."""
    name, payload = params["event_name"], params["payload"]
    meter = find_by_event(engine, name)
    if meter is None:
        raise invalid(f"No active meter found for event name {name}.", param="event_name")
    customer = engine.store.get(_needed(payload, meter["customer_mapping"]["event_payload_key"]), "customer")
    if customer is None or customer.get("_deleted"):
        raise invalid("No such customer in the payload.", param="payload", code="resource_missing")
    now = engine.now(customer["test_clock"])
    timestamp = params.get("timestamp", now)
    if timestamp < now - BACK:
        raise invalid("The timestamp must be within the past 35 days.", param="timestamp")
    if timestamp > now + AHEAD:
        raise invalid("The timestamp must not be more than 5 minutes in the future.", param="timestamp")
    identifier = params.get("identifier") or new_id("mev")
    if _reported(engine, meter, identifier, now) is not None:
        raise invalid(f"An event already exists with identifier {identifier}.", param="identifier")
    return engine.store.add(
        {
            "id": new_id(EVENT),
            "object": EVENT,
            "created": now,
            "event_name": name,
            "identifier": identifier,
            "livemode": False,
            "payload": payload,
            "timestamp": timestamp,
            "_meter": meter["id"],
            "_customer": customer["id"],
            "_value": _value(meter, payload),
            "_canceled": False,
        }
    )


def adjust(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Cancel an event of the last day."""
    params.ignore("type")
    name, identifier = params["event_name"], params.at("cancel").get("identifier")
    meter = find_by_event(engine, name)
    event = None
    if meter is not None and identifier is not None:
        event = _reported(engine, meter, identifier, None)
    if event is None or event["_canceled"]:
        raise invalid(f"No event to cancel with identifier {identifier}.", param="cancel[identifier]")
    customer = engine.find("customer", event["_customer"])
    if event["created"] <= engine.now(customer["test_clock"]) - UNIQUE_FOR:
        raise invalid("An event can be canceled within 24 hours of being received.", param="cancel[identifier]")
    event["_canceled"] = True
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": name,
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }


@renders(EVENT)
def show_event(engine: Engine, event: Json) -> Json:
    """As Stripe does: without an id."""
    names = ("created", "event_name", "identifier", "livemode", "payload", "timestamp")
    return {"object": "billing.meter_event", **{name: event[name] for name in names}}


def _reported(engine: Engine, meter: Json, identifier: str, now: int | None) -> Json | None:
    for event in engine.store.scan(EVENT):
        if event["_meter"] == meter["id"] and event["identifier"] == identifier:
            recent = now is None or event["created"] > now - UNIQUE_FOR
            return engine.store.get(event["id"], EVENT) if recent else None
    return None


def _value(meter: Json, payload: Json) -> str:
    if meter["default_aggregation"]["formula"] == "count":
        return "1"
    key = meter["value_settings"]["event_payload_key"]
    text = _needed(payload, key)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise _wrong(f"The value of {key} in the payload must be a number.")
    return str(value)


def _needed(payload: Json, key: str) -> str:
    if key not in payload:
        raise _wrong(f"The payload must have the key {key}.")
    return str(payload[key])


def _wrong(message: str) -> ApiError:
    return invalid(message, param="payload")


ROUTES = [
    Route("POST", "/v1/billing/meter_events", create, "billing.MeterEventCreateParams"),
    Route(
        "POST",
        "/v1/billing/meter_event_adjustments",
        adjust,
        "billing.MeterEventAdjustmentCreateParams",
        shown=True,
    ),
]

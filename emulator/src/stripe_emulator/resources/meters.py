"""Meters: made, renamed, switched off and on; and what they have counted."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from stripe_emulator.billing.usage import METER, aggregate, events_of
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import customers
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

HOUR = 3600
_WINDOWS = {"hour": HOUR, "day": DAY}


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A meter; events by its name are its own, of which there is one active meter at most."""
    name = params["event_name"]
    _check_free(engine, name)
    mapping = params.at("customer_mapping")
    mapping.ignore("type")
    now = engine.now()
    meter = engine.store.add(
        {
            **nulls(METER),
            "id": new_id("mtr"),
            "object": METER,
            "created": now,
            "customer_mapping": {
                "event_payload_key": mapping.get("event_payload_key", "stripe_customer_id"),
                "type": "by_id",
            },
            "default_aggregation": {"formula": params.at("default_aggregation")["formula"]},
            "display_name": params["display_name"],
            "event_name": name,
            "event_time_window": params.get("event_time_window"),
            "livemode": False,
            "status": "active",
            "status_transitions": {"deactivated_at": None},
            "updated": now,
            "value_settings": {"event_payload_key": params.at("value_settings").get("event_payload_key", "value")},
        }
    )
    engine.emit("billing.meter.created", meter)
    return meter


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One meter."""
    return engine.find(METER, ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its name for people."""
    meter = engine.find(METER, ids[0])
    with engine.changing(meter, "billing.meter.updated"):
        if "display_name" in params:
            meter.update(display_name=params["display_name"], updated=engine.now())
    return meter


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Meters by status."""
    status = params.get("status")
    return [meter for meter in engine.store.scan(METER) if status in (None, meter["status"])]


def deactivate(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Count no more; no new subscription takes a price of it."""
    meter = engine.find(METER, ids[0])
    if meter["status"] == "inactive":
        raise invalid("This meter is already inactive.")
    now = engine.now()
    meter.update(status="inactive", updated=now, status_transitions={"deactivated_at": now})
    engine.emit("billing.meter.deactivated", meter)
    return meter


def reactivate(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Count again."""
    meter = engine.find(METER, ids[0])
    if meter["status"] == "active":
        raise invalid("This meter is already active.")
    _check_free(engine, meter["event_name"])
    meter.update(status="active", updated=engine.now(), status_transitions={"deactivated_at": None})
    engine.emit("billing.meter.reactivated", meter)
    return meter


def summaries(engine: Engine, ids: list[str], params: Params) -> Reply:
    """What a customer used between two times, whole or by `value_grouping_window`; newest first."""
    meter = engine.find(METER, ids[0])
    customer = customers.existing(engine, params["customer"], param="customer")
    start, end, window = params["start_time"], params["end_time"], params.get("value_grouping_window")
    step = _WINDOWS.get(window or "", 60)
    for name, moment in (("start_time", start), ("end_time", end)):
        if moment % step:
            unit = window or "minute"
            raise invalid(f"{name} must be aligned with {unit} boundaries.", param=name)
    if end <= start:
        raise invalid("end_time must be after start_time.", param="end_time")
    bounds = range(start, end, step) if window else [start]
    found = [
        _summary(engine, meter, customer["id"], begin, min(end, begin + step) if window else end) for begin in bounds
    ]
    return [summary for summary in found if summary is not None][::-1]


def find_by_event(engine: Engine, name: str) -> Json | None:
    """The active meter that events of a name go to."""
    return next(
        (one for one in engine.store.scan(METER) if one["event_name"] == name and one["status"] == "active"), None
    )


def _summary(engine: Engine, meter: Json, customer: str, start: int, end: int) -> Json | None:
    events = events_of(engine, meter, customer, start, end)
    if not events:
        return None
    return {
        **nulls("billing.meter_event_summary"),
        "id": "mtrusg_" + sha256(f"{meter['id']}{customer}{start}{end}".encode()).hexdigest()[:24],
        "object": "billing.meter_event_summary",
        "aggregated_value": float(aggregate(meter, events)),
        "end_time": end,
        "livemode": False,
        "meter": meter["id"],
        "start_time": start,
    }


def _check_free(engine: Engine, name: str) -> None:
    if find_by_event(engine, name) is not None:
        raise invalid(f"An active meter with event name '{name}' already exists.", param="event_name")


ROUTES = [
    Route("POST", "/v1/billing/meters", create, "billing.MeterCreateParams"),
    Route("GET", "/v1/billing/meters", listing, "billing.MeterListParams"),
    Route("GET", "/v1/billing/meters/{id}", retrieve, "billing.MeterRetrieveParams"),
    Route("POST", "/v1/billing/meters/{id}", update, "billing.MeterUpdateParams"),
    Route("POST", "/v1/billing/meters/{id}/deactivate", deactivate, "billing.MeterDeactivateParams"),
    Route("POST", "/v1/billing/meters/{id}/reactivate", reactivate, "billing.MeterReactivateParams"),
    Route("GET", "/v1/billing/meters/{id}/event_summaries", summaries, "billing.MeterListEventSummariesParams"),
]

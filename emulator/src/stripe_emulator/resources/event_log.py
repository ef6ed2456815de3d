"""The log of events, thirty days of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

KEPT_FOR = 30 * DAY
MAX_TYPES = 20


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One event, for thirty days. See https://docs.stripe.com/api/events/retrieve"""
    event = engine.find("event", ids[0])
    if not _is_kept(engine, event):
        raise no_such("event", ids[0])
    return event


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Events by type (`invoice.*` too), types and whether every endpoint has taken them."""
    type, types = params.get("type"), params.get("types")
    if type is not None and types is not None:
        raise invalid("You may only specify one of these parameters: type, types.", param="types")
    if types is not None and len(types) > MAX_TYPES:
        raise invalid(f"You may specify at most {MAX_TYPES} types.", param="types")
    success = params.get("delivery_success")
    return [
        event
        for event in engine.store.scan("event")
        if _is_kept(engine, event)
        and (type is None or _is_of(event, type))
        and (types is None or event["type"] in types)
        and (success is None or success == (event["pending_webhooks"] == 0))
    ]


def _is_kept(engine: Engine, event: Json) -> bool:
    return bool(event["created"] > engine.now(event["_clock"]) - KEPT_FOR)


def _is_of(event: Json, type: str) -> bool:
    if type.endswith("*"):
        return bool(event["type"].startswith(type[:-1]))
    return bool(event["type"] == type)


ROUTES = [
    Route("GET", "/v1/events", listing, "EventListParams"),
    Route("GET", "/v1/events/{id}", retrieve, "EventRetrieveParams"),
]

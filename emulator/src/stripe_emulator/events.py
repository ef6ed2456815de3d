"""
Events: what happened, as a snapshot, with what it was before.

Each event is kept with the objects it tells of, in the same transaction, together with a delivery for every endpoint
that listens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stripe_emulator.clock import real_time
from stripe_emulator.delivery_rules import DELIVERY, apply_rules
from stripe_emulator.ids import new_id
from stripe_emulator.rendering import show
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import assert_shape, nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

UPCOMING = "invoice.upcoming"

_FOLLOWERS: list[tuple[str, Callable[[Engine, Json], None]]] = []


def emit(engine: Engine, type: str, value: Json, previous: Json | None = None) -> Json:
    """Record that something happened to an object, as it is now, and queue it for every endpoint that listens."""
    shown = show(engine, value)
    assert_shape(shown)
    if type == UPCOMING:
        _take_id(shown)
    request = engine.request
    event: Json = {
        **nulls("event"),
        "id": new_id("evt"),
        "object": "event",
        "api_version": engine.api_version,
        "created": engine.now(clock_of(value)),
        "data": {"object": shown} if previous is None else {"object": shown, "previous_attributes": previous},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {
            "id": request.id if request else None,
            "idempotency_key": request.idempotency_key if request else None,
        },
        "type": type,
        "_clock": clock_of(value),
    }
    assert_shape({key: inner for key, inner in event.items() if not key.startswith("_")})
    engine.store.add(event)
    for endpoint in list(engine.store.scan("webhook_endpoint")):
        if endpoint["status"] == "enabled" and listens(endpoint, type):
            event["pending_webhooks"] += 1
            queue_delivery(engine, event, endpoint)
    for prefix, work in _FOLLOWERS:
        if type.startswith(prefix):
            work(engine, value)
    return event


def _take_id(preview: Json) -> None:
    """An upcoming invoice has no id, nor have its lines one to refer to. See https://docs.stripe.com/api/events/types"""
    del preview["id"]
    preview["lines"]["url"] = f"/v1/invoices/upcoming/lines?customer={preview['customer']}"
    for line in preview["lines"]["data"]:
        line["invoice"] = None


def follow(prefix: str, work: Callable[[Engine, Json], None]) -> None:
    """Let something be done about the object of every event whose type begins with `prefix`."""
    _FOLLOWERS.append((prefix, work))


def queue_delivery(engine: Engine, event: Json, endpoint: Json) -> Json:
    """Owe an endpoint an event, as the rules for deliveries have it."""
    delivery = engine.store.add(
        {
            "id": new_id(DELIVERY),
            "object": DELIVERY,
            "event": event["id"],
            "endpoint": endpoint["id"],
            "type": event["type"],
            "status": "pending",
            "due": real_time(),
            "created": real_time(),
            "queued": time.time_ns(),
            "attempts": [],
            "script": [],
            "hold": None,
        }
    )
    apply_rules(engine, delivery)
    return delivery


def listens(endpoint: Json, type: str) -> bool:
    """Does an endpoint want this type?"""
    return "*" in endpoint["enabled_events"] or type in endpoint["enabled_events"]


def clock_of(value: Json) -> str | None:
    """The test clock an object lives on, or None for the global one."""
    clock = value.get("id") if value["object"] == "test_helpers.test_clock" else value.get("test_clock")
    return clock or value.get("_clock") or None


@contextmanager
def changing(engine: Engine, value: Json, type: str | None) -> Iterator[Json]:
    """
    Change an object in the block; if anything that shows has changed, `type` is emitted with what it was before.

    Inside a block that will emit the same type for the object, nothing is emitted: one change, one event.
    """
    key = (value["id"], type)
    if key in engine.being_changed:
        yield value
        return
    before = show(engine, value)
    engine.being_changed.add(key)
    try:
        yield value
    finally:
        engine.being_changed.discard(key)
    previous = difference(before, show(engine, value))
    if previous and type is not None:
        emit(engine, type, value, previous)


@contextmanager
def unannounced(engine: Engine, value: Json, type: str) -> Iterator[Json]:
    """Change an object in the block without an event of that type: it has not been told of yet."""
    key = (value["id"], type)
    engine.being_changed.add(key)
    try:
        yield value
    finally:
        engine.being_changed.discard(key)


def difference(before: Json, after: Json) -> Json:
    """
    The previous values of what changed, as in `previous_attributes`.

    Maps are compared key by key, arrays as a whole; a key that is new was null.
    """
    changed: dict[str, Any] = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and old.get("id") == new.get("id"):
            changed[key] = old if new.get("object") == "list" else difference(old, new)
        else:
            changed[key] = old
    return {key: changed[key] for key in [*after, *before] if key in changed}

"""What there is: any object by id, every event."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator.control.answers import engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.rendering import show
from stripe_emulator.state import Json


async def read_object(request: Request, sent: Sent) -> Json:
    """Any object by id, as the API shows it."""
    engine = engine_of(request)
    found = engine.store.get(request.path_params["id"])
    if found is None or found["object"].startswith("_"):
        raise invalid(f"There is no object {request.path_params['id']}.", status=404)
    return show(engine, found)


async def list_events(request: Request, sent: Sent) -> list[Json]:
    """Every event so far, oldest first; `type` for one type."""
    engine = engine_of(request)
    wanted = sent.text("type")
    found = [show(engine, event) for event in engine.store.scan("event") if wanted in (None, event["type"])]
    return found[::-1]


ROUTES = [
    route("GET", "objects/{id}", read_object),
    route("GET", "events", list_events),
]

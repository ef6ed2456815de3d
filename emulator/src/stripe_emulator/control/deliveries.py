"""Deliveries: their log, how they are disturbed, sending one again."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator import faults
from stripe_emulator.control.answers import deliverer_of, engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.events import DELIVERY
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json

MODES: dict[str, faults.DeliveryMode] = {
    "pause": "paused",
    "resume": "normal",
    "normal": "normal",
    "duplicate": "duplicate",
    "shuffle": "shuffle",
    "drop": "drop",
}


async def list_deliveries(request: Request, sent: Sent) -> list[Json]:
    """The delivery log, newest first; `status` for one status."""
    wanted = sent.text("status")
    return [one for one in engine_of(request).store.scan(DELIVERY) if wanted in (None, one["status"])]


async def set_mode(request: Request, sent: Sent) -> Json:
    """`pause`, `resume`, `duplicate`, `shuffle` or `drop`."""
    engine = engine_of(request)
    mode = MODES.get(request.path_params["mode"])
    if mode is None:
        raise invalid(f"A mode is one of {', '.join(MODES)}.", status=404)
    sent.refuse_unread()
    with engine.transaction():
        faults.set_delivery_mode(engine, mode)
    deliverer_of(request).kick()
    return {"delivery": mode}


async def resend(request: Request, sent: Sent) -> Json:
    """Send one delivery again."""
    id = request.path_params["id"]
    if not deliverer_of(request).resend(id):
        raise invalid(f"There is no such delivery: {id}", status=404)
    return {"resent": id}


async def attempt(request: Request, sent: Sent) -> Json:
    """Try one delivery at once, even while deliveries are paused; the answer is how it went."""
    id = request.path_params["id"]
    made = await deliverer_of(request).attempt(id)
    if made is None:
        raise invalid(f"There is no such delivery, or its endpoint is gone: {id}", status=404)
    return made


ROUTES = [
    route("GET", "deliveries", list_deliveries),
    route("POST", "deliveries/{mode}", set_mode),
    route("POST", "deliveries/{id}/resend", resend),
    route("POST", "deliveries/{id}/attempt", attempt),
]

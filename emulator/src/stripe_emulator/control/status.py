"""Is it up, is it done, and back to nothing."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator.control.answers import deliverer_of, engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.state import Json


async def health(request: Request, sent: Sent) -> Json:
    """It is up; and every object it failed to shape, of which there should be none."""
    engine = engine_of(request)
    return {"status": "ok", "api_version": engine.api_version, "shape_failures": engine.shape_failures}


async def settled(request: Request, sent: Sent) -> Json:
    """Are deliveries done? `owed` counts those still to be made, `settled` says each has been tried."""
    deliverer = deliverer_of(request)
    advancing = any(one["status"] == "advancing" for one in engine_of(request).store.scan("test_helpers.test_clock"))
    return {"settled": deliverer.is_settled() and not advancing, "owed": len(deliverer.owed())}


async def reset(request: Request, sent: Sent) -> Json:
    """Forget everything, webhook endpoints too; snapshots stay."""
    sent.refuse_unread()
    engine_of(request).reset()
    return {"reset": True}


ROUTES = [
    route("GET", "health", health),
    route("GET", "settled", settled),
    route("POST", "reset", reset),
]

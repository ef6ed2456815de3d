"""Faults: calls that will fail and charges that will be declined, rate limits."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stripe_emulator import faults
from stripe_emulator.cards import DECLINE_CODES
from stripe_emulator.control import faults as control
from stripe_emulator.control.answers import engine_of
from stripe_emulator.control.sent import Sent
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json
from stripe_emulator.workbench.page import action, page

READY = {
    "The next call fails": {"path": "/v1/*", "status": 500},
    "The next call is one too many": {"path": "/v1/*", "status": 429},
    "The next answer takes five seconds": {"path": "/v1/*", "slow": 5},
    "The next answer is lost, its work done": {"path": "/v1/*", "status": 500, "after_work": "on", "method": "POST"},
    "The next call hangs for ten seconds": {"path": "/v1/*", "timeout": 10},
}
RATES = {"off": "no limits", "sandbox": "as a sandbox has them", "live": "as live mode has them"}


async def show(request: Request) -> Response:
    """What is to come, switches for the usual ones, and a form for all others."""
    engine = engine_of(request)
    return page(
        request,
        "faults.html",
        faults=list(engine.store.scan(faults.FAULT)),
        declines=await control.list_faults(request, Sent({})),
        ready=READY,
        codes=sorted(DECLINE_CODES),
        limits=(await control.read_limits(request, Sent({})))["limits"],
        rates=RATES,
    )


async def remove(request: Request, sent: Sent) -> Json:
    """Take one back."""
    engine, id = engine_of(request), request.path_params["id"]
    with engine.transaction():
        if engine.store.get(id, faults.FAULT) is None:
            raise invalid("That fault has happened, or was taken back before.", status=404)
        engine.store.remove(id)
    return {}


ROUTES = [
    Route("/workbench/faults", show, methods=["GET"]),
    action("faults/add", control.add_fault, done="It will happen to {path}."),
    action("faults/decline", control.decline_next, done="The next charge will be declined."),
    action("rate-limits", control.limit_rates, done="The rate limits were changed."),
    action("faults/clear", control.clear_faults, done="No more faults."),
    action("faults/{id}/delete", remove, done="Taken back."),
]

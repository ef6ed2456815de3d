"""Webhooks: endpoints, how deliveries are disturbed, their log with every attempt, and sending one again."""

from __future__ import annotations

from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stripe_emulator import faults
from stripe_emulator.control import deliveries
from stripe_emulator.control.answers import engine_of
from stripe_emulator.delivery_rules import DELIVERY
from stripe_emulator.workbench.page import action, page

A_PAGE = 100
STATUSES = ("pending", "delivered", "failed", "dropped")
MODES = {
    "normal": ("normal", "as usual"),
    "pause": ("paused", "hold everything back"),
    "duplicate": ("duplicate", "deliver twice"),
    "shuffle": ("shuffle", "any order"),
    "drop": ("drop", "lose everything"),
}


async def search(request: Request) -> Response:
    """Endpoints, and the newest deliveries; `status` for those of one status."""
    engine = engine_of(request)
    status = request.query_params.get("status", "")
    found = (one for one in engine.store.scan(DELIVERY) if status in ("", one["status"]))
    chosen = list(islice(found, A_PAGE + 1))
    return page(
        request,
        "webhooks.html",
        endpoints=list(engine.store.scan("webhook_endpoint")),
        modes=MODES,
        mode=faults.delivery_mode(engine),
        statuses=STATUSES,
        status=status,
        deliveries=chosen[:A_PAGE],
        more=len(chosen) > A_PAGE,
        endpoint=engine.store.peek,
    )


ROUTES = [
    Route("/workbench/webhooks", search),
    action("deliveries/mode/{mode}", deliveries.set_mode, done="Deliveries: {delivery}."),
    action("deliveries/{id}/resend", deliveries.resend, done="Sent again."),
]

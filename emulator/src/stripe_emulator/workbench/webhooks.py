"""Webhooks: endpoints, deliveries with every attempt, sending one again, and how they are disturbed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stripe_emulator import faults
from stripe_emulator.control import deliveries
from stripe_emulator.control.answers import engine_of
from stripe_emulator.control.sent import Sent
from stripe_emulator.delivery_rules import DELIVERY
from stripe_emulator.workbench.page import action, page
from stripe_emulator.workbench.paging import portion

A_PAGE = 50
STATUSES = ("pending", "delivered", "failed", "dropped")
MODES = {
    "normal": ("normal", "as usual"),
    "pause": ("paused", "hold everything back"),
    "duplicate": ("duplicate", "deliver twice"),
    "shuffle": ("shuffle", "any order"),
    "drop": ("drop", "lose everything"),
}
ACTIONS = {
    "delay": "come late",
    "reorder": "come after the next one",
    "duplicate": "come twice",
    "drop": "never come",
    "lose": "get lost, and are tried again",
    "ignore": "arrive, but count as failed",
    "sign": "are signed with a wrong secret",
}


async def search(request: Request) -> Response:
    """Endpoints, rules, and deliveries, newest first; `status` for those of one status."""
    engine = engine_of(request)
    status = request.query_params.get("status", "")
    found = (one for one in engine.store.scan(DELIVERY) if status in ("", one["status"]))
    return page(
        request,
        "webhooks.html",
        endpoints=list(engine.store.scan("webhook_endpoint")),
        modes=MODES,
        mode=faults.delivery_mode(engine),
        statuses=STATUSES,
        status=status,
        portion=portion(request, found, A_PAGE),
        rules=await deliveries.list_rules(request, Sent({})),
        actions=ACTIONS,
        endpoint=engine.store.peek,
    )


ROUTES = [
    Route("/workbench/webhooks", search),
    action("deliveries/mode/{mode}", deliveries.set_mode, done="Deliveries: {delivery}."),
    action("deliveries/rules", deliveries.add_rule, done="The rule holds for {type}."),
    action("deliveries/rules/{id}/delete", deliveries.remove_rule, done="Taken back."),
    action("deliveries/{id}/resend", deliveries.resend, done="Sent again."),
]

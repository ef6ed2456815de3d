"""The front page: how much there is of what, and what happened last."""

from __future__ import annotations

from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stripe_emulator.control.answers import engine_of
from stripe_emulator.request_log import RequestLog
from stripe_emulator.workbench.page import page

NEWEST = 8


async def show(request: Request) -> Response:
    """Counts, the newest events and requests, and what was wrong with objects, if anything was."""
    engine = engine_of(request)
    log: RequestLog = request.app.state.request_log
    return page(
        request,
        "overview.html",
        address=str(request.base_url).rstrip("/"),
        counts={kind: engine.store.count(kind) for kind in engine.store.kinds() if not kind.startswith("_")},
        events=list(islice(engine.store.scan("event"), NEWEST)),
        requests=list(islice(log, NEWEST)),
        failures=engine.shape_failures,
    )


ROUTES = [Route("/workbench", show), Route("/workbench/", show)]

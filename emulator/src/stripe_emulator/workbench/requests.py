"""The log of API requests: what was asked, and what was answered."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stripe_emulator.control.answers import engine_of
from stripe_emulator.request_log import RequestLog
from stripe_emulator.workbench.page import missing, page
from stripe_emulator.workbench.paging import portion

A_PAGE = 100


async def search(request: Request) -> Response:
    """The requests, newest first: `path`, any part of it, `method`, and `failed` for errors alone."""
    log: RequestLog = request.app.state.request_log
    path, method = request.query_params.get("path", "").strip(), request.query_params.get("method", "")
    failed = bool(request.query_params.get("failed"))
    found = (one for one in log if path in one.path and method in ("", one.method) and (one.failed or not failed))
    return page(
        request, "requests.html", path=path, method=method, failed=failed, portion=portion(request, found, A_PAGE)
    )


async def read(request: Request) -> Response:
    """One request with its parameters, its answer and the events it caused."""
    log: RequestLog = request.app.state.request_log
    id = request.path_params["id"]
    exchange = log.get(id)
    if exchange is None:
        return missing(request, id)
    events = [one for one in engine_of(request).store.scan("event") if one["request"]["id"] == id]
    return page(request, "request.html", exchange=exchange, events=events)


ROUTES = [Route("/workbench/requests", search), Route("/workbench/requests/{id}", read)]

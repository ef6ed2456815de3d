"""Events: the log, and one of them with what it changed and where it was delivered."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stripe_emulator.control.answers import engine_of
from stripe_emulator.delivery_rules import DELIVERY
from stripe_emulator.rendering import show
from stripe_emulator.request_log import RequestLog
from stripe_emulator.state import Json
from stripe_emulator.workbench.page import missing, page
from stripe_emulator.workbench.paging import portion

A_PAGE = 100


async def search(request: Request) -> Response:
    """The events, newest first: `type`, a glob such as `invoice.*`, and `object`, the id of what they are about."""
    engine = engine_of(request)
    type, object_id = request.query_params.get("type", "").strip(), request.query_params.get("object", "").strip()
    found = (
        event
        for event in engine.store.scan("event")
        if (not type or fnmatchcase(event["type"], type)) and _is_about(event, object_id)
    )
    return page(request, "events.html", type=type, object=object_id, portion=portion(request, found, A_PAGE))


async def read(request: Request) -> Response:
    """One event: its payload, what changed, its deliveries, and the request behind it."""
    engine = engine_of(request)
    event = engine.store.peek(request.path_params["id"])
    if event is None or event["object"] != "event":
        return missing(request, request.path_params["id"])
    shown = show(engine, event)
    log: RequestLog = request.app.state.request_log
    cause = shown["request"]["id"]
    return page(
        request,
        "event.html",
        event=shown,
        changes=_changes(shown["data"]),
        deliveries=[one for one in engine.store.scan(DELIVERY) if one["event"] == event["id"]],
        endpoint=engine.store.peek,
        exchange=log.get(cause) if cause else None,
    )


def _is_about(event: Json, object_id: str) -> bool:
    subject = event["data"]["object"]
    return not object_id or object_id in (subject.get("id"), subject.get("customer"), subject.get("subscription"))


def _changes(data: Json) -> list[tuple[str, Any, Any]]:
    """Field by field: what it was and what it is."""
    return _differences(data.get("previous_attributes") or {}, data["object"], "")


def _differences(before: Json, after: Any, path: str) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for name, old in before.items():
        new = after.get(name) if isinstance(after, dict) else None
        if isinstance(old, dict) and isinstance(new, dict) and old and "object" not in old:
            found += _differences(old, new, f"{path}{name}.")
        else:
            found.append((f"{path}{name}", old, new))
    return found


ROUTES = [Route("/workbench/events", search), Route("/workbench/events/{id}", read)]

"""Objects: found by kind or by anything that is written in them, and one of them with what belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from stripe_emulator.control.answers import engine_of
from stripe_emulator.engine import Engine
from stripe_emulator.rendering import show
from stripe_emulator.state import Json
from stripe_emulator.workbench.page import missing, page
from stripe_emulator.workbench.paging import portion

A_PAGE = 50
RELATED = 60
EVENTS = 30


async def search(request: Request) -> Response:
    """A list, newest first: `kind`, and `q` for an id, an e-mail address or any other text inside."""
    engine = engine_of(request)
    kind, text = request.query_params.get("kind", ""), request.query_params.get("q", "").strip()
    if text and (named := engine.store.peek(text)) is not None and not named["object"].startswith("_"):
        return RedirectResponse(address_of(named), status_code=303)
    found = portion(request, _matching(engine, kind, text), A_PAGE)
    return page(
        request,
        "objects.html",
        kinds=[one for one in engine.store.kinds() if _is_public(one)],
        kind=kind,
        text=text,
        found=[show(engine, value) for value in found.items],
        portion=found,
    )


async def read(request: Request) -> Response:
    """One object, what mentions it, and its events."""
    engine = engine_of(request)
    id = request.path_params["id"]
    value = engine.store.peek(id)
    if value is None or value["object"].startswith("_"):
        return missing(request, id)
    if value["object"] == "event":
        return RedirectResponse(address_of(value), status_code=303)
    mentioning = [one for one in engine.store.mentioning(f'"{id}"') if one["id"] != id]
    related = (one for one in mentioning if _is_public(one["object"]))
    events = (one for one in mentioning if one["object"] == "event" and one["data"]["object"].get("id") == id)
    shown = show(engine, value)
    return page(
        request,
        "object.html",
        value=shown,
        related=[show(engine, one) for one in islice(related, RELATED)],
        events=list(islice(events, EVENTS)),
        hosted={name: shown[name] for name in ("url", "hosted_invoice_url", "invoice_pdf") if shown.get(name)},
    )


def address_of(value: Json) -> str:
    """Where the Workbench shows an object."""
    return f"/workbench/{'events' if value['object'] == 'event' else 'objects'}/{value['id']}"


def _matching(engine: Engine, kind: str, text: str) -> Iterator[Json]:
    found: Iterable[Json] = engine.store.mentioning(text) if text else _all(engine, kind)
    return (one for one in found if _is_public(one["object"]) and kind in ("", one["object"]))


def _all(engine: Engine, kind: str) -> Iterator[Json]:
    return engine.store.scan(kind) if kind else engine.store.mentioning("")


def _is_public(kind: str) -> bool:
    return not kind.startswith("_") and kind != "event"


ROUTES = [Route("/workbench/objects", search), Route("/workbench/objects/{id}", read)]

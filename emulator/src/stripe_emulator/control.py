"""
The control API under /_emulator: time, faults, deliveries, reset. It has no key; the emulator listens on loopback only.

Requests are forms or JSON. `return_to`, a loopback URL, makes the answer a redirect, once deliveries have settled.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stripe_emulator import faults
from stripe_emulator.clock import real_time
from stripe_emulator.delivery import Deliverer
from stripe_emulator.engine import Engine
from stripe_emulator.events import DELIVERY
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.rendering import public, show
from stripe_emulator.resources import portal_configurations, webhook_endpoints
from stripe_emulator.settings import DAY
from stripe_emulator.skipping import seconds_to

SETTLE_SECONDS = 5.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MODES = {
    "pause": "paused",
    "resume": "normal",
    "normal": "normal",
    "duplicate": "duplicate",
    "shuffle": "shuffle",
    "drop": "drop",
}


def control_routes() -> list[Route]:
    """Every route of the control API."""
    return [
        Route("/_emulator/health", health),
        Route("/_emulator/clock", clock),
        Route("/_emulator/clock/advance", advance, methods=["POST"]),
        Route("/_emulator/faults", list_faults, methods=["GET"]),
        Route("/_emulator/faults", add_fault, methods=["POST"]),
        Route("/_emulator/faults", clear_faults, methods=["DELETE"]),
        Route("/_emulator/faults/decline-next", decline_next, methods=["POST"]),
        Route("/_emulator/endpoints", add_endpoint, methods=["POST"]),
        Route("/_emulator/portal/default", save_portal_default, methods=["POST"]),
        Route("/_emulator/objects/{id}", read_object),
        Route("/_emulator/events", list_events),
        Route("/_emulator/deliveries", list_deliveries),
        Route("/_emulator/deliveries/{mode}", set_mode, methods=["POST"]),
        Route("/_emulator/deliveries/{id}/resend", resend, methods=["POST"]),
        Route("/_emulator/deliveries/{id}/attempt", attempt, methods=["POST"]),
        Route("/_emulator/settled", settled),
        Route("/_emulator/reset", reset, methods=["POST"]),
    ]


async def health(request: Request) -> Response:
    """It is up; and every object it failed to shape, of which there should be none."""
    engine = _engine(request)
    return JSONResponse({"status": "ok", "api_version": engine.api_version, "shape_failures": engine.shape_failures})


async def clock(request: Request) -> Response:
    """The global clock."""
    return JSONResponse(_clock(_engine(request)))


async def advance(request: Request) -> Response:
    """Put the global clock forward by `days`, by `seconds`, or `to` a time or the next renewal, retry or trial end."""
    engine = _engine(request)
    sent = await _sent(request)
    try:
        engine.advance(_seconds(engine, sent))
    except ApiError as error:
        return JSONResponse(error.envelope(""), status_code=error.status)
    return await _answer(request, sent, _clock(engine))


async def list_faults(request: Request) -> Response:
    """Faults still to come."""
    engine = _engine(request)
    found = [public({"_": 0, **fault}) for fault in engine.store.scan(faults.FAULT)]
    knobs = engine.store.get("_knobs") or {"declines": 0, "delivery": "normal"}
    return JSONResponse({"faults": found, "declines": knobs["declines"], "delivery": knobs["delivery"]})


async def add_fault(request: Request) -> Response:
    """Let calls fail: `path` (a glob), `method`, `nth`, `times`, `status` or `timeout`, `after_work`."""
    engine = _engine(request)
    sent = await _sent(request)
    if not sent.get("path"):
        return JSONResponse({"error": "path is missing"}, status_code=400)
    timeout = sent.get("timeout")
    with engine.transaction():
        fault = faults.add_fault(
            engine,
            str(sent["path"]),
            method=sent.get("method"),
            status=int(sent.get("status", 500)),
            nth=int(sent.get("nth", 1)),
            times=int(sent.get("times", 1)),
            after_work=str(sent.get("after_work", "false")).lower() in ("1", "true", "on"),
            timeout=None if timeout in (None, "") else float(str(timeout)),
        )
    return JSONResponse(fault)


async def clear_faults(request: Request) -> Response:
    """No more faults; `deliveries=keep` leaves how deliveries are made as it is."""
    engine = _engine(request)
    with engine.transaction():
        faults.clear_faults(engine, deliveries=request.query_params.get("deliveries") != "keep")
    return JSONResponse({"cleared": True})


async def decline_next(request: Request) -> Response:
    """The next charge of a saved card is declined; `times` for more of them."""
    engine = _engine(request)
    sent = await _sent(request)
    with engine.transaction():
        faults.decline_next(engine, int(sent.get("times", 1)))
    return await _answer(request, sent, {"declines": faults.knobs(engine)["declines"]})


async def add_endpoint(request: Request) -> Response:
    """A webhook endpoint with a secret of one's choice; one at the same `url` is replaced."""
    engine = _engine(request)
    sent = await _sent(request)
    enabled = sent.get("enabled_events") or ["*"]
    if isinstance(enabled, str):
        enabled = enabled.split(",")
    secret = sent.get("secret") or None
    try:
        with engine.transaction():
            endpoint = next((one for one in engine.store.scan("webhook_endpoint") if one["url"] == sent["url"]), None)
            if endpoint is None:
                endpoint = webhook_endpoints.make(engine, str(sent["url"]), secret=secret, enabled_events=enabled)
            else:
                endpoint = engine.find("webhook_endpoint", endpoint["id"])
                endpoint["enabled_events"] = enabled
                endpoint["_secrets"] = [secret] if secret else endpoint["_secrets"]
    except ApiError as error:
        return JSONResponse(error.envelope(""), status_code=error.status)
    return JSONResponse({"id": endpoint["id"], "url": endpoint["url"], "secret": endpoint["_secrets"][0]})


async def save_portal_default(request: Request) -> Response:
    """Save the portal's settings, as in the Dashboard; from then on sessions need no configuration."""
    engine = _engine(request)
    with engine.transaction():
        configuration = portal_configurations.save_default(engine)
    return JSONResponse(show(engine, configuration))


async def read_object(request: Request) -> Response:
    """Any object by id, as the API shows it."""
    engine = _engine(request)
    found = engine.store.get(request.path_params["id"])
    if found is None or found["object"].startswith("_"):
        return JSONResponse({"error": f"no object {request.path_params['id']}"}, status_code=404)
    return JSONResponse(show(engine, found))


async def list_events(request: Request) -> Response:
    """Every event so far, oldest first; `type` for one type."""
    engine = _engine(request)
    wanted = request.query_params.get("type")
    found = [show(engine, event) for event in engine.store.scan("event") if wanted in (None, event["type"])]
    return JSONResponse(found[::-1])


async def list_deliveries(request: Request) -> Response:
    """The delivery log, newest first; `status` for one status."""
    wanted = request.query_params.get("status")
    engine = _engine(request)
    return JSONResponse([delivery for delivery in engine.store.scan(DELIVERY) if wanted in (None, delivery["status"])])


async def set_mode(request: Request) -> Response:
    """`pause`, `resume`, `duplicate`, `shuffle` or `drop`."""
    engine = _engine(request)
    mode = MODES.get(request.path_params["mode"])
    if mode is None:
        return JSONResponse({"error": f"a mode is one of {', '.join(MODES)}"}, status_code=404)
    with engine.transaction():
        faults.set_delivery_mode(engine, mode)  # type: ignore[arg-type]  # checked against MODES
    _deliverer(request).kick()
    return JSONResponse({"delivery": mode})


async def resend(request: Request) -> Response:
    """Send one delivery again."""
    if not _deliverer(request).resend(request.path_params["id"]):
        return JSONResponse({"error": "no such delivery"}, status_code=404)
    return JSONResponse({"resent": request.path_params["id"]})


async def attempt(request: Request) -> Response:
    """Try one delivery at once, even while deliveries are paused; the answer is how it went."""
    made = await _deliverer(request).attempt(request.path_params["id"])
    if made is None:
        return JSONResponse({"error": "no such delivery, or its endpoint is gone"}, status_code=404)
    return JSONResponse(made)


async def settled(request: Request) -> Response:
    """Are deliveries done? `owed` counts those still to be made, `settled` says each has been tried."""
    deliverer = _deliverer(request)
    engine = _engine(request)
    advancing = any(one["status"] == "advancing" for one in engine.store.scan("test_helpers.test_clock"))
    return JSONResponse({"settled": deliverer.is_settled() and not advancing, "owed": len(deliverer.owed())})


async def reset(request: Request) -> Response:
    """Forget everything; webhook endpoints too."""
    _engine(request).reset()
    _deliverer(request).forget()
    return JSONResponse({"reset": True})


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _deliverer(request: Request) -> Deliverer:
    deliverer: Deliverer = request.app.state.deliverer
    return deliverer


def _clock(engine: Engine) -> dict[str, int]:
    return {"now": engine.now(), "offset": engine.clocks.offset, "real": real_time()}


async def _sent(request: Request) -> dict[str, Any]:
    body = (await request.body()).decode()
    sent: Any = json.loads(body) if body.lstrip().startswith("{") else dict(parse_qsl(body))
    return {**dict(request.query_params), **sent}


def _seconds(engine: Engine, sent: dict[str, Any]) -> int:
    if sent.get("days"):
        seconds = round(float(str(sent["days"])) * DAY)
    elif sent.get("seconds"):
        seconds = int(str(sent["seconds"]))
    elif sent.get("to"):
        seconds = seconds_to(engine, str(sent["to"]), customer=sent.get("customer") or None)
    else:
        raise invalid("Say how far: days, seconds or to.")
    if seconds < 0:
        raise invalid("Time goes forward only.")
    return seconds


async def _answer(request: Request, sent: dict[str, Any], otherwise: dict[str, Any]) -> Response:
    target = sent.get("return_to")
    if not target:
        return JSONResponse(otherwise)
    parts = urlsplit(str(target))
    if parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK:
        return JSONResponse({"error": "return_to must be a loopback URL"}, status_code=400)
    await _deliverer(request).settle(SETTLE_SECONDS)
    return RedirectResponse(str(target), status_code=303)

"""Faults: calls that fail, charges that are declined."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator import faults
from stripe_emulator.cards import DECLINE_CODES
from stripe_emulator.control.answers import engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.rendering import public
from stripe_emulator.state import Json


async def list_faults(request: Request, sent: Sent) -> Json:
    """Faults still to come."""
    engine = engine_of(request)
    found = [public({"_": 0, **fault}) for fault in engine.store.scan(faults.FAULT)]
    knobs = engine.store.get("_knobs") or {"delivery": "normal"}
    return {"faults": found, "declines": knobs.get("declining", []), "delivery": knobs["delivery"]}


async def add_fault(request: Request, sent: Sent) -> Json:
    """Let calls fail: `path` (a glob), `method`, `nth`, `times`, `status` or `timeout`, `after_work`."""
    engine = engine_of(request)
    path, method = sent.needed("path"), sent.text("method")
    status = sent.whole("status", 500, least=400, most=599)
    nth, times = sent.whole("nth", 1), sent.whole("times", 1)
    after_work, timeout = sent.flag("after_work") or False, sent.number("timeout", most=3600)
    sent.refuse_unread()
    with engine.transaction():
        return faults.add_fault(
            engine, path, method=method, status=status, nth=nth, times=times, after_work=after_work, timeout=timeout
        )


async def clear_faults(request: Request, sent: Sent) -> Json:
    """No more faults; `deliveries=keep` leaves how deliveries are made as it is."""
    engine = engine_of(request)
    kept = sent.choice("deliveries", ["keep"])
    sent.refuse_unread()
    with engine.transaction():
        faults.clear_faults(engine, deliveries=kept is None)
    return {"cleared": True}


async def decline_next(request: Request, sent: Sent) -> Json:
    """
    The next charge of a saved card is declined, or the `nth`; `times` for more of them, `code` says why.

    `on_session`: one whose payer is there, too.
    """
    engine = engine_of(request)
    times = sent.whole("times", 1, most=1000)
    nth = sent.whole("nth", 1)
    code = sent.choice("code", sorted(DECLINE_CODES)) or "generic_decline"
    on_session = sent.flag("on_session") or False
    sent.refuse_unread()
    with engine.transaction():
        return {"declines": faults.decline_next(engine, times, nth=nth, code=code, on_session=on_session)}


ROUTES = [
    route("GET", "faults", list_faults),
    route("POST", "faults", add_fault),
    route("DELETE", "faults", clear_faults),
    route("POST", "faults/decline-next", decline_next),
]

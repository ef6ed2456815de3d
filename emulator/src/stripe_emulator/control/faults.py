"""Faults: calls that fail, charges that are declined."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator import failing, faults
from stripe_emulator.cards import DECLINE_CODES
from stripe_emulator.control.answers import engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.rate_limits import MODES, described, limits_of, set_limits
from stripe_emulator.rendering import public
from stripe_emulator.settings import RateLimits
from stripe_emulator.state import Json

METHODS = ("GET", "POST", "DELETE")


async def list_faults(request: Request, sent: Sent) -> Json:
    """Faults still to come."""
    engine = engine_of(request)
    found = [public({"_": 0, **fault}) for fault in engine.store.scan(faults.FAULT)]
    knobs = engine.store.get("_knobs") or {"delivery": "normal"}
    return {"faults": found, "declines": knobs.get("declining", []), "delivery": knobs["delivery"]}


async def add_fault(request: Request, sent: Sent) -> Json:
    """
    Let calls fail: `path` (a glob), `method`, `nth`, `times`; with `status`, `timeout` or `slow`; `after_work`.

    `kept`: the answer is kept under the call's idempotency key. A 429 has a `code` and a `reason`; `should_retry` is
    what `Stripe-Should-Retry` says.
    """
    engine = engine_of(request)
    path, method = sent.needed("path"), sent.choice("method", METHODS)
    nth, times = sent.whole("nth", 1), sent.whole("times", 1)
    slow, timeout = sent.number("slow", most=3600), sent.number("timeout", most=3600)
    status = None if "status" not in sent and slow is not None else sent.whole("status", 500, least=400, most=599)
    code, reason = sent.choice("code", failing.LIMIT_CODES), sent.choice("reason", failing.REASONS)
    after_work, should_retry = sent.flag("after_work") or False, sent.flag("should_retry")
    kept = sent.flag("kept") or False
    sent.refuse_unread()
    if slow is not None and timeout is not None:
        raise invalid("A call is slow or times out, not both.", param="timeout")
    if kept and (after_work or timeout is not None or status in (None, 409, 429)):
        raise invalid("Only the answer of work that had begun and failed is kept: no 409 or 429.", param="kept")
    if status != 429 and (code or reason):
        raise invalid("code and reason are those of a 429.", param="code" if code else "reason")
    if code == "lock_timeout" and reason:
        raise invalid("A lock_timeout has no reason.", param="reason")
    with engine.transaction():
        return dict(
            faults.add_fault(
                engine,
                path,
                method=method,
                status=status,
                nth=nth,
                times=times,
                after_work=after_work,
                kept=kept,
                timeout=timeout,
                slow=slow,
                code=code,
                reason=reason,
                should_retry=should_retry,
            )
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


async def read_limits(request: Request, sent: Sent) -> Json:
    """The rate limits there are, in requests a second."""
    limits = limits_of(engine_of(request))
    return {"limits": None if limits is None else described(limits)}


async def limit_rates(request: Request, sent: Sent) -> Json:
    """Have rate limits: `mode` (`live`, `sandbox` or `off`), or `total`, `per_endpoint` and `search` of one's own."""
    engine = engine_of(request)
    mode = sent.choice("mode", [*MODES, "off"])
    own = [sent.number(name) for name in ("total", "per_endpoint", "search")]
    sent.refuse_unread()
    if (mode is None) == (own[0] is None) or (mode is not None and any(own)):
        raise invalid("Say a mode, or a total and how many for each endpoint.", param="mode")
    if any(one is not None and one < 1 for one in own):
        raise invalid("A limit is at least one request a second.", param="total")
    limits = MODES.get(mode or "")
    if own[0] is not None:
        limits = RateLimits(own[0], own[1] or own[0], own[2] or own[1] or own[0])
    with engine.transaction():
        set_limits(engine, limits)
    return {"limits": None if limits is None else described(limits)}


ROUTES = [
    route("GET", "faults", list_faults),
    route("POST", "faults", add_fault),
    route("DELETE", "faults", clear_faults),
    route("POST", "faults/decline-next", decline_next),
    route("GET", "rate-limits", read_limits),
    route("POST", "rate-limits", limit_rates),
]

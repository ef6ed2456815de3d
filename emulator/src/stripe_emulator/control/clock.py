"""The global clock: what it says, and putting it forward."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator.clock import real_time
from stripe_emulator.control.answers import engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.engine import Engine
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.settings import DAY
from stripe_emulator.skipping import seconds_to
from stripe_emulator.state import Json

MOST = 100 * 366 * DAY
"""Seconds at a time."""


async def clock(request: Request, sent: Sent) -> Json:
    """What time it is."""
    return _clock(engine_of(request))


async def advance(request: Request, sent: Sent) -> Json:
    """Put the global clock forward by `days`, by `seconds`, or `to` a time or the next renewal, retry or trial end."""
    engine = engine_of(request)
    seconds = _seconds(engine, sent)
    sent.refuse_unread()
    engine.advance(seconds)
    return _clock(engine)


def _clock(engine: Engine) -> Json:
    clocks = engine.clocks
    return {"now": clocks.now(), "offset": clocks.offset, "real": real_time(), "stands_still": clocks.stands_still}


def _seconds(engine: Engine, sent: Sent) -> int:
    days = sent.number("days", least=-MOST // DAY, most=MOST // DAY)
    seconds = sent.whole("seconds", 0, least=-MOST, most=MOST)
    to, customer = sent.text("to"), sent.text("customer")
    if days:
        found = round(days * DAY)
    elif seconds:
        found = seconds
    elif to is not None:
        found = seconds_to(engine, to, customer=customer)
    else:
        raise invalid("Say how far: days, seconds or to.")
    if not 0 <= found <= MOST:
        raise invalid("Time goes forward only, at most a hundred years at a time.")
    return found


ROUTES = [
    route("GET", "clock", clock),
    route("POST", "clock/advance", advance),
]

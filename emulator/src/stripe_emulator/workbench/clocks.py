"""Clocks: what time it is, what is due next, putting them forward, and snapshots to go back to."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stripe_emulator.clock import GLOBAL
from stripe_emulator.control import clock, snapshots
from stripe_emulator.control.answers import engine_of
from stripe_emulator.control.sent import Sent
from stripe_emulator.engine import Engine
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.resources import test_clocks
from stripe_emulator.settings import DAY
from stripe_emulator.skipping import seconds_to
from stripe_emulator.snapshots import Snapshots
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.workbench.page import action, page

DUE = 15
STEPS = {"1 hour": 3600, "1 day": DAY, "1 week": 7 * DAY, "1 month": 31 * DAY}
MOMENTS = {"renewal": "the next renewal", "retry": "the next retry", "trial_end": "the end of a trial"}


async def show(request: Request) -> Response:
    """Every clock with what is due on it."""
    engine = engine_of(request)
    found: Snapshots = request.app.state.snapshots
    due = {name: engine.agenda.upcoming(name, DUE) for name in [GLOBAL, *_test_clocks(request)]}
    return page(
        request,
        "clocks.html",
        offset=engine.clocks.offset,
        stands_still=engine.clocks.stands_still,
        steps=STEPS,
        moments={name: words for name, words in MOMENTS.items() if _is_ahead(request, name)},
        clocks=list(engine.store.scan(test_clocks.KIND)),
        due=due,
        snapshots=[one.described() for one in found.all()],
    )


async def put_forward(request: Request, sent: Sent) -> Json:
    """Put the global clock forward, as `advance_test_clock` does with another."""
    to = _target(engine_of(request), GLOBAL, sent)
    return await clock.advance(request, Sent({"to": str(to)}))


async def advance_test_clock(request: Request, sent: Sent) -> Json:
    """Put a test clock forward as the API would: by `seconds`, to `when` in UTC, or else to what is due next."""
    engine, id = engine_of(request), request.path_params["id"]
    with engine.transaction():
        target = _target(engine, id, sent)
        test_clocks.advance(engine, [id], Params({"frozen_time": target}))
    return {}


def _target(engine: Engine, clock_id: str, sent: Sent) -> int:
    when = sent.text("when")
    if when is not None:
        return _unix(when)
    if "seconds" in sent:
        return engine.now(clock_id) + sent.whole("seconds", 0, most=clock.MOST)
    due = engine.agenda.upcoming(clock_id, 1)
    if not due:
        raise invalid("Nothing is due on this clock.")
    return max(due[0][0], engine.now(clock_id))


def _unix(when: str) -> int:
    try:
        return int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError) as error:
        raise invalid("A moment is written as 2027-01-31T12:00.", param="when") from error


def _test_clocks(request: Request) -> list[str]:
    return [one["id"] for one in engine_of(request).store.scan(test_clocks.KIND)]


def _is_ahead(request: Request, moment: str) -> bool:
    engine = engine_of(request)
    try:
        seconds_to(engine, moment)
    except ApiError:
        return False
    return True


ROUTES = [
    Route("/workbench/clocks", show),
    action("clocks/advance", clock.advance, done="The clock was put forward."),
    action("clocks/forward", put_forward, done="The clock was put forward."),
    action("clocks/{id}/advance", advance_test_clock, done="The test clock is advancing."),
    action("snapshots", snapshots.take, done="Kept as {name}."),
    action("snapshots/{name}/restore", snapshots.restore, done="Back to {name}."),
    action("snapshots/{name}/delete", snapshots.remove, done="Forgot {name}."),
]

"""
The web application: Stripe's API under /v1, the hosted pages, the control API, and the passing of time.

Everything runs on one event loop, so that calls are carried out one after another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from stripe_emulator.control import control_routes
from stripe_emulator.delivery import Deliverer
from stripe_emulator.engine import Engine
from stripe_emulator.failing import does_its_work, fail
from stripe_emulator.faults import take_fault
from stripe_emulator.guard import LoopbackOnly
from stripe_emulator.hosted import Hosted
from stripe_emulator.listening import Listening
from stripe_emulator.pages import routes as page_routes
from stripe_emulator.protocol.api import Api, Call
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.rate_limits import RateLimiter
from stripe_emulator.request_log import RequestLog, exchange
from stripe_emulator.resources.test_clocks import run_advances
from stripe_emulator.responding import respond
from stripe_emulator.snapshots import Snapshots
from stripe_emulator.validation.responses import ShapeError
from stripe_emulator.workbench import workbench_routes

TICK_SECONDS = 0.25


def build_app(engine: Engine) -> Starlette:
    """The emulator as an ASGI application over an engine."""
    deliverer = Deliverer(engine)
    listening = Listening(engine)
    api, limiter, log = Api(engine), RateLimiter(engine), RequestLog()

    def note(changed: list[str]) -> None:
        deliverer.note(changed)
        listening.note(changed)

    def begin_anew() -> None:
        deliverer.begin_anew()
        listening.begin_anew()
        log.clear()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine.on_commit, engine.on_replace = note, begin_anew
        deliverer.start()
        ticker = asyncio.create_task(_tick(engine))
        yield
        ticker.cancel()
        with suppress(asyncio.CancelledError):
            await ticker
        await deliverer.stop()

    async def v1(request: Request) -> Response:
        call = await _call(request)
        begun = time.perf_counter()
        response, note = await _serve(engine, api, limiter, call)
        log.add(exchange(call, response, note=note, seconds=time.perf_counter() - begun))
        return response

    async def v2(request: Request) -> Response:
        error = ApiError(404, "invalid_request_error", "stripe_emulator has no v2 endpoints; its README says why.")
        return respond(api.failure(Call(request.method, request.url.path, ""), error))

    methods = ["GET", "POST", "DELETE"]
    routes: list[BaseRoute] = [
        *listening.routes(),
        Route("/v1/{path:path}", v1, methods=methods),
        Route("/v2/{path:path}", v2, methods=methods),
        *control_routes(),
        *workbench_routes(),
        *page_routes(),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(LoopbackOnly)])
    app.state.engine = engine
    app.state.hosted = Hosted(engine)
    app.state.deliverer = deliverer
    app.state.snapshots = Snapshots(engine)
    app.state.request_log = log
    return app


async def _call(request: Request) -> Call:
    body = (await request.body()).decode(errors="replace")
    query = request.url.query
    return Call(
        request.method,
        request.url.path,
        "&".join(part for part in (query, body) if part),
        request.headers.get("Authorization"),
        request.headers.get("Idempotency-Key"),
        request.headers.get("Stripe-Version"),
    )


async def _serve(engine: Engine, api: Api, limiter: RateLimiter, call: Call) -> tuple[Response, str | None]:
    """The response, and what was done to it on request."""
    limited = limiter.refuse(lambda: api.endpoint(call))
    if limited is not None:
        return respond(api.failure(call, limited)), "over the rate limit"
    try:
        api.begin(call)
    except ApiError as error:
        return respond(api.failure(call, error)), None
    try:
        with engine.transaction():
            fault = take_fault(engine, call.method, call.path)
        if fault is None:
            return respond(api.answer(call)), None
        return await fail(api, call, fault), "by a fault" + (", its work done" if does_its_work(fault) else "")
    finally:
        api.end(call)


async def _tick(engine: Engine) -> None:
    """Real time passes, and begun test clock advances are finished."""
    while True:
        _pass(engine)
        await asyncio.sleep(TICK_SECONDS)


def _pass(engine: Engine) -> None:
    with suppress(ShapeError):  # the engine has noted it
        engine.catch_up()
        while run_advances(engine):
            pass

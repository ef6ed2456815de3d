"""How the control API answers: refusals as 400 (404 for what there is not), `return_to` as a redirect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stripe_emulator.control.sent import Sent
from stripe_emulator.delivery import Deliverer
from stripe_emulator.engine import Engine
from stripe_emulator.protocol.errors import ApiError, invalid

SETTLE_SECONDS = 5.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Handler = Callable[[Request, Sent], Awaitable[Any]]


def route(method: str, path: str, handler: Handler) -> Route:
    """
    A route below /_emulator. What the handler gives goes back as JSON.

    With `return_to`, a loopback URL, the answer is a redirect instead, once deliveries have settled.
    """

    async def endpoint(request: Request) -> Response:
        try:
            sent = Sent.parse(await request.body(), dict(request.query_params))
            target = _return_to(sent)
            given = await handler(request, sent)
        except ApiError as error:
            told = {"message": error.message, "param": error.param, "code": error.code}
            return JSONResponse(
                {"error": {key: value for key, value in told.items() if value}}, status_code=error.status
            )
        if target is None:
            return given if isinstance(given, Response) else JSONResponse(given)
        await deliverer_of(request).settle(SETTLE_SECONDS)
        return RedirectResponse(target, status_code=303)

    return Route(f"/_emulator/{path}", endpoint, methods=[method])


def engine_of(request: Request) -> Engine:
    """The engine behind the app."""
    engine: Engine = request.app.state.engine
    return engine


def deliverer_of(request: Request) -> Deliverer:
    """What delivers the app's webhooks."""
    deliverer: Deliverer = request.app.state.deliverer
    return deliverer


def _return_to(sent: Sent) -> str | None:
    target = sent.text("return_to")
    if target is None:
        return None
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise invalid("return_to is no URL.", param="return_to") from error
    if parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK:
        raise invalid("return_to must be a loopback URL.", param="return_to")
    return target

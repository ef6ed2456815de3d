"""
The app's calls to Stripe, counted and disturbed on their way.

This stands before the emulator's ASGI application. A call's place in a run is its endpoint and its number, as in
`POST /v1/customers/*#2`; calls that carry the test's own key are left alone and not counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stripe_emulator.ids import new_id
from stripe_emulator.protocol.api import pretty
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.protocol.routing import Router
from stripe_emulator.resources.index import ROUTES
from stripe_emulator.responding import JSON_TYPE, CutOff

logging.getLogger("uvicorn.error").addFilter(lambda record: "without completing response" not in record.getMessage())
# A broken-off answer is meant, and said so hundreds of times it would hide what is not.

HANGS_FOR = 0.05
LASTING = ("500", "lost-answers")
REPETITIONS = 2
"""These kinds meet the call's next repetitions too, so that the retries built into the SDK don't hide them."""

Disturb = Callable[[str], str | None]
"""Told a call's place; the kind of disturbance it meets, or None."""


class Calls:
    """
    Disturbs calls as `disturb` says while it is set.

    `meanwhile` is what happens between the work of a `slow` call and its answer; it runs in a thread of its own.
    """

    def __init__(self, app: ASGIApp, own_key: str) -> None:
        self._app = app
        self._own = f"Bearer {own_key}".encode()
        self._router = Router(ROUTES)
        self._numbers: Counter[str] = Counter()
        self._lasting: dict[str, tuple[str, int]] = {}
        self._disturb: Disturb | None = None
        self._meanwhile: Callable[[], None] = lambda: None

    def watch(self, disturb: Disturb, *, meanwhile: Callable[[], None]) -> None:
        """Count from now on, from 1."""
        self._numbers.clear()
        self._lasting.clear()
        self._disturb, self._meanwhile = disturb, meanwhile

    def leave_alone(self) -> None:
        """Disturb nothing any more."""
        self._disturb = None

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Calls made while the block runs are neither counted nor disturbed."""
        disturb, self._disturb = self._disturb, None
        try:
            yield
        finally:
            self._disturb = disturb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or not quite."""
        kind = self._kind(scope)
        match kind:
            case None:
                await self._app(scope, receive, send)
            case "lost-answer" | "lost-answers":
                await self._answer(scope, receive)
                await CutOff()(scope, receive, send)
            case "slow":
                messages = await self._answer(scope, receive)
                await asyncio.to_thread(self._meanwhile)
                for message in messages:
                    await send(message)
            case "timeout":
                await asyncio.sleep(HANGS_FOR)
                await CutOff()(scope, receive, send)
            case _:
                await _refusal(int(kind))(scope, receive, send)

    def _kind(self, scope: Scope) -> str | None:
        if self._disturb is None or scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            return None
        if dict(scope["headers"]).get(b"authorization") == self._own:
            return None
        call = self._endpoint(scope["method"], scope["path"])
        self._numbers[call] += 1
        kind = self._disturb(f"{call}#{self._numbers[call]}")
        if kind is None:
            kind, left = self._lasting.pop(call, (None, 0))
        else:
            left = REPETITIONS if kind in LASTING else 0
        if kind is not None and left > 0:
            self._lasting[call] = (kind, left - 1)
        return kind

    def _endpoint(self, method: str, path: str) -> str:
        try:
            route, _ = self._router.match(method, path)
        except ApiError:
            return f"{method} {path}"
        return f"{method} " + "/".join("*" if "{" in part else part for part in route.path.split("/"))

    async def _answer(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages


def _refusal(status: int) -> Response:
    if status == 429:
        error = ApiError(
            429,
            "invalid_request_error",
            "Too many requests hit the API too quickly. We recommend an exponential backoff of your requests.",
            code="rate_limit",
            headers={"Stripe-Rate-Limited-Reason": "global-rate"},
        )
    else:
        error = ApiError(status, "api_error", "An error was asked of stripe_emulator for this call.")
    body = pretty(error.envelope(new_id("req")))
    return Response(body, status_code=status, headers=error.headers, media_type=JSON_TYPE)

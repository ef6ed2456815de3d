"""A go-between on the way to Stripe: passes calls on, notes which key each came with, and may change the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stripe_emulator import Emulator
from tests.support.serving import bound_socket, serving


class GoBetween:
    """
    What is between an app and Stripe.

    `calls` are the methods and paths of all there were, `versions` the API versions they asked in, `keys` the
    Authorization headers that were seen, by path;
    `change` turns Stripe's answer into another one.
    """

    def __init__(self, stripe: Emulator) -> None:
        self._stripe = stripe
        self.url = ""
        self.calls: list[tuple[str, str]] = []
        self.versions: set[str] = set()
        self.keys: dict[str, set[str]] = {}
        self.change: Callable[[bytes], bytes] = lambda answer: answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on; starting and stopping are the server's alone."""
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        request = Request(scope, receive)
        self.calls.append((request.method, request.url.path))
        self.versions.add(request.headers["stripe-version"])
        self.keys.setdefault(request.url.path, set()).add(request.headers["authorization"])
        kept = {name: value for name, value in request.headers.items() if name not in ("host", "accept-encoding")}
        path = f"{request.url.path}?{request.url.query}"
        async with httpx.AsyncClient(base_url=self._stripe.url, timeout=30, trust_env=False) as client:
            answer = await client.request(request.method, path, content=await request.body(), headers=kept)
        given = {name: value for name, value in answer.headers.items() if name.startswith(("request-id", "stripe"))}
        response = Response(self.change(answer.content), answer.status_code, given, "application/json")
        await response(scope, receive, send)


@contextmanager
def a_go_between(stripe: Emulator) -> Iterator[GoBetween]:
    """Serve one until the block ends."""
    between = GoBetween(stripe)
    with serving(between, bound_socket()) as between.url:
        yield between

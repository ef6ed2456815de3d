"""One HTTP server for all shops and all runs: a run swaps the shop behind it and begins with an empty database."""

from __future__ import annotations

import socket
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import httpx
import stripe as sdk
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.tests.broken_apps.honest import TABLES, USER, Shop
from emulator.tests.support.waiting import eventually


class Running:
    """A shop while it is served. `restart` kills it and starts it on the same data."""

    def __init__(self, kind: type[Shop], api_base: str, prices: dict[str, str], database: Path, server: Server) -> None:
        self._parts = (api_base, database, prices, server.url)
        self._kind = kind
        self.url = server.url
        self.webhook_url = server.url + "/webhook"
        self.browser = server.browser
        self.shop = kind(*self._parts)

    def post(self, path: str, **sent: str) -> httpx.Response:
        return self.browser.post(path, params={"user": USER, **sent})

    def settle(self) -> None:
        self.shop.settle()

    def restart(self) -> None:
        self.shop.die()
        self.shop = self._kind(*self._parts)


class Server:
    """Serves whichever shop is `open` now."""

    def __init__(self) -> None:
        # The protocol is named, because asyncio turns Nagle's algorithm off only then; it costs 40 ms an answer.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.browser = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        self._running: Running | None = None
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])
        config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", http="httptools")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        eventually(lambda: self._server.started)
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.browser.close()
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    @contextmanager
    def open(self, kind: type[Shop], api_base: str, prices: dict[str, str]) -> Iterator[Running]:
        """A shop of a kind with empty data."""
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder) / "shop.db"
            rows = sqlite3.connect(database)
            rows.executescript(TABLES)
            rows.close()
            self._running = Running(kind, api_base, prices, database, self)
            try:
                yield self._running
            finally:
                self._running.shop.die()

    async def _answer(self, request: Request) -> Response:
        assert self._running is not None
        body, query, shop = await request.body(), request.query_params, self._running.shop
        try:
            match request.url.path:
                case "/subscribe":
                    found = await run_in_threadpool(shop.subscribe, query["user"])
                case "/credits":
                    found = await run_in_threadpool(shop.buy_credits, query["user"])
                case "/upgrade":
                    found = await run_in_threadpool(shop.upgrade, query["user"])
                case "/cancel":
                    found = await run_in_threadpool(shop.cancel, query["user"])
                case "/top-up":
                    found = await run_in_threadpool(shop.top_up, query["user"], query["request"])
                case "/welcome":
                    found = await run_in_threadpool(shop.welcome, query["session_id"])
                case "/webhook":
                    found = await run_in_threadpool(shop.webhook, body, request.headers["Stripe-Signature"])
                case _:
                    found = 200, await run_in_threadpool(shop.state, query["user"])
        except (sdk.StripeError, LookupError, AttributeError, sqlite3.Error) as error:
            return JSONResponse(f"{type(error).__name__}: {error}", status_code=500)
        return JSONResponse(found[1], status_code=found[0])

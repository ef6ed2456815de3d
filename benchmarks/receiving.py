"""
A process that takes webhooks: `paidup`, or `floor`, which does nothing but verify the signature and insert a row.

Started by `accept_webhooks`; prints its address.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import stripe
import uvicorn
from sqlalchemy import make_url

from paidup import Billing
from tests.support.host_app import build

SECRET = "whsec_benchmark"
_TABLE = "CREATE TABLE IF NOT EXISTS floor_events (id TEXT PRIMARY KEY, type TEXT, received_at TEXT, payload TEXT)"
_CONNECTIONS = 16

Insert = Callable[[tuple[str, str, str, str]], Awaitable[None]]


def main(kind: str, database_url: str, plans: str, api_base: str | None = None) -> None:
    """Serve until killed. With the address of a Stripe, `paidup` has its worker inside."""
    app = _floor(database_url) if kind == "floor" else build(billing(database_url, plans, api_base))
    gc.collect()
    gc.freeze()  # as the starter does: no full collection holds the requests up
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="critical", access_log=False, http="httptools", ws="none")
    uvicorn.Server(config).run(sockets=[listener])


def billing(database_url: str, plans: str, api_base: str | None = None) -> Billing:
    """As the server has it."""
    return Billing.from_env(
        secret_key="sk_test_benchmark",
        webhook_secrets=SECRET,
        database_url=database_url,
        app_url="http://127.0.0.1:1",
        plans_file=plans,
        worker="inside" if api_base else "outside",
        **({"api_base": api_base} if api_base else {}),
    )


def _floor(database_url: str) -> Any:
    ready: list[Insert] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            ready.append(await _inserting(database_url))
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        header = dict(scope["headers"])[b"stripe-signature"].decode()
        stripe.WebhookSignature.verify_header(body.decode(), header, SECRET, tolerance=300)
        event = json.loads(body)
        await ready[0]((event["id"], event["type"], datetime.now(UTC).isoformat(), body.decode()))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


async def _inserting(database_url: str) -> Insert:
    if database_url.startswith("sqlite"):
        return _into_sqlite(database_url.removeprefix("sqlite:///"))
    return await _into_postgresql(database_url)


async def _into_postgresql(database_url: str) -> Insert:
    address = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    free: asyncio.Queue[psycopg.AsyncConnection[Any]] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
        if free.empty():
            await connection.execute(_TABLE)
        free.put_nowait(connection)

    async def insert(row: tuple[str, str, str, str]) -> None:
        connection = await free.get()
        try:
            await connection.execute(
                "INSERT INTO floor_events VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", row, prepare=True
            )
        finally:
            free.put_nowait(connection)

    return insert


def _into_sqlite(path: str) -> Insert:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(_TABLE)

    async def insert(row: tuple[str, str, str, str]) -> None:
        connection.execute("INSERT INTO floor_events VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row)

    return insert


if __name__ == "__main__":
    main(*sys.argv[1:])

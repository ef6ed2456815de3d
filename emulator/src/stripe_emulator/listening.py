"""
The Stripe CLI's `listen`: a session with a signing secret, and a websocket over which events go to be forwarded.

The protocol is that of https://github.com/stripe/stripe-cli (pkg/stripeauth and pkg/websocket). Every event that
happens while the CLI is connected is sent once for each version the CLI may want, of which it drops one; what
happened before is not sent. Delivery faults do not apply here.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from stripe_emulator.protocol.auth import check_key
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.rendering import show
from stripe_emulator.sending import signature
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

DEVICE = "_cli_device"
FEATURE = "webhooks"
RECONNECT_SECONDS = 3600
SOCKET_PATH = "/v1/stripecli/socket"


@dataclass(slots=True)
class _Connection:
    secret: str
    known: set[str]
    outbox: asyncio.Queue[str] = field(default_factory=asyncio.Queue)


class Listening:
    """The CLIs that listen; `note` is told of what each transaction changed, on the server's event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._secrets: dict[str, str] = {}
        self._connections: list[_Connection] = []

    def routes(self) -> list[BaseRoute]:
        """The session's endpoint and its websocket."""
        return [
            Route("/v1/stripecli/sessions", self._begin, methods=["POST"]),
            WebSocketRoute(SOCKET_PATH, self._serve),
        ]

    def note(self, changed: list[str]) -> None:
        """Send the events among these that are new."""
        for id in changed if self._connections else ():
            event = self._engine.store.get(id, "event")
            for connection in self._connections if event is not None else ():
                if id not in connection.known:
                    connection.known.add(id)
                    self._queue(connection, event or {})

    def begin_anew(self) -> None:
        """The whole state is another one: what is in it has happened before."""
        for connection in self._connections:
            connection.known = {event["id"] for event in self._engine.store.scan("event")}

    async def _begin(self, request: Request) -> Response:
        try:
            check_key(request.headers.get("Authorization"))
        except ApiError as error:
            return JSONResponse(error.envelope(self._engine.ids.request_id("POST")), status_code=error.status)
        sent = parse_qs((await request.body()).decode())
        id = self._engine.ids.new_id("cliws")
        self._secrets[id] = self._secret_of(sent.get("device_name", [""])[0])
        return JSONResponse(
            {
                "default_version": self._engine.api_version,
                "display_connect_filter_warning": False,
                "latest_version": self._engine.api_version,
                "reconnect_delay": RECONNECT_SECONDS,
                "secret": self._secrets[id],
                "websocket_authorized_feature": FEATURE,
                "websocket_id": id,
                "websocket_url": self._engine.base_url.replace("http", "ws", 1) + SOCKET_PATH,
            }
        )

    async def _serve(self, websocket: WebSocket) -> None:
        secret = self._secrets.get(websocket.headers.get("Websocket-Id", ""))
        if secret is None:
            unknown = {"error": {"type": "invalid_request_error", "message": "Unknown WebSocket ID."}}
            await websocket.send_denial_response(JSONResponse(unknown, status_code=400))
            return
        connection = _Connection(secret, {event["id"] for event in self._engine.store.scan("event")})
        await websocket.accept()
        self._connections.append(connection)
        sender = asyncio.create_task(_send(websocket, connection))
        try:
            while True:
                await websocket.receive_text()  # what the app answered is between it and the CLI
        except WebSocketDisconnect:
            pass
        finally:
            self._connections.remove(connection)
            sender.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect):
                await sender

    def _queue(self, connection: _Connection, event: Json) -> None:
        payload = json.dumps(show(self._engine, event), indent=2)
        for version in (None, self._engine.api_version):
            message = {
                "endpoint": {"api_version": version},
                "event_payload": payload,
                "http_headers": {
                    "Content-Type": "application/json; charset=utf-8",
                    "Stripe-Signature": signature(payload, [connection.secret]),
                    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
                },
                "type": "webhook_event",
                "webhook_conversation_id": self._engine.ids.new_id("wc"),
                "webhook_id": self._engine.ids.new_id("wh"),
            }
            connection.outbox.put_nowait(json.dumps(message))

    def _secret_of(self, device: str) -> str:
        """A device keeps its secret, so that the app's setting stays right."""
        for known in self._engine.store.scan(DEVICE):
            if known["name"] == device:
                return str(known["secret"])
        with self._engine.transaction():
            ids = self._engine.ids
            made = {"id": ids.new_id(DEVICE), "object": DEVICE, "name": device, "secret": ids.new_id("whsec")}
            return str(self._engine.store.add(made)["secret"])


async def _send(websocket: WebSocket, connection: _Connection) -> None:
    while True:
        await websocket.send_text(await connection.outbox.get())

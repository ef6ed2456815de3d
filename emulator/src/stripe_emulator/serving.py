"""How the application is served: one event loop, loopback only, and connections that can be cut off."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CUT = "stripe_emulator.cut"
_LAST_SECONDS = 0.02


class Connection(HttpToolsProtocol):
    """A connection whose requests say, as the extension `CUT` of their scope, how to cut it off without an answer."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {CUT: {"now": self.transport.abort}}


def run_to_its_end(server: uvicorn.Server, listener: socket.socket) -> None:
    """
    Serve until the server is told to stop, and let every connection be closed before the event loop is.

    On a busy machine one that came at the very end was left open, for the collector to complain of much later.
    """

    async def serve() -> None:
        await server.serve(sockets=[listener])
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(_LAST_SECONDS)

    asyncio.run(serve())


def server_of(app: ASGIApp) -> uvicorn.Server:
    """A server of the application, not yet running."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        http=Connection,
        lifespan="on",
        ws="websockets-sansio",
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)

"""Serve an ASGI app over real HTTP, in a thread, on a free port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.support.waiting import eventually

_PATIENCE_SECONDS = 15.0


def bound_socket() -> socket.socket:
    """A loopback socket on a free port: its address is known before anything is served on it."""
    # The protocol is named, because asyncio turns Nagle's algorithm off only then; it costs 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


def address_of(listener: socket.socket) -> str:
    """`http://127.0.0.1:port` of a bound socket."""
    host, port = listener.getsockname()
    return f"http://{host}:{port}"


def free_port() -> int:
    """A port that was free a moment ago, for a process that binds it by itself."""
    with bound_socket() as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(app: Any, listener: socket.socket) -> Iterator[str]:
    """Serve the ASGI app, its lifespan included, until the block ends; the address."""
    config = uvicorn.Config(app, log_level="warning", lifespan="on", ws="none", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="served-app", daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), _PATIENCE_SECONDS)
        assert server.started, "the app did not start; its log says why"
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join(_PATIENCE_SECONDS)
        listener.close()
    assert not thread.is_alive(), "the app did not stop"

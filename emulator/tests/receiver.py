"""A webhook endpoint for tests: keeps what arrives, answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Receiver:
    """Serves on a free port while the `with` block runs. `answer` decides the status by the event's type and try."""

    def __init__(self, answer: Callable[[dict[str, Any], int], int] = lambda event, number: 200) -> None:
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = json.loads(body)
                with receiver._lock:
                    receiver.bodies.append(body)
                    receiver.signatures.append(self.headers["Stripe-Signature"])
                    number = sum(json.loads(one)["id"] == event["id"] for one in receiver.bodies)
                self.send_response(answer(event, number))
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What has arrived, in order of arrival."""
        return [json.loads(body) for body in list(self.bodies)]

    @property
    def ids(self) -> list[str]:
        """The ids of what has arrived."""
        return [event["id"] for event in self.events]

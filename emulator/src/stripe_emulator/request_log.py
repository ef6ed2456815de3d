"""
The log of API requests, for people: the newest few hundred, in memory.

What was sent and answered is kept as it came and read only when somebody looks, so that logging costs next to nothing.
Card and account numbers and secrets are masked then.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from stripe_emulator.masking import masked
from stripe_emulator.protocol.api import Call
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.protocol.forms import decode
from stripe_emulator.responding import CutOff

KEPT = 500


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    One request and its answer. `at` is real time in Unix seconds.

    `status` is None when the answer never arrived; `note` says what was done to it on request.
    """

    id: str
    at: float
    method: str
    path: str
    encoded: str = field(repr=False)
    idempotency_key: str | None
    status: int | None
    seconds: float
    answer: str = field(repr=False)
    note: str | None = None

    @property
    def failed(self) -> bool:
        """Was it anything but a success?"""
        return self.status is None or self.status >= 400

    def parameters(self) -> dict[str, Any]:
        """What was sent, nested, without numbers and secrets."""
        try:
            sent = decode(self.encoded)
        except ApiError:
            return {"": "(not a form)"}
        shown: dict[str, Any] = masked(sent)
        return shown

    def answered(self) -> Any:
        """The answer, without secrets."""
        try:
            return masked(json.loads(self.answer))
        except ValueError:
            return None


def exchange(call: Call, response: Response, *, note: str | None, seconds: float) -> Exchange:
    """A call and what went back, as the log keeps it."""
    return Exchange(
        id=response.headers.get("request-id") or f"lost_{time.time_ns()}",
        at=time.time(),
        method=call.method,
        path=call.path,
        encoded=call.encoded,
        idempotency_key=call.idempotency_key,
        status=None if isinstance(response, CutOff) else response.status_code,
        seconds=seconds,
        answer=bytes(response.body).decode(),
        note=note,
    )


class RequestLog:
    """The newest exchanges, newest first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=kept)

    def __iter__(self) -> Iterator[Exchange]:
        return reversed(self._exchanges)

    def add(self, exchange: Exchange) -> None:
        """Note one; the oldest goes when there are too many."""
        self._exchanges.append(exchange)

    def get(self, id: str) -> Exchange | None:
        """One by its request id; the newest, where an idempotency key repeated the answer of an earlier one."""
        return next((one for one in self if one.id == id), None)

    def clear(self) -> None:
        """Forget them all."""
        self._exchanges.clear()

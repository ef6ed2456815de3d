"""
Interruptions of a verb at one of its calls to Stripe, or at one of its commits.

Calls are told apart by their endpoint and how many went there before, because some are made side by side. What is
behind a call is the real thing: the SDK, HTTP, the emulator. Only what comes back is disturbed, below paidup.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import stripe as sdk
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from paidup.stripe_api.transport import endpoint_of
from tests.support.dying import Killed

Fault = Literal["failed before", "failed after", "answer lost", "killed before", "killed after", "SIGKILL"]
FAULTS: tuple[Fault, ...] = ("answer lost", "killed after", "failed before", "failed after", "killed before")
FAULTS_OF_A_READ: tuple[Fault, ...] = ("failed before", "killed before")
"""Where nothing was done, nothing of it can be lost."""

_SENT = sdk.HTTPClient.request_with_retries


@dataclass(frozen=True, slots=True)
class Call:
    """The `nth` call to an endpoint, such as `post /v1/customers`; the first is 1."""

    endpoint: str
    nth: int

    @property
    def is_read(self) -> bool:
        """Does it change nothing at Stripe?"""
        return self.endpoint.startswith("get ") or self.endpoint.endswith("/create_preview")

    def __str__(self) -> str:
        return f"{self.endpoint} #{self.nth}"


class Watch:
    """What was called and committed in a block, and whether it was interrupted."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.commits = 0
        self.interrupted = False
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def called(self, method: str, url: str) -> Call:
        """Note a call."""
        endpoint = endpoint_of(method, url)
        with self._lock:
            self._counts[endpoint] += 1
            call = Call(endpoint, self._counts[endpoint])
            self.calls.append(call)
        return call


@contextmanager
def watched(
    *,
    at: Call | None = None,
    fault: Fault = "failed before",
    failing_commit: int | None = None,
    lost_commit: int | None = None,
) -> Iterator[Watch]:
    """
    Watch a block, and interrupt it: at a call, or at a commit, counted from 1.

    One that fails has done nothing; of one that is lost nobody hears that it was done.
    """
    watch = Watch()

    def send(client: sdk.HTTPClient, method: str, url: str, *rest: Any, **more: Any) -> Any:
        if watch.called(method, url) != at:
            return _SENT(client, method, url, *rest, **more)
        watch.interrupted = True
        return _interrupted(fault, lambda: _SENT(client, method, url, *rest, **more))

    def commit(session: Session) -> None:
        if session.in_nested_transaction():
            return
        with watch._lock:
            watch.commits += 1
            number = watch.commits
        if number == failing_commit:
            watch.interrupted = True
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    def committed(session: Session) -> None:
        if watch.commits == lost_commit and not session.in_nested_transaction() and not watch.interrupted:
            watch.interrupted = True
            raise OperationalError("COMMIT", {}, Exception("the connection is lost"))

    sdk.HTTPClient.request_with_retries = send  # type: ignore[method-assign, assignment]
    event.listen(Session, "before_commit", commit)
    event.listen(Session, "after_commit", committed)
    try:
        yield watch
    finally:
        event.remove(Session, "before_commit", commit)
        event.remove(Session, "after_commit", committed)
        sdk.HTTPClient.request_with_retries = _SENT  # type: ignore[method-assign]


def _interrupted(fault: Fault, send: Any) -> Any:
    if fault == "killed before":
        raise Killed
    if fault == "failed before":
        raise _no_answer("it never got there")
    send()
    match fault:
        case "failed after":
            return b'{"error": {"type": "api_error", "message": "something went wrong"}}', 500, {}
        case "answer lost":
            raise _no_answer("the answer never came")
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
    raise Killed


def _no_answer(why: str) -> sdk.APIConnectionError:
    return sdk.APIConnectionError(why)  # type: ignore[no-untyped-call]

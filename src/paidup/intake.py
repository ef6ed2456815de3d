"""
Group commit: deliveries that arrive together are stored in one transaction, each answered only after it.

One thread a process writes. While it commits, the next ones gather; nothing waits for company that isn't there. A
delivery comes with a Future: it is done when its event is committed, and failed when it was not, so that Stripe sends
it again. The coroutines of an event loop are told all at once: each by itself, they would take turns with this thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from time import perf_counter

from paidup import inbox, metrics
from paidup.database.engine import Database
from paidup.errors import DatabaseUnavailable

logger = logging.getLogger("paidup")

BATCH = 200
"""Deliveries a transaction, at most: longer ones would hold the rows of busy customers for too long."""
MAX_WAITING = 5_000
"""Deliveries that wait for the database, at most; more are refused, and Stripe sends them again later."""
_STOP_SECONDS = 30.0

Answer = Future[inbox.Receipt] | asyncio.Future[inbox.Receipt]
_Waiting = tuple[inbox.Delivery, Answer, float]
_Outcome = inbox.Receipt | Exception


class Intake:
    """
    Stores deliveries, from any thread, in groups.

    The writing thread starts with the first delivery, and anew in a forked process. `on_stored` is called after each
    commit.
    """

    def __init__(self, database: Database, *, on_stored: Callable[[], None]) -> None:
        self._database = database
        self._on_stored = on_stored
        self._process = os.getpid()
        self._condition = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, delivery: inbox.Delivery, answer: Answer) -> None:
        """
        Queue a delivery; the answer, a Future of a thread or of an event loop, is given once it is committed.

        Raises DatabaseUnavailable when too many wait already, RuntimeError after `close`.
        """
        if self._process != os.getpid():
            self._start_anew()
        with self._condition:
            if self._closed:
                raise RuntimeError("this Billing was closed")
            if len(self._waiting) >= MAX_WAITING:
                metrics.webhooks.labels("unavailable").inc()
                raise DatabaseUnavailable(
                    f"{MAX_WAITING} webhooks wait to be stored", remedy="the database is too slow, or away"
                )
            self._waiting.append((delivery, answer, perf_counter()))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._write, name="paidup-intake", daemon=True)
                self._thread.start()
            self._condition.notify()

    @property
    def waiting(self) -> int:
        """How many deliveries have not been taken up yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Store what waits, and end the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(_STOP_SECONDS)

    def _start_anew(self) -> None:
        """In a forked process: neither the thread nor what waited for it came along."""
        self._process = os.getpid()
        self._condition = threading.Condition()
        self._waiting.clear()
        self._thread = None

    def _write(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._closed)
                taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not taken:
                return
            # A caller that went away meanwhile has not been promised anything.
            self._store([each for each in taken if _is_awaited(each[1])])

    def _store(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            receipts = self._accept([each[0] for each in group])
        except DatabaseUnavailable as error:
            metrics.webhooks.labels("unavailable").inc(len(group))
            _answer(group, [error] * len(group))
        except Exception as error:
            # One event that the database will not take must not cost the others their answer.
            logger.warning("storing %d webhooks failed", len(group), exc_info=True)
            if len(group) == 1:
                metrics.webhooks.labels("unavailable").inc()
                _answer(group, [error])
            for each in group if len(group) > 1 else ():
                self._store([each])
        else:
            _answer(group, receipts)
            self._on_stored()
            _measure(group, receipts)

    def _accept(self, deliveries: Sequence[inbox.Delivery]) -> list[inbox.Receipt]:
        new = self._database.at_once(lambda connection: inbox.store(connection, deliveries))
        if len(new) < len(deliveries):
            self._database.run(lambda session: inbox.count_repeats(session, deliveries, new))
        return inbox.receipts(deliveries, new)


def _is_awaited(answer: Answer) -> bool:
    return not answer.cancelled() if isinstance(answer, asyncio.Future) else answer.set_running_or_notify_cancel()


def _answer(group: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[inbox.Receipt], _Outcome]]] = {}
    for (_, answer, _), outcome in zip(group, outcomes, strict=True):
        if isinstance(answer, asyncio.Future):
            loops.setdefault(answer.get_loop(), []).append((answer, outcome))
        else:
            _settle(answer, outcome)
    for loop, answers in loops.items():
        with suppress(RuntimeError):  # a loop that was closed has nobody left to tell
            loop.call_soon_threadsafe(_settle_all, answers)


def _measure(group: Sequence[_Waiting], receipts: Sequence[inbox.Receipt]) -> None:
    now = perf_counter()
    for state, count in Counter(each.state for each in receipts).items():
        metrics.webhooks.labels(state).inc(count)
    for _, _, since in group:
        metrics.webhook_seconds.observe(now - since)


def _settle_all(answers: Sequence[tuple[asyncio.Future[inbox.Receipt], _Outcome]]) -> None:
    for answer, outcome in answers:
        if not answer.done():
            _settle(answer, outcome)


def _settle(answer: Answer, outcome: _Outcome) -> None:
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)

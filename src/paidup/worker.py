"""
The loop: takes dirty targets and waiting changes, any number of workers on any number of machines.

State is only in the database: a worker that is killed loses its leases and nothing else. It wakes up by a signal in
the same process, by PostgreSQL's NOTIFY from any other, and by polling as the net under both.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeVar

from paidup import inbox, outbox
from paidup.database import arrivals
from paidup.database.engine import Database
from paidup.database.notify import listen
from paidup.errors import BillingError, DatabaseUnavailable
from paidup.handlers import Handlers
from paidup.stripe_api.budget import in_background
from paidup.sync import Synchroniser

_T = TypeVar("_T")

logger = logging.getLogger("paidup")

_POLL = timedelta(milliseconds=250)
_POLL_WITH_NOTIFY = timedelta(seconds=5)
_DATABASE_PAUSE = 1.0
_TIDY_EVERY = 3600.0
_ENDING = (signal.SIGTERM, signal.SIGINT)
_LOOK_FOR_SIGNAL = 0.5
_FIRST_RECONCILIATION = 300.0
"""A process that has just started has better things to do, and one that is started again and again never should."""
_LOOK_FOR_RECONCILIATION = 60.0


class WakeUp:
    """A counter that threads wait on, so that no signal given between a look and a wait is lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How many signals there have been."""
        return self._count

    def give(self) -> None:
        """Wake everybody up."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float) -> None:
        """Wait for a signal after the `seen`-th, at most `timeout` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._count > seen, timeout)


class Worker:
    """
    Threads that synchronise targets, and others that hand changes to the app's handlers.

    `threads` synchronise side by side, each another target; `handler_threads` call handlers, each for another owner,
    so that slow ones hold up neither. With `deliver_changes=False` changes are left for a process that has the app's
    handlers. Told to stop, it takes nothing new and lets what is under way finish, for at most `drain`. Events that
    were done with longer ago than `retention` are deleted, once an hour; none are when it is zero. `pause` says for
    how many seconds Stripe is not to be called. `reconcile`, if there is one, is called from time to time, for the
    first time after `reconcile_after` seconds; it knows whether its time has come, and ends early when its event is
    set.
    """

    def __init__(
        self,
        *,
        database: Database,
        synchroniser: Synchroniser,
        handlers: Handlers,
        wake_up: WakeUp,
        clock: Callable[[], datetime],
        threads: int = 4,
        handler_threads: int = 4,
        deliver_changes: bool = True,
        drain: timedelta = timedelta(seconds=20),
        retention: timedelta = timedelta(0),
        pause: Callable[[], float] = lambda: 0.0,
        reconcile: Callable[[threading.Event], None] | None = None,
        reconcile_after: float = _FIRST_RECONCILIATION,
    ) -> None:
        self._database = database
        self._synchroniser = synchroniser
        self._handlers = handlers
        self._wake_up = wake_up
        self._clock = clock
        self._threads = threads
        self._handler_threads = handler_threads
        self._deliver_changes = deliver_changes
        self._drain = drain
        self._retention = retention
        self._pause = pause
        self._reconcile = reconcile
        self._reconcile_after = reconcile_after
        self._stopping = threading.Event()
        self._running: list[threading.Thread] = []
        self._under_way: set[inbox.Claim] = set()
        self._looks_for_targets = threading.Lock()
        self._looks_for_changes = threading.Lock()

    def start(self) -> None:
        """Start the threads and return."""
        if self._running:
            raise RuntimeError("this worker is already running")
        self._stopping.clear()
        loops = [self._synchronise_loop] * self._threads
        loops += [self._deliver_loop] * (self._handler_threads if self._deliver_changes else 0)
        loops += [self._listen_loop] if self._database.is_postgresql else []
        loops += [self._tidy_loop] if self._retention else []
        loops += [self._reconcile_loop] if self._reconcile else []
        self._running = [
            threading.Thread(target=loop, name=f"paidup-worker-{number}", daemon=True)
            for number, loop in enumerate(loops)
        ]
        for thread in self._running:
            thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """
        Take nothing new, let what is under way finish, and end the threads.

        False when something still ran after `timeout` seconds (by default, what the worker was given). The leases of
        targets are given back then, so that others go on at once; what that thread applies later is refused. A handler
        that still runs keeps its change until the lease runs out.
        """
        self._stopping.set()
        self._wake_up.give()
        deadline = monotonic() + (self._drain.total_seconds() if timeout is None else timeout)
        for thread in self._running:
            thread.join(max(0.0, deadline - monotonic()))
        hanging = [thread.name for thread in self._running if thread.is_alive()]
        self._running = []
        if hanging:
            logger.warning("the worker stops although something still runs: %s", ", ".join(hanging))
            self._give_back()
        return not hanging

    def run_forever(self) -> bool:
        """
        Run until SIGTERM or SIGINT, then `stop`, whose outcome this is. For the main thread of a process.

        A second signal ends the process there and then.
        """
        # Not an Event: its lock may be in the hands of the very thread that the signal interrupts, which then waits for
        # itself, for ever. A SimpleQueue may be put to from anywhere.
        ended: SimpleQueue[None] = SimpleQueue()

        def end(*_: object) -> None:
            for number in _ENDING:
                signal.signal(number, signal.SIG_DFL)
            ended.put(None)

        for number in _ENDING:
            signal.signal(number, end)
        self.start()
        # The system may give the signal to any thread, and it is handled in this one, once this one does something.
        while True:
            try:
                ended.get(timeout=_LOOK_FOR_SIGNAL)
                return self.stop()
            except Empty:
                pass

    def run_until_idle(self, timeout: float = 30.0) -> None:
        """
        Process everything there is in this thread, not waiting for the rest of a burst. For scripts and tests.

        Raises TimeoutError when there is still work after `timeout` seconds, such as a target that keeps failing.
        """
        deadline = monotonic() + timeout
        while True:
            if self._take_one() or (self._deliver_changes and self._deliver()):
                continue
            due = self._next_due()
            if due is None:
                return
            if monotonic() >= deadline:
                raise TimeoutError(f"there is still work after {timeout} seconds")
            self._wake_up.wait(self._wake_up.count, min(0.05, max(0.0, due)))

    def _synchronise_loop(self) -> None:
        self._loop(self._looks_for_targets, self._claim, self._next_due, self._synchronise)

    def _deliver_loop(self) -> None:
        self._loop(self._looks_for_changes, self._take_change, self._next_delivery, self._hand_out)

    def _loop(
        self,
        looks: threading.Lock,
        take: Callable[[], _T | None],
        due: Callable[[], float | None],
        work: Callable[[_T], None],
    ) -> None:
        """One thread of a kind looks for work and waits; with something in its hands it lets the next one look."""
        while not self._stopping.is_set():
            try:
                with looks:
                    taken = self._first(take, due)
                if taken is not None:
                    work(taken)
            except DatabaseUnavailable as error:
                logger.warning("the worker waits for the database: %s", error)
                self._stopping.wait(_DATABASE_PAUSE)
            except Exception:  # whatever it is, it must not cost the process one of its threads for good
                logger.exception("the worker goes on after an error of its own")
                self._stopping.wait(_DATABASE_PAUSE)

    def _first(self, take: Callable[[], _T | None], due: Callable[[], float | None]) -> _T | None:
        while not self._stopping.is_set():
            seen = self._wake_up.count
            taken = take()
            if taken is not None:
                return taken
            self._wake_up.wait(seen, self._wait(due()))
        return None

    def _wait(self, due: float | None) -> float:
        poll = (_POLL_WITH_NOTIFY if self._database.is_postgresql else _POLL).total_seconds()
        return poll if due is None else min(poll, max(due, 0.01))

    def _claim(self) -> inbox.Claim | None:
        """The lease of a target that is due, unless Stripe said 429: it could only wait with its lease running."""
        due = self._next_due()
        if due is None or due > 0:
            return None
        if (pause := self._pause()) > 0:
            self._stopping.wait(pause)
            return None
        return self._database.run(lambda session: inbox.claim(session, now=self._clock()))

    def _synchronise(self, claim: inbox.Claim) -> None:
        self._under_way.add(claim)
        try:
            with in_background():
                self._synchroniser.attempt(claim)
        finally:
            self._under_way.discard(claim)
        self._wake_up.give()  # there may be changes now

    def _take_one(self) -> bool:
        """Synchronise one target here, debounced or not. False when there is none."""
        claim = self._database.run(lambda session: inbox.claim(session, now=self._clock(), hurried=True))
        if claim is not None:
            self._synchronise(claim)
        return claim is not None

    def _give_back(self) -> None:
        for claim in tuple(self._under_way):
            try:
                self._database.run(partial(inbox.give_back, taken=claim))
            except DatabaseUnavailable as error:
                logger.warning("the lease of %s could not be given back: %s", claim.target, error)

    def _deliver(self) -> bool:
        return outbox.deliver_next(self._database, self._handlers, now=self._clock)

    def _take_change(self) -> outbox.Taken | None:
        return outbox.take_next(self._database, self._handlers, now=self._clock)

    def _hand_out(self, taken: outbox.Taken) -> None:
        outbox.hand_out(self._database, taken, self._handlers, now=self._clock)

    def _next_due(self) -> float | None:
        """Seconds until the next dirty target is due; None when all is clean."""
        with self._database.read() as session:
            due = inbox.next_due(session)
        return None if due is None else (due - self._clock()).total_seconds()

    def _next_delivery(self) -> float | None:
        """Seconds until the next change is due; None when none waits."""
        with self._database.read() as session:
            due = outbox.next_due(session)
        return None if due is None else (due - self._clock()).total_seconds()

    def _tidy_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                while not self._stopping.is_set() and self._forget():
                    pass
            except DatabaseUnavailable as error:
                logger.warning("old events stay for now: %s", error)
            self._stopping.wait(_TIDY_EVERY)

    def _forget(self) -> int:
        before = self._clock() - self._retention
        return self._database.run(lambda session: inbox.forget(session, before=before))

    def _reconcile_loop(self) -> None:
        self._stopping.wait(self._reconcile_after)
        while not self._stopping.is_set() and self._reconcile is not None:
            try:
                with in_background():
                    self._reconcile(self._stopping)
            except Exception as error:  # it is recorded on its run, which the next one goes on with
                logger.warning("reconciliation stopped: %s", error, exc_info=not isinstance(error, BillingError))
            self._stopping.wait(_LOOK_FOR_RECONCILIATION)

    def _listen_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                listen(self._database, arrivals.CHANNEL, on_notify=self._wake_up.give, stopping=self._stopping)
            except DatabaseUnavailable as error:
                logger.warning("not listening to PostgreSQL for now, polling instead: %s", error)
                self._stopping.wait(_DATABASE_PAUSE)

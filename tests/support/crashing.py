"""
Processes that stop at an exact step: a real one works, stops where it was told to, and says so. There it is killed, or
goes on after a while.

Nothing of paidup is replaced: a process stops itself (SIGSTOP) in a hook of SQLAlchemy, or in a handler of the app.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import uvicorn
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from paidup import Billing, Change, Settings, inbox
from tests.support.deliveries import deliver
from tests.support.host_app import build

Moment = Literal["before", "after", "at commit", "committed"]
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Where to stop: before or after a statement that matches, before its transaction's commit, or right after that."""

    moment: Moment
    statement: str


@dataclass(frozen=True, slots=True)
class Work:
    """
    What a process does, and where it stops.

    It receives events, if there are any; it works until nothing is left; it works until it is told to end (`forever`),
    or serves the app over HTTP at a port.
    """

    settings: Mapping[str, Any]
    heard: Path
    events: tuple[dict[str, Any], ...] = ()
    stop: Stop | None = None
    stop_in: str | None = None
    """`inside` or `outside`: the handler that stops once it has done its work. `answering`: when all is received."""
    later: timedelta = timedelta(0)
    """How far its clock is ahead, so that leases of the dead have run out."""
    hangs: bool = False
    """Does the handler after the commit never come back?"""
    lease: timedelta = inbox.LEASE
    forever: bool = False
    deliver_changes: bool = True
    port: int | None = None


def an_app(work: Work, here: Callable[[str], None] = lambda _: None) -> Billing:
    """A Billing with two handlers: one writes a row of its own in the transaction, one appends to a file after it."""
    billing = Billing(Settings.from_env(**work.settings), clock=lambda: datetime.now(UTC) + work.later)

    @billing.on_change(in_transaction=True)
    def provision(change: Change, session: Session) -> None:
        session.execute(text("INSERT INTO provisioned VALUES (:id)"), {"id": change.id})
        here("inside")

    @billing.on_change()
    def tell(change: Change) -> None:
        with work.heard.open("a") as file:
            file.write(f"{change.id}\n")
        if work.hangs:
            threading.Event().wait()
        here("outside")

    return billing


class Child:
    """A process at work."""

    def __init__(self, work: Work) -> None:
        # A server that has imported everything forks each process: as real as any other, and there in an instant.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.support.crashing"])
        self._ear, mouth = context.Pipe(duplex=False)
        self._process = context.Process(target=_live, args=(work, mouth), daemon=True)
        self._process.start()
        mouth.close()

    def says(self, word: str) -> None:
        """Wait until it says this: `here` where it stops, `done` at its end."""
        assert self._ear.poll(_PATIENCE_SECONDS), f"it did not say {word!r}"
        assert self._ear.recv() == word

    def send(self, number: signal.Signals) -> None:
        """Send a signal; no harm if it has ended."""
        assert self._process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def ended(self) -> int:
        """Wait for its end: the exit code, negative for a signal."""
        self._process.join(_PATIENCE_SECONDS)
        assert self._process.exitcode is not None, "it did not end"
        return self._process.exitcode

    @property
    def is_alive(self) -> bool:
        """Does it still run?"""
        return self._process.is_alive()

    def kill(self) -> None:
        """Kill it, as a power cut would; no harm if it has ended."""
        self._process.kill()
        self._process.join()
        self._ear.close()


@contextmanager
def running(work: Work) -> Iterator[Child]:
    """A process at work, killed when the block ends if it still runs then."""
    child = Child(work)
    try:
        yield child
    finally:
        child.kill()


@contextmanager
def stopped(work: Work) -> Iterator[Child]:
    """A process that has come to where it was to stop; killed there when the block ends."""
    with running(work) as child:
        child.says("here")
        yield child


def _live(work: Work, mouth: Connection) -> None:
    def here() -> None:
        mouth.send("here")
        os.kill(os.getpid(), signal.SIGSTOP)

    inbox.LEASE = work.lease
    if work.stop is not None:
        _stop_at(work.stop, here)
    billing = an_app(work, lambda where: here() if where == work.stop_in else None)
    for each in work.events:
        deliver(billing, each)
    if work.stop_in == "answering":
        here()
    if work.port is not None:
        uvicorn.run(build(billing), port=work.port, log_level="warning")
    elif work.forever:
        mouth.send("up")
        is_clean = billing.worker(threads=2, deliver_changes=work.deliver_changes).run_forever()
        sys.exit(0 if is_clean else 1)
    elif not work.events:
        billing.run_until_idle()
    mouth.send("done")


def _stop_at(stop: Stop, here: Callable[[], None]) -> None:
    pattern = re.compile(stop.statement, re.DOTALL)
    met = threading.local()
    gone = iter([here])

    def stop_once() -> None:
        for each in gone:
            each()

    def before_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if pattern.search(statement):
            met.now = True
            if stop.moment == "before":
                stop_once()

    def after_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if stop.moment == "after" and pattern.search(statement):
            stop_once()

    def at_commit(_connection: Any) -> None:
        if stop.moment == "at commit" and getattr(met, "now", False):
            stop_once()

    def committed(session: Session) -> None:
        # Only the outermost commit is one: a savepoint's has a parent.
        if stop.moment == "committed" and getattr(met, "now", False) and not session.in_nested_transaction():
            stop_once()

    event.listen(Engine, "before_cursor_execute", before_statement)
    event.listen(Engine, "after_cursor_execute", after_statement)
    event.listen(Engine, "commit", at_commit)
    event.listen(Session, "after_commit", committed)

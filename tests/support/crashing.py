"""
Processes that die at an exact step: a real one works, stops where it was told to, says so, and is killed there.

Nothing of paidup is replaced: a process stops in a hook of SQLAlchemy, or in a handler of the app.
"""

from __future__ import annotations

import multiprocessing
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from paidup import Billing, Change, Settings
from tests.support.deliveries import deliver

Moment = Literal["before", "after", "at commit", "committed"]
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Where to stop: before or after a statement that matches, before its transaction's commit, or right after that."""

    moment: Moment
    statement: str


@dataclass(frozen=True, slots=True)
class Work:
    """What a process does: receive events, or work until nothing is left; and where it stops."""

    settings: Mapping[str, Any]
    heard: Path
    events: tuple[dict[str, Any], ...] = ()
    stop: Stop | None = None
    stop_in: str | None = None
    """`inside` or `outside`: the handler that stops once it has done its work. `answering`: when all is received."""
    later: timedelta = timedelta(0)
    """How far its clock is ahead, so that leases of the dead have run out."""


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
        here("outside")

    return billing


@contextmanager
def stopped(work: Work) -> Iterator[None]:
    """Run a process until it stops where it was told to; kill it, as a power cut would, when the block ends."""
    process, ear = _started(work)
    try:
        if work.stop is not None or work.stop_in is not None:
            assert ear.poll(_PATIENCE_SECONDS), "it did not come there"
            assert ear.recv() == "here", "it ended without coming there"
        yield
    finally:
        process.kill()
        process.join()
        ear.close()


def _started(work: Work) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    # A server that has imported everything forks each process: as real as any other, and there in an instant.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.crashing"])
    ear, mouth = context.Pipe(duplex=False)
    process = context.Process(target=_live, args=(work, mouth), daemon=True)
    process.start()
    mouth.close()
    return process, ear


def _live(work: Work, mouth: Connection) -> None:
    def here() -> None:
        mouth.send("here")
        threading.Event().wait()  # for the end

    if work.stop is not None:
        _stop_at(work.stop, here)
    billing = an_app(work, lambda where: here() if where == work.stop_in else None)
    for each in work.events:
        deliver(billing, each)
    if work.stop_in == "answering":
        here()
    if not work.events:
        billing.run_until_idle()
    mouth.send("done")


def _stop_at(stop: Stop, here: Callable[[], None]) -> None:
    pattern = re.compile(stop.statement, re.DOTALL)
    met = threading.local()

    def before_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if pattern.search(statement):
            met.now = True
            if stop.moment == "before":
                here()

    def after_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if stop.moment == "after" and pattern.search(statement):
            here()

    def at_commit(_connection: Any) -> None:
        if stop.moment == "at commit" and getattr(met, "now", False):
            here()

    def committed(session: Session) -> None:
        # Only the outermost commit is one: a savepoint's has a parent.
        if stop.moment == "committed" and getattr(met, "now", False) and not session.in_nested_transaction():
            here()

    event.listen(Engine, "before_cursor_execute", before_statement)
    event.listen(Engine, "after_cursor_execute", after_statement)
    event.listen(Engine, "commit", at_commit)
    event.listen(Session, "after_commit", committed)

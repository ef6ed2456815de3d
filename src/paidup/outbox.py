"""
The outbox: changes, from the transaction that found them to the app's handlers.

A change is stored once, in the same transaction as the rows it describes, with the names of the handlers that have had
it. In-transaction handlers run right there, each in a savepoint: their writes are committed together with the note
that they had the change, exactly once. One that raises is undone alone; the rows are stored all the same, and it is
called again in a later transaction, before anything later of the same owner. Handlers after the commit run in the
workers, at least once each and in the order of the changes of an owner; `Change.id` stays the same, so that one that
must not act twice can tell.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, case, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from paidup import metrics
from paidup.core.changes import ALARMING, Change
from paidup.database.arrivals import CHANNEL
from paidup.database.engine import Database
from paidup.database.notify import announce
from paidup.database.store import insert
from paidup.database.tables import StoredChange
from paidup.errors import DatabaseUnavailable
from paidup.handlers import Handlers

logger = logging.getLogger("paidup")

LEASE = timedelta(minutes=5)
"""How long a change stays with a worker that doesn't answer; a running handler's is renewed."""
_BACKOFF_BASE = timedelta(seconds=2)
_BACKOFF_CAP = timedelta(hours=6)


@dataclass(slots=True)
class Taken:
    """A change in the hands of this worker; `attempts` is the fence: who takes it over has another number."""

    number: int
    change: Change
    attempts: int
    handled: list[str] = field(default_factory=list)
    error: Exception | None = None
    is_done: bool = False

    def __str__(self) -> str:
        """For the log."""
        return f"attempt {self.attempts} to hand out change {self.change.id}"


def put(session: Session, changes: Iterable[Change], handlers: Handlers, *, now: datetime) -> int:
    """
    Store changes that are new, run their in-transaction handlers, and return how many were new.

    The same change found again, by another worker or a later synchronisation, is not stored twice.
    """
    new = [row for change in changes if (row := _insert(session, change, now)) is not None]
    if new:
        announce(session, CHANNEL)
    waiting = {owner for owner in {row.owner for row in new} if _is_unfinished(session, owner, new[0].number, handlers)}
    for row in new:
        if row.kind in ALARMING:
            subject = row.subscription or row.invoice or "it"
            logger.warning("%s: somebody should look at %s of %s", row.kind, subject, row.customer)
        if row.owner in waiting:
            continue  # something earlier of this owner comes first; the workers go on from there
        error = _run_inside(session, row, handlers)
        if error is not None:
            logger.error("in-transaction handler of change %s failed; it is called again later", row.id, exc_info=error)
            waiting.add(row.owner)
            row.attempts = 1
            _note_failure(row, error, handlers, now)
    session.flush()
    return len(new)


def _insert(session: Session, change: Change, now: datetime) -> StoredChange | None:
    statement = insert(session, StoredChange).values(
        id=change.id,
        kind=change.kind,
        owner=change.owner,
        customer=change.customer,
        subscription=change.subscription,
        invoice=change.invoice,
        data=dict(change.data),
        created=change.created,
        state="pending",
        handled=[],
        attempts=0,
        available_at=now,
    )
    return session.scalars(statement.on_conflict_do_nothing(index_elements=["id"]).returning(StoredChange)).first()


def _is_unfinished(session: Session, owner: str, before: int, handlers: Handlers) -> bool:
    """Does an in-transaction handler still have to have an earlier change of this owner?"""
    if not handlers.has_inside:
        return False
    earlier = session.execute(
        select(StoredChange.kind, StoredChange.handled).where(
            StoredChange.owner == owner, StoredChange.state == "pending", StoredChange.number < before
        )
    )
    return any(handlers.of(each.kind, in_transaction=True, handled=each.handled) for each in earlier)


def _run_inside(session: Session, row: StoredChange, handlers: Handlers) -> Exception | None:
    """
    Run the in-transaction handlers that have not had the change; what the first one that raised raised.

    Each has a savepoint and a session of its own on this transaction, which its own commit and rollback can't end.
    """
    change = _as_change(row)
    for handler in handlers.of(row.kind, in_transaction=True, handled=row.handled):
        session.flush()
        connection = session.connection()
        try:
            with (
                connection.begin_nested(),
                Session(connection, join_transaction_mode="create_savepoint") as own,
            ):
                handler(change, own)
                own.commit()
        except Exception as error:
            if connection.invalidated:
                raise  # not the handler's failure: the database is away
            return error
        row.handled = [*row.handled, handler.name]
    return None


def deliver_next(database: Database, handlers: Handlers, *, now: Callable[[], datetime]) -> bool:
    """
    Hand the next waiting change to its handlers. False when none is due.

    No transaction is open while handlers after the commit run. A handler that raises has its change tried again later;
    other owners' changes are not held up.
    """
    taken = take_next(database, handlers, now=now)
    if taken is not None:
        hand_out(database, taken, handlers, now=now)
    return taken is not None


def take_next(database: Database, handlers: Handlers, *, now: Callable[[], datetime]) -> Taken | None:
    """The first half: lease the next waiting change; None when none is due."""
    with database.read() as session:
        if session.scalars(_due(now()).with_only_columns(StoredChange.number)).first() is None:
            return None
    return database.run(lambda session: _take(session, handlers, now()))


def hand_out(database: Database, taken: Taken, handlers: Handlers, *, now: Callable[[], datetime]) -> None:
    """The other half: let the handlers that come after the commit have it, and settle it."""
    if taken.error is None and not taken.is_done:
        with _renewed(database, taken, now):
            _run_outside(database, taken, handlers)
        _settle(database, taken, handlers, now())
    elif taken.error is not None:
        logger.error("%s failed", taken, exc_info=taken.error)
    metrics.changes.labels(taken.change.kind, "failed" if taken.error else "done").inc()


def next_due(session: Session) -> datetime | None:
    """When the next change may be handed out; in the past when one is waiting, None when none is."""
    due = case(
        (StoredChange.lease_until > StoredChange.available_at, StoredChange.lease_until),
        else_=StoredChange.available_at,
    )
    return session.scalars(_first_of_each_owner().with_only_columns(due).order_by(due).limit(1)).first()


def retry(session: Session, change_id: str | None, *, now: datetime) -> int:
    """Hand a change that was given up to its handlers again, or (None) all that were; how many that is."""
    given_up = StoredChange.state == "failed"
    result = session.execute(
        update(StoredChange)
        .where(given_up if change_id is None else and_(given_up, StoredChange.id == change_id))
        .values(state="pending", attempts=0, available_at=now)
        .execution_options(synchronize_session=False)
    )
    announce(session, CHANNEL)
    return result.rowcount if isinstance(result, CursorResult) else 0


def _take(session: Session, handlers: Handlers, now: datetime) -> Taken | None:
    """Lease the next change, and let in-transaction handlers have it that could not have it before."""
    row = session.scalars(_due(now).with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    row.attempts += 1
    error = _run_inside(session, row, handlers)
    is_done = error is None and not handlers.of(row.kind, in_transaction=False, handled=row.handled)
    if error is not None:
        _note_failure(row, error, handlers, now)
    elif is_done:
        row.state, row.last_error, row.lease_until = "done", None, None
    else:
        row.lease_until = now + LEASE
    return Taken(row.number, _as_change(row), row.attempts, list(row.handled), error, is_done)


def _run_outside(database: Database, taken: Taken, handlers: Handlers) -> None:
    """Run what comes after the commit; who has had the change is noted before the next handler begins."""
    todo = handlers.of(taken.change.kind, in_transaction=False, handled=taken.handled)
    for handler in todo:
        try:
            handler(taken.change)
        except Exception as error:  # whatever the app's code raises is kept on the row and tried again
            logger.exception("%s failed", taken)
            taken.error = error
            return
        taken.handled.append(handler.name)
        if handler is not todo[-1]:
            _update(database, taken, {"handled": taken.handled})


def _settle(database: Database, taken: Taken, handlers: Handlers, now: datetime) -> None:
    values: dict[str, Any] = {"lease_until": None, "handled": taken.handled}
    if taken.error is None:
        values |= {"state": "done", "last_error": None}
    else:
        values |= _failure(taken.error, taken.attempts, handlers, now)
    if not _update(database, taken, values):
        logger.warning("change %s took longer than its lease; another worker has it", taken.change.id)


def _update(database: Database, taken: Taken, values: dict[str, Any]) -> bool:
    statement = (
        update(StoredChange)
        .where(
            StoredChange.number == taken.number,
            StoredChange.attempts == taken.attempts,
            StoredChange.state == "pending",
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    result = database.run(lambda session: session.execute(statement))
    return isinstance(result, CursorResult) and result.rowcount == 1


@contextmanager
def _renewed(database: Database, taken: Taken, now: Callable[[], datetime]) -> Iterator[None]:
    """Keep the lease for as long as a handler runs, so that a slow one is not called twice at once."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE.total_seconds() / 3):
            try:
                _update(database, taken, {"lease_until": now() + LEASE})
            except DatabaseUnavailable as error:
                logger.warning("the lease of change %s could not be renewed: %s", taken.change.id, error)

    thread = threading.Thread(target=renew, name="paidup-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _due(now: datetime) -> Select[StoredChange]:
    return (
        _first_of_each_owner()
        .where(
            StoredChange.available_at <= now,
            or_(StoredChange.lease_until.is_(None), StoredChange.lease_until < now),
        )
        .order_by(StoredChange.number)
        .limit(1)
    )


def _first_of_each_owner() -> Select[StoredChange]:
    """What waits and has nothing before it: an owner's changes go out one after the other."""
    earlier = aliased(StoredChange)
    blocked = (
        select(earlier.number)
        .where(earlier.owner == StoredChange.owner, earlier.state == "pending", earlier.number < StoredChange.number)
        .exists()
    )
    return select(StoredChange).where(StoredChange.state == "pending", ~blocked)


def _note_failure(row: StoredChange, error: Exception, handlers: Handlers, now: datetime) -> None:
    for name, value in _failure(error, row.attempts, handlers, now).items():
        setattr(row, name, value)


def _failure(error: Exception, attempts: int, handlers: Handlers, now: datetime) -> dict[str, Any]:
    wait = min(_BACKOFF_BASE * (1 << min(attempts - 1, 20)), _BACKOFF_CAP) * random.uniform(0.5, 1.0)
    state = "failed" if attempts >= handlers.attempts else "pending"
    return {"state": state, "last_error": f"{type(error).__name__}: {error}", "available_at": now + wait}


def _as_change(row: StoredChange) -> Change:
    return Change(
        id=row.id,
        kind=row.kind,
        owner=row.owner,
        customer=row.customer,
        subscription=row.subscription,
        invoice=row.invoice,
        data=row.data,
        created=row.created,
    )

"""
The outbox: changes, from the transaction that found them to the app's handlers.

A change is stored once, in the same transaction as the rows it describes. In-transaction handlers run right there and
share its fate: if one raises, the synchronisation is rolled back and tried again. Handlers after the commit run in the
worker, at least once each and in the order of the changes of an owner; `Change.id` stays the same, so a handler that
must not act twice can tell.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, aliased

from paidup.core.changes import ALARMING, KINDS, Change
from paidup.database.engine import Database
from paidup.database.store import insert
from paidup.database.tables import StoredChange

logger = logging.getLogger("paidup")

Handler = Callable[..., Any]

MAX_ATTEMPTS = 12
_LEASE = timedelta(minutes=5)
_BACKOFF_BASE = timedelta(seconds=2)
_BACKOFF_CAP = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class _Registration:
    kind: str | None
    handler: Handler
    in_transaction: bool


class Handlers:
    """The app's handlers, by kind of change."""

    def __init__(self) -> None:
        self._registered: list[_Registration] = []

    def add(self, handler: Handler, *, kind: str | None, in_transaction: bool) -> None:
        """Register a handler; None is every kind. Raises ValueError for a kind that does not exist."""
        if kind is not None and kind not in KINDS:
            raise ValueError(f"unknown change {kind!r}; there are: {', '.join(sorted(KINDS))}")
        if in_transaction and inspect.iscoroutinefunction(handler):
            raise ValueError("an in-transaction handler cannot be async: the transaction is synchronous")
        self._registered.append(_Registration(kind, handler, in_transaction))

    def inside(self, change: Change, session: Session) -> None:
        """Run the in-transaction handlers."""
        for each in self._of(change, in_transaction=True):
            each(change, session)

    def outside(self, change: Change) -> None:
        """Run the handlers that come after the commit; `async def` ones in a loop of their own."""
        for each in self._of(change, in_transaction=False):
            result = each(change)
            if inspect.isawaitable(result):
                asyncio.run(_awaited(result))

    def _of(self, change: Change, *, in_transaction: bool) -> Iterable[Handler]:
        for each in self._registered:
            if each.in_transaction is in_transaction and each.kind in (None, change.kind):
                yield each.handler


async def _awaited(result: Any) -> None:
    await result


def put(session: Session, changes: Iterable[Change], handlers: Handlers, *, now: datetime) -> int:
    """
    Store changes that are new, run their in-transaction handlers, and return how many were new.

    The same change found again, by another worker or a later synchronisation, is not stored twice.
    """
    count = 0
    for change in changes:
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
            attempts=0,
            available_at=now,
        )
        stored = session.execute(
            statement.on_conflict_do_nothing(index_elements=["id"]).returning(StoredChange.number)
        ).first()
        if stored is not None:
            count += 1
            if change.kind in ALARMING:
                logger.warning(
                    "%s: somebody should look at %s of %s", change.kind, change.subscription, change.customer
                )
            handlers.inside(change, session)
    return count


def deliver_next(database: Database, handlers: Handlers, *, now: Callable[[], datetime]) -> bool:
    """
    Hand the next waiting change to its handlers. False when none is due.

    No transaction is open while handlers run. A handler that raises has its change tried again later; other owners'
    changes are not held up.
    """
    with database.read() as session:
        if session.scalars(_due(now()).with_only_columns(StoredChange.number)).first() is None:
            return False
    with database.write() as session:
        row = session.scalars(_due(now()).with_for_update(skip_locked=True)).first()
        if row is None:
            return False
        row.lease_until = now() + _LEASE
        row.attempts += 1
        number, change, attempts = row.number, _as_change(row), row.attempts
    try:
        handlers.outside(change)
    except Exception as error:  # whatever the app's code raises is kept on the row and tried again
        logger.exception("handler of change %s failed (attempt %d)", change.id, attempts)
        _settle(database, number, _failed(error, attempts, now()))
    else:
        _settle(database, number, {"state": "done", "last_error": None})
    return True


def _due(now: datetime) -> Any:
    earlier = aliased(StoredChange)
    blocked = (
        select(earlier.number)
        .where(earlier.owner == StoredChange.owner, earlier.state == "pending", earlier.number < StoredChange.number)
        .exists()
    )
    return (
        select(StoredChange)
        .where(
            StoredChange.state == "pending",
            StoredChange.available_at <= now,
            or_(StoredChange.lease_until.is_(None), StoredChange.lease_until < now),
            ~blocked,
        )
        .order_by(StoredChange.number)
        .limit(1)
    )


def _failed(error: Exception, attempts: int, now: datetime) -> dict[str, Any]:
    wait = min(_BACKOFF_BASE * (1 << (attempts - 1)), _BACKOFF_CAP) * random.uniform(0.5, 1.0)
    state = "failed" if attempts >= MAX_ATTEMPTS else "pending"
    return {"state": state, "last_error": f"{type(error).__name__}: {error}", "available_at": now + wait}


def _settle(database: Database, number: int, values: dict[str, Any]) -> None:
    with database.write() as session:
        session.execute(update(StoredChange).where(StoredChange.number == number).values(lease_until=None, **values))


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

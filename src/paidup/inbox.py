"""
The inbox: events in, targets out, and who works on which.

A webhook is answered only after `accept` is committed. From then on the event is ours to process: its target is dirty
until a synchronisation that began after it has been applied. Workers take targets by lease; one that loses its lease
changes nothing. All functions take a session and never commit.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from paidup.core.event import Event
from paidup.core.targets import Route
from paidup.database import arrivals
from paidup.database.tables import StoredEvent, SyncTarget

LEASE = timedelta(seconds=60)
"""How long a worker may take; longer than every timeout of the calls it makes."""
LEAD = timedelta(milliseconds=150)
"""How long the first event waits for those of the same moment: a dozen of a sign-up are one look at Stripe."""
DEBOUNCE = timedelta(milliseconds=400)
"""How long after a synchronisation the same target waits for the rest of its burst."""
_DEBOUNCE_CAP = timedelta(seconds=10)
_STORM = 5
"""More events than this in one synchronisation make the next one wait longer."""
MAX_ATTEMPTS = 16
"""Attempts before giving up, unless the settings say otherwise: about eleven hours with the backoff below."""
_BACKOFF_BASE = timedelta(seconds=2)
_BACKOFF_CAP = timedelta(hours=6)
FROM_API = -1
"""In place of the secret that matched: Stripe's API gave this event out, nobody signed it."""


class LeaseLost(Exception):
    """Another worker took the target over; whatever this one did must be rolled back."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What became of a delivery: `pending` (stored, will be processed), `ignored` (stored, with the reason) or
    `duplicate` (we already have it).
    """

    event_id: str
    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on one target, with the events that asked for it."""

    target: str
    requested: int
    token: str
    attempts: int
    event_ids: tuple[str, ...]
    event_types: frozenset[str]
    newest_event: datetime | None
    """Stripe's time of the newest of those events."""
    is_asked_for: bool
    """Was it requested by more than its events? Then all of it is fetched, whatever the events were about."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    An event to store: where it leads, its body, and which secret matched its signature.

    FROM_API instead of a secret marks one that was fetched, not delivered: it counts as no delivery.
    """

    event: Event
    route: Route
    payload: str
    secret: int
    received_at: datetime


def accept(session: Session, deliveries: Sequence[Delivery]) -> list[Receipt]:
    """
    Store events and mark their targets dirty, all of it or nothing; a receipt for each delivery, in order.

    A repeated delivery changes nothing, unless we had given up on the event: then it starts again. Rows are taken in
    one order everywhere, events before targets, so that processes that store at once can't block each other for good.
    """
    new = store(session.connection(), deliveries)
    count_repeats(session, deliveries, new)
    return receipts(deliveries, new)


def store(connection: Connection, deliveries: Sequence[Delivery]) -> set[str]:
    """The first half of `accept`, for a connection that commits each statement: store new events; their ids."""
    first = {each.event.id: each for each in reversed(deliveries)}
    rows = [_row(first[id]) for id in sorted(first)]
    now = max(each.received_at for each in deliveries)
    return arrivals.store_events(connection, rows, now=now, lead=LEAD)


def count_repeats(session: Session, deliveries: Sequence[Delivery], new: Collection[str]) -> None:
    """The other half, where some were there already: count them, and start again what we had given up on."""
    repeats = Counter(each.event.id for each in deliveries if each.secret != FROM_API)
    repeats.subtract(new)
    repeats = +repeats
    if not repeats:
        return
    again = _failed_before(session, [id for id in repeats if id not in new])
    if again:
        asked = Counter(str(row.target) for row in again)
        now = max(each.received_at for each in deliveries)
        arrivals.ask(session.connection(), asked, now=now, lead=LEAD)
    for row in again:
        _start_again(row)
    session.flush()
    _count(session, repeats)


def receipts(deliveries: Sequence[Delivery], new: Collection[str]) -> list[Receipt]:
    """What to answer to each delivery: the first of a new event is told what became of it, any other is a repeat."""
    answered: set[str] = set()
    return [_receipt(each, is_new=each.event.id in new, answered=answered) for each in deliveries]


def _row(delivery: Delivery) -> dict[str, Any]:
    event, route = delivery.event, delivery.route
    return {
        "id": event.id,
        "type": event.type,
        "api_version": event.api_version,
        "account": event.account,
        "livemode": event.livemode,
        "target": route.target,
        "payload": delivery.payload,
        "state": "ignored" if route.ignored else "pending",
        "reason": route.ignored or route.noted,
        "secret": delivery.secret,
        "deliveries": 0 if delivery.secret == FROM_API else 1,
        "created": event.created,
        "received_at": delivery.received_at,
        "processed_at": delivery.received_at if route.ignored else None,
    }


def _failed_before(session: Session, ids: Sequence[str]) -> list[StoredEvent]:
    if not ids:
        return []
    return list(
        session.scalars(
            select(StoredEvent)
            .where(StoredEvent.id.in_(ids), StoredEvent.state == "failed", StoredEvent.target.is_not(None))
            .order_by(StoredEvent.id)
        )
    )


def _count(session: Session, repeats: Mapping[str, int]) -> None:
    for id in sorted(repeats):
        session.execute(
            update(StoredEvent)
            .where(StoredEvent.id == id)
            .values(deliveries=StoredEvent.deliveries + repeats[id])
            .execution_options(synchronize_session=False)
        )


def _receipt(delivery: Delivery, *, is_new: bool, answered: set[str]) -> Receipt:
    id = delivery.event.id
    if not is_new or id in answered:
        return Receipt(id, "duplicate")
    answered.add(id)
    ignored = delivery.route.ignored
    return Receipt(id, "ignored", ignored) if ignored else Receipt(id, "pending")


def replay(session: Session, event_id: str, *, now: datetime, only_failed: bool = False) -> bool:
    """Process an event again. False when there is no such event, or nothing to do for it."""
    row = session.get(StoredEvent, event_id)
    if row is None or row.target is None or (only_failed and row.state != "failed"):
        return False
    # First the target, then the event: the order in which `claim` and `finish` lock them.
    request(session, row.target, now=now)
    _start_again(row)
    session.flush()
    return True


def replay_some(
    session: Session, *, conditions: Sequence[ColumnElement[bool]], after: str, now: datetime, most: int = 500
) -> tuple[int, str | None]:
    """
    Process events again that name something: the next ones of those meant, in order of id; how many.

    Also the id to go on after, None when there are no more.
    """
    rows = session.execute(
        select(StoredEvent.id, StoredEvent.target)
        .where(*conditions, StoredEvent.target.is_not(None), StoredEvent.id > after)
        .order_by(StoredEvent.id)
        .limit(most)
    ).all()
    if rows:
        arrivals.ask(session.connection(), Counter(str(row.target) for row in rows), now=now, lead=LEAD)
        session.execute(
            update(StoredEvent)
            .where(StoredEvent.id.in_(_locked([row.id for row in rows])))
            .values(state="pending", error=None, reason=None, processed_at=None)
            .execution_options(synchronize_session=False)
        )
    return len(rows), rows[-1].id if len(rows) == most else None


def retry_given_up(session: Session, *, now: datetime) -> int:
    """Start every target again that was given up on, with its failed events; how many that is."""
    given_up = select(SyncTarget.target).where(SyncTarget.gave_up_at.is_not(None))
    targets = list(session.scalars(given_up.order_by(SyncTarget.target).with_for_update()))
    for target in targets:
        request(session, target, now=now)
        failed = (StoredEvent.target == target, StoredEvent.state == "failed")
        session.execute(
            update(StoredEvent)
            .where(*failed)
            .values(state="pending", error=None, reason=None, processed_at=None)
            .execution_options(synchronize_session=False)
        )
    return len(targets)


def _start_again(row: StoredEvent) -> None:
    if row.state == "ignored":
        row.reason = None
    row.state, row.error, row.processed_at = "pending", None, None


def request(session: Session, target: str, *, now: datetime) -> int:
    """
    Mark a target dirty, and return the number a synchronisation has to reach to cover this request.

    The first request after a quiet time is due at once, or nearly; the rest of a burst after a short debounce.
    """
    arrivals.ask(session.connection(), {target: 1}, now=now, lead=LEAD)
    return session.scalars(select(SyncTarget.requested).where(SyncTarget.target == target)).one()


def next_due(session: Session) -> datetime | None:
    """When the next dirty target becomes available; in the past when one is waiting, None when all is clean."""
    return session.scalars(
        select(
            case(
                (SyncTarget.lease_until > SyncTarget.available_at, SyncTarget.lease_until),
                else_=SyncTarget.available_at,
            ).label("due")
        )
        .where(SyncTarget.applied < SyncTarget.requested, SyncTarget.gave_up_at.is_(None))
        .order_by("due")
        .limit(1)
    ).first()


def is_dirty(session: Session, target: str) -> bool:
    """Is there something left to do about a target, whether or not it was given up?"""
    row = session.get(SyncTarget, target)
    return row is not None and row.applied < row.requested


def applied(session: Session, target: str) -> int:
    """Up to which request a target is in step."""
    return session.scalars(select(SyncTarget.applied).where(SyncTarget.target == target)).one()


def claim(session: Session, *, now: datetime, target: str | None = None, hurried: bool = False) -> Claim | None:
    """
    Take the lease of one dirty, available target; of this one, available or not, when `target` is given.

    `hurried` doesn't wait for the rest of a burst, only for what failed before. None when there is nothing to take. Two
    workers never get the same target while the lease lasts.
    """
    conditions = [
        SyncTarget.applied < SyncTarget.requested,
        or_(SyncTarget.lease_until.is_(None), SyncTarget.lease_until < now),
    ]
    if target is not None:
        conditions.append(SyncTarget.target == target)
    else:
        is_due = SyncTarget.available_at <= now
        conditions += [
            or_(is_due, SyncTarget.last_error.is_(None)) if hurried else is_due,
            SyncTarget.gave_up_at.is_(None),
        ]
    row = session.scalars(
        select(SyncTarget)
        .where(*conditions)
        .order_by(SyncTarget.available_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if row is None:
        return None
    row.lease_token = uuid.uuid4().hex
    row.lease_until = now + LEASE
    session.flush()
    # The row is locked: whoever stores another event for this target waits, so these are exactly those it counts.
    pending = session.execute(
        select(StoredEvent.id, StoredEvent.type, StoredEvent.created).where(
            StoredEvent.target == row.target, StoredEvent.state == "pending"
        )
    ).all()
    return Claim(
        target=row.target,
        requested=row.requested,
        token=row.lease_token,
        attempts=row.attempts,
        event_ids=tuple(each.id for each in pending),
        event_types=frozenset(each.type for each in pending),
        newest_event=max((each.created for each in pending if each.created), default=None),
        is_asked_for=row.requested - row.applied > len(pending),
    )


def finish(session: Session, taken: Claim, *, now: datetime, ignored: str | None = None) -> None:
    """
    Record that a target is applied up to what was requested when it was claimed, and give the lease back.

    `ignored` marks its events as not ours, with the reason. Raises LeaseLost, which must roll the transaction back.
    """
    _release(
        session,
        taken,
        applied=taken.requested,
        applied_at=now,
        attempts=0,
        last_error=None,
        gave_up_at=None,
        available_at=now + _debounce(len(taken.event_ids)),
    )
    outcome = {"state": "ignored", "reason": ignored} if ignored else {"state": "done"}
    _mark(session, taken, **outcome, error=None, processed_at=now)


def retry(
    session: Session,
    taken: Claim,
    *,
    error: str,
    now: datetime,
    wait: timedelta | None = None,
    most: int = MAX_ATTEMPTS,
) -> bool:
    """
    Record a failed attempt and when to try again; after the last one (of `most`), give up. True when given up.

    `wait` is for failures that are nobody's fault (rate limits): it sets the pause and counts as no attempt.
    """
    attempts = taken.attempts + (0 if wait else 1)
    gave_up = attempts >= most
    _release(
        session,
        taken,
        attempts=attempts,
        last_error=error,
        available_at=now + (wait or _backoff(attempts)),
        gave_up_at=now if gave_up else None,
    )
    if gave_up:
        _mark(session, taken, state="failed", error=error, processed_at=now)
    return gave_up


def give_back(session: Session, taken: Claim) -> bool:
    """End a lease early, for whoever wants the target next. False when it was lost already."""
    try:
        _release(session, taken)
    except LeaseLost:
        return False
    return True


def forget(session: Session, *, before: datetime, most: int = 1000) -> int:
    """
    Delete events that were done with, or ignored, before a time, at most so many; how many.

    What waits or failed stays, however old.
    """
    old = (
        select(StoredEvent.id)
        .where(StoredEvent.state.in_(("done", "ignored")), StoredEvent.received_at < before)
        .order_by(StoredEvent.received_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    result = session.execute(
        delete(StoredEvent).where(StoredEvent.id.in_(old)).execution_options(synchronize_session=False)
    )
    return result.rowcount if isinstance(result, CursorResult) else 0


def _release(session: Session, taken: Claim, **values: Any) -> None:
    result = session.execute(
        update(SyncTarget)
        .where(SyncTarget.target == taken.target, SyncTarget.lease_token == taken.token)
        .values(lease_token=None, lease_until=None, **values)
        .execution_options(synchronize_session=False)
    )
    if not isinstance(result, CursorResult) or result.rowcount != 1:
        raise LeaseLost(taken.target)


def _mark(session: Session, taken: Claim, **values: Any) -> None:
    ids = sorted(taken.event_ids)
    for start in range(0, len(ids), 500):
        session.execute(
            update(StoredEvent)
            .where(StoredEvent.id.in_(_locked(ids[start : start + 500])))
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def _locked(event_ids: Sequence[str]) -> Any:
    """In order of id, as `count_repeats` takes what is delivered again meanwhile, so that neither blocks the other."""
    return select(StoredEvent.id).where(StoredEvent.id.in_(event_ids)).order_by(StoredEvent.id).with_for_update()


def _debounce(events: int) -> timedelta:
    """The more came at once, the longer the next look may wait: a storm for one customer costs a handful of calls."""
    return min(DEBOUNCE * max(1.0, events / _STORM), _DEBOUNCE_CAP)


def _backoff(attempts: int) -> timedelta:
    """Exponential, with jitter between half and all of it, so that what failed together is not retried together."""
    full = min(_BACKOFF_BASE * (1 << min(attempts - 1, 20)), _BACKOFF_CAP)
    return full * random.uniform(0.5, 1.0)

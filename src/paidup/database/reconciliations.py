"""
Runs of reconciliation in the database: begun by one runner, gone on with by the next, done after the last page only.

Functions take a session and never commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from paidup.core.differences import Difference
from paidup.core.reconciliation import Reconciliation
from paidup.database import store
from paidup.database.tables import FoundDifference, StoredEvent
from paidup.database.tables import ReconciliationRun as Run

LEASE = timedelta(minutes=3)
"""How long a runner may take for a page before another one may take over; it renews its lease with each."""
RESUMABLE = timedelta(days=1)
"""A run that began longer ago is not gone on with: what it read is old."""
KEPT = 10
"""How many runs are kept, with their differences."""
SHOWN = 1_000
"""How many differences a report carries, at most; its counts are of all."""

Counts = dict[str, Any]


class RunLost(Exception):
    """Another runner took the run over; whatever this one was about to write must be rolled back."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A run that is ours until its lease runs out: how far it was, and what it had counted."""

    id: str
    token: str
    started_at: datetime
    is_new: bool
    cursors: Mapping[str, Any]
    counts: Counts


def latest(session: Session, *, livemode: bool, state: str | None = None, fix: bool | None = None) -> Run | None:
    """The newest run of a mode; of a state, or of those that mend, if that is asked for."""
    query = select(Run).where(Run.livemode.is_(livemode))
    if state is not None:
        query = query.where(Run.state == state)
    if fix is not None:
        query = query.where(Run.fix.is_(fix))
    newest_first = query.order_by(Run.started_at.desc(), Run.id)
    return session.scalars(newest_first.limit(1)).first()


def begin(session: Session, *, livemode: bool, fix: bool, adopts: bool, now: datetime) -> Lease | None:
    """
    Take a run's lease: that of the last one if it was cut short and was of the same kind, else a new one.

    None while another runner is at it.
    """
    session.scalars(select(Run.id).where(Run.livemode.is_(livemode), Run.state == "running").with_for_update()).all()
    last = latest(session, livemode=livemode)
    if last is not None and last.state == "running" and last.lease_until is not None and last.lease_until >= now:
        return None
    token = uuid.uuid4().hex
    if last is not None and last.state in ("running", "failed"):
        if (last.fix, last.adopts) == (fix, adopts) and last.started_at > now - RESUMABLE:
            last.state, last.error, last.finished_at = "running", None, None
            last.lease_token, last.lease_until = token, now + LEASE
            session.flush()
            return Lease(last.id, token, last.started_at, False, dict(last.cursors), dict(last.counts))
        last.state, last.lease_token, last.lease_until = "failed", None, None
        last.error = last.error or "its runner went away"
        session.flush()
    id = uuid.uuid4().hex
    values = {"id": id, "livemode": livemode, "fix": fix, "adopts": adopts, "state": "running", "started_at": now}
    values |= {"lease_token": token, "lease_until": now + LEASE, "cursors": {}, "counts": {}}
    # Whoever begins at the same moment meets the index that allows one running row.
    made = session.execute(store.insert(session, Run).values(values).on_conflict_do_nothing().returning(Run.id)).first()
    return Lease(id, token, now, True, {}, {}) if made is not None else None


def advance(session: Session, lease: Lease, *, cursors: Mapping[str, Any], counts: Counts, now: datetime) -> None:
    """Note how far the run is, and renew its lease. Raises RunLost, which must roll the transaction back."""
    _update(session, lease, cursors=dict(cursors), counts=counts, lease_until=now + LEASE)


def finish(session: Session, lease: Lease, *, now: datetime) -> None:
    """The last page is done. Older runs than the last ten are forgotten. Raises RunLost."""
    _update(session, lease, state="done", finished_at=now, lease_token=None, lease_until=None)
    mode = select(Run.livemode).where(Run.id == lease.id).scalar_subquery()
    old = session.scalars(
        select(Run.id).where(Run.livemode == mode, Run.state != "running").order_by(Run.started_at.desc()).offset(KEPT)
    ).all()
    if old:
        session.execute(delete(FoundDifference).where(FoundDifference.run_id.in_(old)))
        session.execute(delete(Run).where(Run.id.in_(old)))


def fail(session: Session, lease: Lease, *, error: str, now: datetime) -> None:
    """Note why the run stopped; the next one of its kind goes on where it was. Raises RunLost."""
    _update(session, lease, state="failed", error=error, finished_at=now, lease_token=None, lease_until=None)


def release(session: Session, lease: Lease) -> None:
    """Let the next runner go on at once. Raises RunLost."""
    _update(session, lease, lease_token=None, lease_until=None)


def record(session: Session, lease: Lease, found: Iterable[Difference], *, now: datetime) -> None:
    """Store differences; one that is stored already stays as it is."""
    rows = [
        {
            "run_id": lease.id,
            "kind": each.kind,
            "object_id": each.object,
            "customer_id": each.customer,
            "field": each.field[:255],
            "ours": each.ours,
            "theirs": each.theirs,
            "amount": each.amount,
            "currency": each.currency,
            "state": each.state,
            "reason": each.reason,
            "found_at": now,
        }
        for each in found
    ]
    for start in range(0, len(rows), 200):
        session.execute(
            store.insert(session, FoundDifference).values(rows[start : start + 200]).on_conflict_do_nothing()
        )


def drop_overtaken(session: Session, lease: Lease) -> int:
    """
    Forget differences of customers of whom an event came in after they were looked at: it was on its way all the time.

    How many customers these are.
    """
    on_its_way = (
        select(StoredEvent.id)
        .where(
            or_(
                StoredEvent.target == "customer:" + FoundDifference.customer_id,
                StoredEvent.target == FoundDifference.kind + ":" + FoundDifference.object_id,
            ),
            StoredEvent.received_at >= FoundDifference.found_at,
        )
        .exists()
    )
    overtaken = (FoundDifference.run_id == lease.id, FoundDifference.state == "found", on_its_way)
    count = session.scalars(select(func.count(FoundDifference.customer_id.distinct())).where(*overtaken)).one()
    if count:
        session.execute(delete(FoundDifference).where(*overtaken).execution_options(synchronize_session=False))
    return count


def to_mend(session: Session, lease: Lease, *, most: int) -> list[str]:
    """Targets whose differences are found and not dealt with yet."""
    rows = session.execute(
        select(FoundDifference.kind, FoundDifference.object_id, FoundDifference.customer_id)
        .where(FoundDifference.run_id == lease.id, FoundDifference.state == "found", FoundDifference.reason.is_(None))
        .order_by(FoundDifference.number)
        .limit(most)
    )
    found = (
        f"{kind}:{object_id}" if customer is None else f"customer:{customer}" for kind, object_id, customer in rows
    )
    return list(dict.fromkeys(found))


def settle(session: Session, lease: Lease, target: str, *, state: str, reason: str | None = None) -> None:
    """Note what became of a target's found differences."""
    kind, _, object_id = target.partition(":")
    whose = (
        (FoundDifference.customer_id == object_id,)
        if kind == "customer"
        else (FoundDifference.kind == kind, FoundDifference.object_id == object_id)
    )
    session.execute(
        update(FoundDifference)
        .where(FoundDifference.run_id == lease.id, FoundDifference.state == "found", *whose)
        .values(state=state, reason=reason)
        .execution_options(synchronize_session=False)
    )


def report(session: Session, run: Run, *, shown: int = SHOWN) -> Reconciliation:
    """What a run found."""
    mine = FoundDifference.run_id == run.id
    rows = session.scalars(select(FoundDifference).where(mine).order_by(FoundDifference.number).limit(shown))
    grouped = select(FoundDifference.state, func.count()).where(mine).group_by(FoundDifference.state)
    states: dict[str, int] = {row[0]: row[1] for row in session.execute(grouped)}
    money: dict[bool, dict[str, int]] = {True: {}, False: {}}
    sums = select(FoundDifference.state, FoundDifference.currency, func.sum(FoundDifference.amount))
    for state, currency, amount in session.execute(
        sums.where(mine, FoundDifference.amount != 0, FoundDifference.currency.is_not(None))
        .group_by(FoundDifference.state, FoundDifference.currency)
        .order_by(FoundDifference.currency)
    ):
        kept = money[state == "fixed"]
        kept[str(currency)] = kept.get(str(currency), 0) + int(amount)
    counts = run.counts
    return Reconciliation(
        id=run.id,
        livemode=run.livemode,
        fix=run.fix,
        state=run.state,
        started_at=run.started_at,
        finished_at=run.finished_at,
        error=run.error,
        compared=counts.get("compared", {}),
        imported=counts.get("imported", {}),
        differences=tuple(_as_difference(row) for row in rows),
        found=states.get("found", 0),
        fixed=states.get("fixed", 0),
        unsafe=states.get("unsafe", 0),
        at_risk=money[False],
        mended=money[True],
        in_flight=counts.get("in_flight", 0),
        adopted=counts.get("adopted", 0),
        foreign=counts.get("foreign", 0),
        events=counts.get("events", {}),
    )


def _as_difference(row: FoundDifference) -> Difference:
    return Difference(
        kind=row.kind,
        object=row.object_id,
        customer=row.customer_id,
        field=row.field,
        ours=row.ours,
        theirs=row.theirs,
        amount=row.amount,
        currency=row.currency,
        state=row.state,
        reason=row.reason,
    )


def _update(session: Session, lease: Lease, **values: Any) -> None:
    result = session.execute(
        update(Run)
        .where(Run.id == lease.id, Run.lease_token == lease.token)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if not isinstance(result, CursorResult) or result.rowcount != 1:
        raise RunLost(lease.id)

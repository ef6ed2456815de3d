"""Gathers the facts of `core.health` from the database: counts and single rows, however many there are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, and_, cast, extract, func, select
from sqlalchemy.orm import Session

from paidup.core.health import Facts, Refused
from paidup.database import event_cursors, migrate, reconciliations
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping, RefusedWebhook, Reversal, StoredChange, StoredEvent, SyncTarget

_LAG_WINDOW = timedelta(hours=1)
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_STATES = ("pending", "done", "ignored", "failed")


def gather(
    database: Database, *, now: datetime, livemode: bool, secrets: int, api_version: str, reconcile_every: timedelta
) -> Facts:
    """What is known now. Raises DatabaseUnavailable, but not for tables that are old or missing: that is a fact."""
    revision, newest = migrate.revision(database), migrate.newest()
    if revision != newest:
        return Facts(at=now, revision=revision, newest_revision=newest)
    with database.read() as session:
        waiting = session.execute(
            select(func.count(), func.min(SyncTarget.available_at)).where(
                SyncTarget.applied < SyncTarget.requested, SyncTarget.gave_up_at.is_(None)
            )
        ).one()
        changes = session.execute(
            select(func.count(), func.min(StoredChange.created)).where(StoredChange.state == "pending")
        ).one()
        last = reconciliations.latest(session, livemode=livemode)
        run = reconciliations.latest(session, livemode=livemode, state="done")
        return Facts(
            at=now,
            revision=revision,
            newest_revision=newest,
            waiting=waiting[0],
            waiting_since=waiting[1],
            gave_up=_count(session, SyncTarget, SyncTarget.gave_up_at.is_not(None)),
            lag=_lag(session, now),
            failures=_failures(session),
            changes_waiting=changes[0],
            changes_waiting_since=changes[1],
            changes_failed=_count(session, StoredChange, StoredChange.state == "failed"),
            refused=tuple(
                Refused(row.reason, row.count, row.first_at, row.last_at, row.detail)
                for row in session.scalars(select(RefusedWebhook).order_by(RefusedWebhook.last_at.desc()))
            ),
            has_gap=event_cursors.has_gap(session, livemode=livemode),
            unresolved_ours=_count(
                session,
                Reversal,
                and_(
                    Reversal.invoice_id.is_(None),
                    Reversal.created >= now - _WEEK,
                    Reversal.customer_id.in_(select(OwnerMapping.customer_id)),
                ),
            ),
            unresolved_others=_count(
                session, Reversal, and_(Reversal.customer_id.is_(None), Reversal.created >= now - _WEEK)
            ),
            configured_secrets=secrets,
            secrets={
                int(secret): at for secret, at in _last_use(session, StoredEvent.secret, now) if 0 <= secret < secrets
            },
            api_version=api_version,
            versions={str(version): at for version, at in _last_use(session, StoredEvent.api_version, now) if version},
            reconcile_every=reconcile_every,
            reconciled_at=run.finished_at if run else None,
            reconcile_error=last.error if last and last.state == "failed" else None,
            drift=_drift(session, run) if run else None,
        )


def _drift(session: Session, run: Any) -> int:
    report = reconciliations.report(session, run)
    return report.found + report.unsafe


def _count(session: Session, table: Any, condition: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(table).where(condition)) or 0


def _lag(session: Session, now: datetime) -> dict[str, float]:
    """Seconds from receipt to processing, by percentile: the row at each place, in order of the lag."""
    recent = and_(StoredEvent.state == "done", StoredEvent.received_at >= now - _LAG_WINDOW)
    count = _count(session, StoredEvent, recent)
    lag = _seconds_between(session, StoredEvent.received_at, StoredEvent.processed_at)
    found = {}
    for name, share in _PERCENTILES.items() if count else ():
        place = min(count - 1, int(share * count))
        seconds = session.scalar(select(lag).where(recent).order_by(lag).offset(place).limit(1))
        found[name] = round(float(seconds or 0), 3)
    return found


def _seconds_between(session: Session, begin: Any, end: Any) -> ColumnElement[float]:
    if session.get_bind().dialect.name == "postgresql":
        return cast(extract("epoch", end - begin), Float)
    return (func.julianday(end) - func.julianday(begin)) * 86_400.0


def _failures(session: Session) -> dict[str, int]:
    """Failed events by type and kind of error."""
    if session.get_bind().dialect.name == "postgresql":
        kind = func.split_part(StoredEvent.error, ":", 1)
    else:
        kind = func.substr(StoredEvent.error, 1, func.instr(StoredEvent.error, ":") - 1)
    rows = session.execute(
        select(StoredEvent.type, kind, func.count())
        .where(StoredEvent.state == "failed")
        .group_by(StoredEvent.type, kind)
        .order_by(func.count().desc())
    )
    return {f"{type}: {error}": count for type, error, count in rows}


def _last_use(session: Session, column: Any, now: datetime) -> list[tuple[Any, datetime]]:
    rows = session.execute(
        select(column, func.max(StoredEvent.received_at))
        .where(StoredEvent.state.in_(_STATES), StoredEvent.received_at >= now - _DAY)
        .group_by(column)
    )
    return [(value, at) for value, at in rows]

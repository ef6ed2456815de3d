"""
Events and the targets they ask for, stored in as few round trips as there can be.

On PostgreSQL one statement stores new events, marks their targets dirty and wakes the workers: with its own commit it
is one round trip, however many events there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from paidup.database import bulk
from paidup.database.tables import StoredEvent, SyncTarget, UtcDateTime

CHANNEL = "paidup_work"
"""PostgreSQL's NOTIFY channel: there is something to do."""

_EVENTS = bulk.table_of(StoredEvent)
_TARGETS = bulk.table_of(SyncTarget)
_DUE: ColumnElement[datetime] = bindparam("due", type_=UtcDateTime())
_TARGET_COLUMNS = ("target", "requested", "applied", "available_at", "attempts")


def store_events(connection: Connection, rows: bulk.Rows, *, now: datetime, lead: timedelta) -> set[str]:
    """
    Store the events that are not there yet, ask for their targets, and return their ids.

    No id may be given twice; in the order of ids, so that two processes can't block each other for good.
    """
    if connection.dialect.name == "postgresql":
        parameters = {"rows": bulk.as_json(rows), "due": now + lead}
        found = connection.execute(_store_and_ask(tuple(rows[0])), parameters)
        return {row.id for row in found}
    new = bulk.insert_new(connection, StoredEvent, rows)
    asked = Counter(row["target"] for row in rows if row["id"] in new and row["target"])
    if asked:
        ask(connection, asked, now=now, lead=lead)
    return new


def ask(connection: Connection, counts: Mapping[str, int], *, now: datetime, lead: timedelta) -> None:
    """
    Mark targets dirty, each asked for so many times.

    One that was in step is due after `lead`, or when its last synchronisation said; one that waits already stays as it
    is, so that no stream of requests can put it off. One that was given up on starts again.
    """
    due = now + lead
    rows = [
        {"target": target, "requested": counts[target], "applied": 0, "available_at": due, "attempts": 0}
        for target in sorted(counts)
    ]
    if connection.dialect.name == "postgresql":
        connection.execute(_ask_postgresql(), {"rows": bulk.as_json(rows), "due": due})
        connection.execute(text(f"NOTIFY {CHANNEL}"))
    else:
        connection.execute(_ask_sqlite(), [row | {"due": due} for row in rows])


@cache
def _store_and_ask(columns: tuple[str, ...]) -> Select[Any]:
    given = bulk.from_json(_EVENTS, columns, "rows")
    new = (
        postgresql.insert(_EVENTS)
        .from_select(columns, select(*(given.c[name] for name in columns)))
        .on_conflict_do_nothing()
        .returning(_EVENTS.c.id, _EVENTS.c.target)
        .cte("new")
    )
    asked = (
        select(new.c.target, func.count(), literal(0, Integer), _DUE, literal(0, Integer))
        .where(new.c.target.is_not(None))
        .group_by(new.c.target)
        .order_by(new.c.target)
    )
    insert = postgresql.insert(_TARGETS).from_select(_TARGET_COLUMNS, asked)
    dirty = insert.on_conflict_do_update(index_elements=["target"], set_=_asked_again(insert.excluded))
    wake_up = case((new.c.target.is_not(None), func.pg_notify(CHANNEL, "")))
    return select(new.c.id, wake_up.label("woken")).add_cte(dirty.returning(_TARGETS.c.target).cte("dirty"))


@cache
def _ask_postgresql() -> postgresql.Insert:
    given = bulk.from_json(_TARGETS, _TARGET_COLUMNS, "rows")
    insert = postgresql.insert(_TARGETS).from_select(
        _TARGET_COLUMNS, select(*(given.c[name] for name in _TARGET_COLUMNS))
    )
    return insert.on_conflict_do_update(index_elements=["target"], set_=_asked_again(insert.excluded))


@cache
def _ask_sqlite() -> sqlite.Insert:
    insert = sqlite.insert(_TARGETS).values({name: bindparam(name) for name in _TARGET_COLUMNS})
    return insert.on_conflict_do_update(index_elements=["target"], set_=_asked_again(insert.excluded))


def _asked_again(excluded: Any) -> dict[str, Any]:
    """What happens to a target that was asked for before."""
    was_clean = _TARGETS.c.applied >= _TARGETS.c.requested
    return {
        "requested": _TARGETS.c.requested + excluded.requested,
        "available_at": case(
            (_TARGETS.c.gave_up_at.is_not(None), _DUE),
            (and_(was_clean, _TARGETS.c.available_at < _DUE), _DUE),
            else_=_TARGETS.c.available_at,
        ),
        "attempts": case((_TARGETS.c.gave_up_at.is_not(None), 0), else_=_TARGETS.c.attempts),
        "gave_up_at": None,
    }

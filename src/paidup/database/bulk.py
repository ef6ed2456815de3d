"""
Many rows in one statement, whatever their number: the statement stays the same, so that it is built and prepared once.

PostgreSQL takes all rows as one JSON array. SQLite has one writer at a time, so that looking first and inserting then
is safe there, and its driver's own loop is the quickest. Functions take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import JSON, Insert, Table, bindparam, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from paidup.database.tables import Base

Rows = Sequence[dict[str, Any]]


def insert_new(session: Session, model: type[Base], rows: Rows) -> set[str]:
    """Insert the rows whose `id` is not there yet, in this order; their ids. No id may be given twice."""
    if not rows:
        return set()
    table, columns = _table(model), tuple(rows[0])
    connection = session.connection()
    if session.get_bind().dialect.name == "postgresql":
        statement = _from_json(table, columns).on_conflict_do_nothing().returning(table.c.id)
        return set(connection.execute(statement, {"rows": _plain(rows)}).scalars())
    ids = [row["id"] for row in rows]
    there = set(connection.execute(select(table.c.id).where(table.c.id.in_(ids))).scalars())
    new = [row for row in rows if row["id"] not in there]
    if new:
        connection.execute(table.insert(), new)
    return {row["id"] for row in new}


def upsert(session: Session, model: type[Base], rows: Rows, *, key: str, changes: Mapping[str, Any]) -> None:
    """
    Insert rows; where `key` is there already, make `changes` instead.

    In `changes`, `excluded(model)` stands for the row that was to be inserted.
    """
    table, columns = _table(model), tuple(rows[0])
    if session.get_bind().dialect.name == "postgresql":
        whole = _from_json(table, columns).on_conflict_do_update(index_elements=[key], set_=changes)
        session.connection().execute(whole, {"rows": _plain(rows)})
        return
    each = sqlite.insert(table).on_conflict_do_update(index_elements=[key], set_=changes)
    session.connection().execute(each, list(rows))


def excluded(session: Session, model: type[Base]) -> Any:
    """The row that was to be inserted, for `upsert`."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(_table(model)).excluded


@cache
def _from_json(table: Table, columns: tuple[str, ...]) -> postgresql.Insert:
    typed = [column(name, table.c[name].type) for name in columns]
    rows = func.json_to_recordset(bindparam("rows", type_=JSON())).table_valued(*typed).render_derived(with_types=True)
    found: Insert = postgresql.insert(table).from_select(columns, select(*(rows.c[name] for name in columns)))
    return cast(postgresql.Insert, found)


def _plain(rows: Rows) -> list[dict[str, Any]]:
    return [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        for row in rows
    ]


def _table(model: type[Base]) -> Table:
    return cast(Table, model.__table__)

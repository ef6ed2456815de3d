"""
Many rows in one statement, whatever their number: the statement stays the same, so that it is built and prepared once.

PostgreSQL takes all rows as one JSON array. SQLite has one writer at a time, so that looking first and inserting then
is safe there, and its driver's own loop is the quickest. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Insert,
    String,
    Table,
    TableValuedAlias,
    bindparam,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from paidup.database.tables import Base

Rows = Sequence[dict[str, Any]]


def table_of(model: type[Base]) -> Table:
    """A mapped class's table."""
    return cast(Table, model.__table__)


def insert_new(connection: Connection, model: type[Base], rows: Rows) -> set[str]:
    """Insert the rows whose `id` is not there yet, in this order; their ids. No id may be given twice."""
    if not rows:
        return set()
    table = table_of(model)
    if connection.dialect.name == "postgresql":
        statement = _insert_new(table, tuple(rows[0]))
        return set(connection.execute(statement, {"rows": as_json(rows)}).scalars())
    ids = [row["id"] for row in rows]
    there = set(connection.execute(select(table.c.id).where(table.c.id.in_(ids))).scalars())
    new = [row for row in rows if row["id"] not in there]
    if new:
        connection.execute(table.insert(), new)
    return {row["id"] for row in new}


def among(session: Session, column: Any, values: Iterable[str]) -> ColumnElement[bool]:
    """Is a column one of these values? PostgreSQL gets them as one array."""
    given = list(dict.fromkeys(values))
    if session.get_bind().dialect.name == "postgresql":
        return cast(ColumnElement[bool], column == func.any(literal(given, postgresql.ARRAY(String))))
    return cast(ColumnElement[bool], column.in_(given))


def from_json(table: Table, columns: Sequence[str], parameter: str) -> TableValuedAlias:
    """The rows of a JSON parameter, as a table of PostgreSQL with these columns."""
    typed = [column(name, table.c[name].type) for name in columns]
    if any(isinstance(each.type, JSON) for each in typed):
        # Read into the form in which it is stored at once, instead of twice.
        whole = func.jsonb_to_recordset(bindparam(parameter, type_=postgresql.JSONB()))
    else:
        whole = func.json_to_recordset(bindparam(parameter, type_=JSON()))
    return whole.table_valued(*typed).render_derived(with_types=True)


def as_json(rows: Rows) -> list[dict[str, Any]]:
    """Rows for such a parameter."""
    return [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        for row in rows
    ]


@cache
def _insert_new(table: Table, columns: tuple[str, ...]) -> Insert:
    given = from_json(table, columns, "rows")
    insert = postgresql.insert(table).from_select(columns, select(*(given.c[name] for name in columns)))
    return insert.on_conflict_do_nothing().returning(table.c.id)

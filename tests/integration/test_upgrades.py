"""Upgrades of databases that are in use: every schema there ever was, filled, becomes today's, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, inspect, select

from paidup import Billing
from paidup.database import migrate
from paidup.database.engine import Database
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.databases import DatabaseMaker, removed_afterwards
from tests.support.deliveries import a_hurrying_clock, deliver
from tests.support.paying import pay

OWNER, OTHER = "user:1", "user:2"
SCRIPTS = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()]
"""Newest first."""

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def tables_of(database: Database) -> list[Table]:
    found = MetaData()
    found.reflect(database.engine)
    return [table for table in found.sorted_tables if table.name != migrate.VERSION_TABLE]


def rows_of(database: Database) -> Rows:
    """Every row of every table, by table."""
    with database.read() as session:
        return {
            table.name: [
                dict(row._mapping) for row in session.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in tables_of(database)
        }


def schema_of(database: Database) -> dict[str, Any]:
    """What a table is made of, as far as code can tell."""
    found = inspect(database.engine)
    return {
        name: {
            "columns": sorted((each["name"], str(each["type"]), each["nullable"]) for each in found.get_columns(name)),
            "indexes": sorted(
                (str(each["name"]), tuple(map(str, each["column_names"])), bool(each["unique"]))
                for each in found.get_indexes(name)
            ),
            "key": found.get_pk_constraint(name)["constrained_columns"],
        }
        for name in found.get_table_names()
    }


def a_value(column: sa.Column[Any], number: int) -> Any:
    """Something a column may hold, another one for each number."""
    match column.type:
        case sa.Boolean():
            return number % 2 == 0
        case sa.Integer():
            return number
        case sa.DateTime():
            return datetime(2026, 11, number, tzinfo=UTC if column.type.timezone else None)
        case sa.JSON():
            return {"id": f"{column.name}_{number}", "amount": number, "name": "Zoë"}
        case sa.Text() | sa.String():
            return f"{number}:{column.name} Ünal"[: getattr(column.type, "length", None) or 200]
    raise TypeError(f"no value for {column!r}")


def fill(database: Database) -> Rows:
    """Three rows in every table, two where there is one for each mode; what may be empty is, here and there."""
    with database.write() as session:
        for table in tables_of(database):
            by_mode = all(isinstance(column.type, sa.Boolean) for column in table.primary_key)
            for number in (1, 2) if by_mode else (1, 2, 3):
                values = {
                    column.name: None if column.nullable and number == position % 3 else a_value(column, number)
                    for position, column in enumerate(table.columns)
                }
                session.execute(table.insert(), values)
    return rows_of(database)


def kept(before: Rows, after: Rows) -> None:
    """Every row is there still, with all it had."""
    for name, rows in before.items():
        assert len(after[name]) == len(rows), name
        for old, new in zip(rows, after[name], strict=True):
            assert {key: new[key] for key in old} == old, name


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_filled_database_of_any_revision_is_upgraded_and_keeps_every_row(
    empty_database_url: str, revision: str
) -> None:
    """H118: whatever stood in it, empty columns included."""
    database = Database(empty_database_url)
    migrate.upgrade(database, revision)
    before = fill(database)
    assert before
    migrate.upgrade(database)
    assert migrate.revision(database) == REVISIONS[0]
    kept(before, rows_of(database))
    database.close()


def test_a_database_in_use_goes_back_to_any_revision_and_forward_again(
    make_billing: MakeBilling, stripe: Emulator, database: Database, databases: DatabaseMaker
) -> None:
    """H118: it looks then as if made by that revision, keeps what that knew, and works on as if nothing had been."""
    billing = make_billing(clock=a_hurrying_clock())
    billing.push_catalog()
    pay(str(billing.checkout(OWNER, "pro").url))
    waiting = billing.checkout(OTHER, "pro")
    told: list[str] = []
    billing.on_change()(lambda change: told.append(change.kind))
    *processed, pending = stripe.events()
    for event in processed:
        deliver(billing, event)
    billing.run_until_idle()
    deliver(billing, pending)
    before, expected = rows_of(database), billing.access(OWNER)
    for revision in REVISIONS[1:]:
        migrate.downgrade(database, revision)
        with removed_afterwards(databases, databases.fresh()) as url:
            fresh = Database(url)
            migrate.upgrade(fresh, revision)
            assert schema_of(database) == schema_of(fresh)
            fresh.close()
        there = rows_of(database)
        kept({name: [_only(row, there[name]) for row in rows] for name, rows in before.items() if name in there}, there)
    migrate.upgrade(database)
    _works_as_before(billing, expected, waiting.url, told)


def _only(row: dict[str, Any], there: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not there or key in there[0]}


def _works_as_before(billing: Billing, expected: Any, waiting_url: str | None, told: list[str]) -> None:
    assert billing.access(OWNER) == expected
    assert billing.checkout(OTHER, "pro").url == waiting_url
    assert len(billing.queue()) == 1
    billing.run_until_idle()
    assert billing.queue() == []
    assert json.loads(billing.events()[0].payload)["object"] == "event"
    billing.sync(OWNER)
    billing.run_until_idle()
    assert sorted(told) == ["credits.granted", "invoice.paid", "subscription.started"]

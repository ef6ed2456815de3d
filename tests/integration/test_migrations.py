"""Migrations: they make exactly the tables the code maps, on both databases, and may be run twice at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from paidup.database import migrate
from paidup.database.engine import Database
from paidup.database.tables import Base


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    database = Database(empty_database_url)
    yield database
    database.close()


def test_the_migrations_make_the_tables_the_code_maps(database: Database) -> None:
    migrate.upgrade(database)
    with database.read() as session:
        context = MigrationContext.configure(
            session.connection(),
            opts={"version_table": migrate.VERSION_TABLE, "compare_type": True, "target_metadata": Base.metadata},
        )
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    assert migrate.revision(database) is None
    migrate.upgrade(database)
    first = migrate.revision(database)
    migrate.upgrade(database)
    assert first == migrate.revision(database)
    assert first is not None


def test_two_deploys_at_once_migrate_one_after_the_other(database: Database) -> None:
    others = [Database(database.engine.url.render_as_string(hide_password=False)) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate.upgrade, others))
    for other in others:
        other.close()
    assert migrate.revision(database) is not None


def test_downgrading_leaves_nothing_of_ours(database: Database) -> None:
    migrate.upgrade(database)
    migrate.downgrade(database, "base")
    assert inspect(database.engine).get_table_names() in ([], [migrate.VERSION_TABLE])

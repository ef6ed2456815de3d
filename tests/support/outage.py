"""A database that is away for a while, as it is in a failover, a deploy of its own, or behind somebody's long lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import make_url


@contextmanager
def database_away(url: str) -> Iterator[None]:
    """
    No connection works until the block ends.

    PostgreSQL ends those there are and takes no new ones. SQLite has a writer that does not let go; Billings that are
    to notice quickly are made with a short `paidup.database.engine._BUSY_SECONDS`.
    """
    with _postgres_away(url) if url.startswith("postgresql") else _sqlite_away(url):
        yield


@contextmanager
def _postgres_away(url: str) -> Iterator[None]:
    where = make_url(url).set(drivername="postgresql")
    name = sql.Identifier(str(where.database))
    elsewhere = where.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (where.database,)
            )
            yield
        finally:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


@contextmanager
def _sqlite_away(url: str) -> Iterator[None]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")

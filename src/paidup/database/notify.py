"""PostgreSQL's NOTIFY and LISTEN: hear at once, on any machine, that there is something to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from paidup.database.engine import Database
from paidup.errors import DatabaseUnavailable

_CHECK_SECONDS = 1.0


def announce(session: Session, channel: str) -> None:
    """Tell whoever listens, once this transaction is committed; on SQLite nobody does."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {channel}"))


def listen(database: Database, channel: str, *, on_notify: Callable[[], None], stopping: threading.Event) -> None:
    """
    Call `on_notify` for every notification until `stopping` is set, on a connection of its own.

    Raises DatabaseUnavailable when the connection is lost.
    """
    try:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"LISTEN {channel}")
            driver = cast("psycopg.Connection[object]", connection.connection.driver_connection)
            on_notify()  # what was stored before we listened
            while not stopping.is_set():
                for _ in driver.notifies(timeout=_CHECK_SECONDS, stop_after=1):
                    on_notify()
    except (psycopg.OperationalError, DBAPIError) as error:
        raise DatabaseUnavailable("lost the connection that listens", remedy="it is opened again") from error

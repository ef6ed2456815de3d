"""
One database, PostgreSQL or SQLite, and the only ways into it: `read()`, `run()`, `at_once()` and, beneath, `write()`.

All translate "the database is not there" into DatabaseUnavailable, so that a webhook answers 5xx and Stripe retries.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from paidup import fast_json
from paidup.errors import DatabaseUnavailable

_Found = TypeVar("_Found")
_BUSY_SECONDS = 15
_NOT_MIGRATED = ("42P01", "42703")  # PostgreSQL's undefined_table and undefined_column
_CONFLICTS = ("40P01", "40001", "55P03")  # deadlock_detected, serialization_failure, lock_not_available
_PAUSES = (0.02, 0.04, 0.08, 0.16, 0.32)
"""Seconds before each new try of a transaction that lost against another one."""
MOST_CONNECTIONS = 20
"""How many connections to PostgreSQL are opened for whatever is asked: half of them stay, the others when needed."""
_PATIENCE_SECONDS = 15.0
_LOCK_SECONDS = 5.0
"""How long a statement waits for a lock on PostgreSQL; forever would tie up one thread after the other."""
_IDLE_SECONDS = 60.0
"""After how long PostgreSQL ends a transaction whose process has frozen with its locks in hand."""


class Database:
    """
    The engine and its sessions.

    `url` is a SQLAlchemy URL. Nothing is opened until the first use.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        self._writer = self.engine.execution_options(paidup_write=True)
        self._at_once = _committing_by_itself(url) if self.is_postgresql else None
        self._turn = None if self.is_postgresql else threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading: a consistent view, never committed."""
        with _translated(), Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction, committed at the end of the block or rolled back whole."""
        with self._in_turn(), _translated(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def run(self, unit: Callable[[Session], _Found]) -> _Found:
        """
        Run `unit` in one transaction and commit it: the way to write, wherever repeating is safe.

        Who loses against another transaction (a deadlock, a serialization failure, a lock that did not come in time)
        was rolled back whole, and begins anew after a short, random pause. So `unit` changes nothing but its session.
        Raises DatabaseUnavailable when it goes on losing.
        """

        def attempt() -> _Found:
            with self.write() as session:
                return unit(session)

        return _until_it_wins(attempt)

    def at_once(self, work: Callable[[Connection], _Found]) -> _Found:
        """
        Do what is a single statement, and may be repeated, in as few round trips as possible.

        PostgreSQL commits it by itself, on a connection kept for this; one that was lost since is opened again. On
        SQLite it is a transaction like any other. For one thread at a time.
        """
        return _until_it_wins(lambda: self._try_at_once(work))

    def _try_at_once(self, work: Callable[[Connection], _Found]) -> _Found:
        with _translated():
            if self._at_once is None:
                with self._in_turn(), self._writer.begin() as connection:
                    return work(connection)
            try:
                with self._at_once.connect() as connection:
                    return work(connection)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            with self._at_once.connect() as connection:
                return work(connection)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """
        The threads of this process write to SQLite one after the other.

        It has one writer at a time, and who finds it busy there sleeps up to a tenth of a second before the next look.
        """
        taken = self._turn is not None and self._turn.acquire(timeout=_BUSY_SECONDS)
        try:
            yield
        finally:
            if taken and self._turn is not None:
                self._turn.release()

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()
        if self._at_once is not None:
            self._at_once.dispose()


def _engine(url: str) -> Engine:
    # Parameters are payloads, names and e-mails: they don't belong in an error's text, nor so in a log.
    if url.startswith("sqlite"):
        engine = create_engine(
            url,
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
            json_serializer=fast_json.dumps,
            json_deserializer=fast_json.loads,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        url,
        pool_size=MOST_CONNECTIONS // 2,
        max_overflow=MOST_CONNECTIONS - MOST_CONNECTIONS // 2,
        pool_pre_ping=True,
        pool_timeout=10,
        json_serializer=fast_json.dumps,
        json_deserializer=fast_json.loads,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _committing_by_itself(url: str) -> Engine:
    engine = create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
        json_serializer=fast_json.dumps,
        json_deserializer=fast_json.loads,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: Any, _entry: ConnectionPoolEntry) -> None:
    limits = {"lock_timeout": _LOCK_SECONDS, "idle_in_transaction_session_timeout": _IDLE_SECONDS}
    with connection.cursor() as cursor:
        for name, seconds in limits.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, f"{seconds * 1000:.0f}"))
    connection.commit()


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver must not begin by itself; `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000:.0f}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a webhook is answered only after its event survives a power cut
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading and then writes fails at once, without waiting, when another one wrote
    # in between. Writers therefore queue from their first statement.
    writes = connection.get_execution_options().get("paidup_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _until_it_wins(attempt: Callable[[], _Found]) -> _Found:
    deadline, pauses = monotonic() + _PATIENCE_SECONDS, iter(_PAUSES)
    while True:
        try:
            return attempt()
        except DatabaseUnavailable as error:
            pause = next(pauses, None)
            if pause is None or monotonic() >= deadline or not _is_conflict(error.__cause__):
                raise
        sleep(pause * random.uniform(0.5, 1.5))  # so that two who collided don't collide again


def _is_conflict(error: BaseException | None) -> bool:
    """Did the transaction lose against another one, so that repeating it may well succeed?"""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(error.orig, "sqlstate", None) in _CONFLICTS


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseUnavailable(
            "no database connection became free in time", remedy="raise the pool size or add workers"
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailable(
            "the database did not answer", remedy="check DATABASE_URL, the server and `paidup db upgrade`"
        ) from error
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) in _NOT_MIGRATED:
            raise DatabaseUnavailable("paidup's tables are missing or old", remedy="run `paidup db upgrade`") from error
        raise
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable("the database connection was lost", remedy="try again") from error
        raise

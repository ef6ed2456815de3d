"""
The app's own tables, in the same database as paidup's.

`python -m saas.database` creates what is missing. Two ways in: `reading()` and `writing()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import DateTime, Engine, ForeignKey, Index, String, Text, create_engine, event
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from saas.settings import settings

_BUSY_SECONDS = 15


class Moment(TypeDecorator[datetime]):
    """An aware UTC time, on databases with and without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """A naive time is a mistake, never a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are aware UTC")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite forgets the zone; everything is stored in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The app's tables. paidup's are called `billing_…` and are not in here."""


class User(Base):
    """Somebody with a password. `email` is stored lower-case."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str] = mapped_column(String(255))
    created: Mapped[datetime] = mapped_column(Moment)

    @property
    def owner(self) -> str:
        """What paidup calls this user."""
        return f"user:{self.id}"


class SignInSession(Base):
    """A browser that is signed in. Only the SHA-256 of its token is stored: a stolen backup signs nobody in."""

    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    expires: Mapped[datetime] = mapped_column(Moment, index=True)


class SignInAttempt(Base):
    """An attempt to sign in, counted per account and per address. `key` is a hash, so no e-mail is kept."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (Index("ix_sign_in_attempts_key_at", "key", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(Moment, index=True)


class Project(Base):
    """What the app is about, and what the plans count."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(Moment)


class Activity(Base):
    """A line of a user's history. `id` is the paidup Change behind it, so that none is written twice."""

    __tablename__ = "activity"
    __table_args__ = (Index("ix_activity_user_id_created", "user_id", "created"),)

    id: Mapped[str] = mapped_column(String(500), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Moment)


class Database:
    """One database and its connections. `url` is a SQLAlchemy URL; nothing is opened until the first use."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(saas_write=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for reading, never committed."""
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session in one transaction, committed at the end of the block or rolled back whole."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def create_tables(self) -> None:
        """Create the tables that are missing; existing ones are left alone."""
        Base.metadata.create_all(self.engine)


@cache
def database() -> Database:
    """The database of this process."""
    return Database(settings().database_url)


def _engine(url: str) -> Engine:
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(url, pool_pre_ping=True)


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver must not begin by itself; `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Count-then-insert must not interleave with another writer: writers queue from their first statement.
    writes = connection.get_execution_options().get("saas_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


if __name__ == "__main__":
    database().create_tables()

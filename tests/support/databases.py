"""Databases for the tests: fresh or already migrated, of either kind, made and removed in milliseconds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from paidup.database import migrate
from paidup.database.engine import Database
from tests.support.postgres import PostgresServer

KINDS = ("sqlite", "postgresql")


class DatabaseMaker(Protocol):
    """Makes databases of one kind."""

    def fresh(self) -> str:
        """The URL of a new, empty database."""

    def migrated(self) -> str:
        """The URL of a new database with paidup's tables."""

    def copied(self, url: str) -> str:
        """The URL of a new database with all that is in another one, which nobody has open."""

    def remove(self, url: str) -> None:
        """Remove a database, whoever still has it open."""


class SqliteDatabases:
    """SQLite files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._template: Path | None = None

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        return _sqlite_url(self._new_file())

    def migrated(self) -> str:
        """The URL of a new database with paidup's tables."""
        if self._template is None:
            template = self._new_file()
            _migrate(_sqlite_url(template))
            self._template = template
        return _sqlite_url(Path(shutil.copyfile(self._template, self._new_file())))

    def copied(self, url: str) -> str:
        """The URL of a new database with all that is in another one, which nobody has open."""
        return _sqlite_url(Path(shutil.copyfile(url.removeprefix("sqlite:///"), self._new_file())))

    def remove(self, url: str) -> None:
        """Remove a database, whoever still has it open."""
        name = url.removeprefix("sqlite:///")
        for suffix in ("", "-wal", "-shm"):
            Path(name + suffix).unlink(missing_ok=True)

    def _new_file(self) -> Path:
        self._count += 1
        return self._folder / f"{self._count}.db"


class PostgresDatabases:
    """
    Databases on one PostgreSQL server.

    Copies of the migrated template are made ahead, and old databases removed, in the background: a test waits for
    neither.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._background = ThreadPoolExecutor(2, thread_name_prefix="test-databases")
        self._template: str | None = None
        self._spare: Future[str] | None = None
        self._removals: list[Future[None]] = []

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        return self._server.create()

    def migrated(self) -> str:
        """The URL of a new database with paidup's tables."""
        if self._template is None:
            template = self._server.create()
            _migrate(template)
            self._template = template
        spare = self._spare or self._copy()
        self._spare = self._copy()
        return spare.result()

    def copied(self, url: str) -> str:
        """The URL of a new database with all that is in another one, which nobody has open."""
        return self._server.create(template=url)

    def remove(self, url: str) -> None:
        """Remove a database, whoever still has it open."""
        self._removals = [each for each in self._removals if not each.done() or each.exception()]
        self._removals.append(self._background.submit(self._server.drop, url))

    def close(self) -> None:
        """Wait until everything is removed, what was made ahead as well."""
        if self._spare is not None:
            self.remove(self._spare.result())
        if self._template is not None:
            self.remove(self._template)
        self._background.shutdown()
        for removal in self._removals:
            removal.result()

    def _copy(self) -> Future[str]:
        return self._background.submit(self._server.create, template=self._template)


@contextmanager
def removed_afterwards(maker: DatabaseMaker, url: str) -> Iterator[str]:
    """The URL, and its database's end."""
    try:
        yield url
    finally:
        maker.remove(url)


def _migrate(url: str) -> None:
    database = Database(url)
    try:
        migrate.upgrade(database)
    finally:
        database.close()


def _sqlite_url(file: Path) -> str:
    return f"sqlite:///{file}"

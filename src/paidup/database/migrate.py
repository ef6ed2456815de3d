"""paidup's own migrations, run from the package, with a version table of their own beside the host's."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from paidup.database.engine import Database

VERSION_TABLE = "billing_alembic_version"
_LOCK = 0x70616964  # any number, the same in every process: two deploys at once migrate one after the other


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the tables to a revision, in one transaction. Two processes may do it at once."""
    with database.write() as session:
        connection = session.connection()
        if database.is_postgresql:
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # the other deploy may take its time
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Go back to a revision; `base` drops everything paidup stored."""
    with database.write() as session:
        command.downgrade(_config(session.connection()), revision)


def revision(database: Database) -> str | None:
    """The revision the database is at; None before the first."""
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()


def newest() -> str:
    """The revision that this release needs."""
    script = ScriptDirectory.from_config(_config(None))
    return str(script.get_current_head())


def _config(connection: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config

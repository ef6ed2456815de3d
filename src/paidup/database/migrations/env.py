"""Alembic's entry point; the connection comes from `database.migrate`."""

from __future__ import annotations

from alembic import context

from paidup.database.migrate import VERSION_TABLE
from paidup.database.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()

"""Which handlers have had a change, and an index of the changes that wait"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEX = "ix_billing_changes_pending"


def upgrade() -> None:
    """Forward."""
    handled = sa.Column("handled", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False, server_default="[]")
    op.add_column("billing_changes", handled)
    waiting = sa.text("state = 'pending'")
    op.create_index(_INDEX, "billing_changes", ["owner", "number"], postgresql_where=waiting, sqlite_where=waiting)


def downgrade() -> None:
    """Back."""
    op.drop_index(_INDEX, "billing_changes")
    op.drop_column("billing_changes", "handled")

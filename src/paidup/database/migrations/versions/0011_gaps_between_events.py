"""Whether events may be missing that Stripe lists no more"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column(
        "billing_event_cursors", sa.Column("has_gap", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    """Back."""
    op.drop_column("billing_event_cursors", "has_gap")

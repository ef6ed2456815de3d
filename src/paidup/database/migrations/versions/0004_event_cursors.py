"""Event cursors"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "billing_event_cursors",
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("filled_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("livemode", name=op.f("pk_billing_event_cursors")),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("billing_event_cursors")

"""By what a second trial of one person is told"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "billing_trial_marks",
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("livemode", "mark", "customer_id", name=op.f("pk_billing_trial_marks")),
    )
    op.create_index(op.f("ix_billing_trial_marks_customer_id"), "billing_trial_marks", ["customer_id"])


def downgrade() -> None:
    """Back."""
    op.drop_table("billing_trial_marks")

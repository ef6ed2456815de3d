"""Whether a subscription was ever paid for, and what opens a Checkout inside the app's own page"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column(
        "billing_subscriptions",
        sa.Column("awaits_first_payment", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("billing_checkouts", sa.Column("client_secret", sa.Text(), nullable=True))


def downgrade() -> None:
    """Back."""
    op.drop_column("billing_checkouts", "client_secret")
    op.drop_column("billing_subscriptions", "awaits_first_payment")

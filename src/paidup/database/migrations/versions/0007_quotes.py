"""What changes of plan were said to cost"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLE = "billing_quotes"


def upgrade() -> None:
    """Forward."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    op.create_table(
        _TABLE,
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("subscription_id", sa.String(length=255), nullable=False),
        sa.Column("item_id", sa.String(length=255), nullable=False),
        sa.Column("price_id", sa.String(length=255), nullable=False),
        sa.Column("terms", json, nullable=False),
        sa.Column("params", json, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("schedule_id", sa.String(length=255), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_quotes")),
    )
    op.create_index(op.f("ix_billing_quotes_owner"), _TABLE, ["owner"])
    op.create_index(op.f("ix_billing_quotes_subscription_id"), _TABLE, ["subscription_id"])
    confirming = sa.text("state = 'confirming'")
    op.create_index(
        "uq_billing_quotes_confirming",
        _TABLE,
        ["subscription_id"],
        unique=True,
        postgresql_where=confirming,
        sqlite_where=confirming,
    )


def downgrade() -> None:
    """Back."""
    op.drop_table(_TABLE)

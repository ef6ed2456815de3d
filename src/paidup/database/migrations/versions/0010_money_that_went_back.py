"""Refunds and disputes, and what they make of invoices and subscriptions"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLE = "billing_reversals"


def upgrade() -> None:
    """Forward."""
    op.create_table(
        _TABLE,
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("charge_id", sa.String(length=255), nullable=False),
        sa.Column("payment_intent_id", sa.String(length=255), nullable=True),
        sa.Column("customer_id", sa.String(length=255), nullable=True),
        sa.Column("invoice_id", sa.String(length=255), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("snapshot", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_reversals")),
    )
    for column in ("charge_id", "customer_id", "invoice_id", "created"):
        op.create_index(op.f(f"ix_billing_reversals_{column}"), _TABLE, [column])
    op.add_column(
        "billing_invoices", sa.Column("amount_refunded", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    )
    op.add_column("billing_invoices", sa.Column("dispute", sa.String(length=64), nullable=True))
    for column in ("refunded", "disputed"):
        op.add_column(
            "billing_subscriptions", sa.Column(column, sa.Boolean(), nullable=False, server_default=sa.false())
        )


def downgrade() -> None:
    """Back."""
    for column in ("disputed", "refunded"):
        op.drop_column("billing_subscriptions", column)
    for column in ("dispute", "amount_refunded"):
        op.drop_column("billing_invoices", column)
    op.drop_table(_TABLE)

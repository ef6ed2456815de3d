"""Credits: every entry, and what each owner has left"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_ENTRIES, _BALANCES = "billing_credit_entries", "billing_credit_balances"


def upgrade() -> None:
    """Forward."""
    op.create_table(
        _ENTRIES,
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=1024), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("credit", sa.String(length=255), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("invoice_id", sa.String(length=255), nullable=True),
        sa.Column("subscription_id", sa.String(length=255), nullable=True),
        sa.Column("line_id", sa.String(length=255), nullable=True),
        sa.Column("price_id", sa.String(length=255), nullable=True),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_billing_credit_entries")),
        sa.UniqueConstraint("key", name=op.f("uq_billing_credit_entries_key")),
    )
    op.create_index("ix_billing_credit_entries_owner_number", _ENTRIES, ["owner", "number"])
    for column in ("invoice_id", "subscription_id"):
        op.create_index(op.f(f"ix_billing_credit_entries_{column}"), _ENTRIES, [column])
    op.create_table(
        _BALANCES,
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("credit", sa.String(length=255), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "livemode", "credit", name=op.f("pk_billing_credit_balances")),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table(_BALANCES)
    op.drop_table(_ENTRIES)

"""Reconciliations"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BY_TIME = ("billing_customers", "billing_invoices", "billing_subscriptions")


def _json() -> sa.JSON[Any]:
    return sa.JSON().with_variant(JSONB(), "postgresql")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "billing_reconciliations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("fix", sa.Boolean(), nullable=False),
        sa.Column("adopts", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", _moment(), nullable=False),
        sa.Column("finished_at", _moment(), nullable=True),
        sa.Column("lease_token", sa.String(length=64), nullable=True),
        sa.Column("lease_until", _moment(), nullable=True),
        sa.Column("cursors", _json(), nullable=False),
        sa.Column("counts", _json(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_reconciliations")),
    )
    op.create_index(
        "uq_billing_reconciliations_running",
        "billing_reconciliations",
        ["livemode"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )

    op.create_table(
        "billing_differences",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=True),
        sa.Column("field", sa.String(length=255), nullable=False),
        sa.Column("ours", sa.Text(), nullable=True),
        sa.Column("theirs", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("found_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_billing_differences")),
    )
    op.create_index(
        "uq_billing_differences_field", "billing_differences", ["run_id", "kind", "object_id", "field"], unique=True
    )
    op.create_index("ix_billing_differences_run_id_state", "billing_differences", ["run_id", "state"])

    op.create_table(
        "billing_adoptions",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=512), nullable=True),
        sa.Column("name", sa.String(length=512), nullable=True),
        sa.Column("created", _moment(), nullable=False),
        sa.Column("snapshot", _json(), nullable=False),
        sa.Column("fetched_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_adoptions")),
    )
    op.create_index("uq_billing_adoptions_owner", "billing_adoptions", ["owner", "livemode"], unique=True)

    for table in _BY_TIME:
        op.create_index(op.f(f"ix_{table}_created"), table, ["created"])


def downgrade() -> None:
    """Back."""
    for table in _BY_TIME:
        op.drop_index(op.f(f"ix_{table}_created"), table)
    for table in ("billing_adoptions", "billing_differences", "billing_reconciliations"):
        op.drop_table(table)

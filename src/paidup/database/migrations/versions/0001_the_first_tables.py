"""The first tables"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "billing_changes",
    "billing_checkouts",
    "billing_customers",
    "billing_events",
    "billing_invoices",
    "billing_owners",
    "billing_prices",
    "billing_products",
    "billing_subscription_items",
    "billing_subscriptions",
    "billing_sync_targets",
)


def _json() -> sa.JSON[Any]:
    return sa.JSON().with_variant(JSONB(), "postgresql")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "billing_changes",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=1024), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("customer", sa.String(length=255), nullable=False),
        sa.Column("subscription", sa.String(length=255), nullable=True),
        sa.Column("invoice", sa.String(length=255), nullable=True),
        sa.Column("data", _json(), nullable=False),
        sa.Column("created", _moment(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", _moment(), nullable=False),
        sa.Column("lease_until", _moment(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_billing_changes")),
        sa.UniqueConstraint("id", name=op.f("uq_billing_changes_id")),
    )
    op.create_index(op.f("ix_billing_changes_owner"), "billing_changes", ["owner"])
    op.create_index("ix_billing_changes_state_available_at", "billing_changes", ["state", "available_at"])

    op.create_table(
        "billing_checkouts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("plan_group", sa.String(length=255), nullable=False),
        sa.Column("plan", sa.String(length=255), nullable=False),
        sa.Column("interval", sa.String(length=16), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("params", _json(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("payment_status", sa.String(length=32), nullable=True),
        sa.Column("session_id", sa.String(length=255), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("expires_at", _moment(), nullable=True),
        sa.Column("created", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_checkouts")),
        sa.UniqueConstraint("session_id", name=op.f("uq_billing_checkouts_session_id")),
    )
    op.create_index(op.f("ix_billing_checkouts_customer_id"), "billing_checkouts", ["customer_id"])
    op.create_index(
        "uq_billing_checkouts_claim",
        "billing_checkouts",
        ["owner", "livemode", "plan_group"],
        unique=True,
        postgresql_where=sa.text("state IN ('creating', 'open')"),
        sqlite_where=sa.text("state IN ('creating', 'open')"),
    )

    op.create_table(
        "billing_customers",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=512), nullable=True),
        sa.Column("name", sa.String(length=512), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("created", _moment(), nullable=False),
        sa.Column("snapshot", _json(), nullable=False),
        sa.Column("synced_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_customers")),
    )
    op.create_index(op.f("ix_billing_customers_owner"), "billing_customers", ["owner"])

    op.create_table(
        "billing_events",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("api_version", sa.String(length=64), nullable=True),
        sa.Column("account", sa.String(length=255), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("target", sa.String(length=300), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("secret", sa.Integer(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("created", _moment(), nullable=True),
        sa.Column("received_at", _moment(), nullable=False),
        sa.Column("processed_at", _moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_events")),
    )
    op.create_index("ix_billing_events_state_received_at", "billing_events", ["state", "received_at"])
    op.create_index("ix_billing_events_target_state", "billing_events", ["target", "state"])

    op.create_table(
        "billing_invoices",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("subscription_id", sa.String(length=255), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("amount_due", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), nullable=False),
        sa.Column("amount_remaining", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), nullable=False),
        sa.Column("created", _moment(), nullable=False),
        sa.Column("finalized_at", _moment(), nullable=True),
        sa.Column("paid_at", _moment(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("snapshot", _json(), nullable=False),
        sa.Column("synced_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_invoices")),
    )
    op.create_index("ix_billing_invoices_customer_id_created", "billing_invoices", ["customer_id", "created"])
    op.create_index(op.f("ix_billing_invoices_subscription_id"), "billing_invoices", ["subscription_id"])

    op.create_table(
        "billing_owners",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=True),
        sa.Column("intent", sa.String(length=64), nullable=False),
        sa.Column("params", _json(), nullable=False),
        sa.Column("created", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "livemode", name=op.f("pk_billing_owners")),
        sa.UniqueConstraint("customer_id", name=op.f("uq_billing_owners_customer_id")),
    )
    op.create_table(
        "billing_prices",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("product_id", sa.String(length=255), nullable=False),
        sa.Column("lookup_key", sa.String(length=255), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("unit_amount", sa.BigInteger(), nullable=True),
        sa.Column("interval", sa.String(length=16), nullable=True),
        sa.Column("interval_count", sa.BigInteger(), nullable=True),
        sa.Column("plan", sa.String(length=255), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("snapshot", _json(), nullable=False),
        sa.Column("synced_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_prices")),
    )
    op.create_index(op.f("ix_billing_prices_lookup_key"), "billing_prices", ["lookup_key"])
    op.create_index(op.f("ix_billing_prices_product_id"), "billing_prices", ["product_id"])

    op.create_table(
        "billing_products",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("plan", sa.String(length=255), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("snapshot", _json(), nullable=False),
        sa.Column("synced_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_products")),
    )
    op.create_table(
        "billing_subscription_items",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("subscription_id", sa.String(length=255), nullable=False),
        sa.Column("price_id", sa.String(length=255), nullable=False),
        sa.Column("product_id", sa.String(length=255), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("current_period_start", _moment(), nullable=True),
        sa.Column("current_period_end", _moment(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("synced_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_subscription_items")),
    )
    op.create_index(op.f("ix_billing_subscription_items_price_id"), "billing_subscription_items", ["price_id"])
    op.create_index(
        op.f("ix_billing_subscription_items_subscription_id"), "billing_subscription_items", ["subscription_id"]
    )

    op.create_table(
        "billing_subscriptions",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.String(length=255), nullable=True),
        sa.Column("current_period_start", _moment(), nullable=True),
        sa.Column("current_period_end", _moment(), nullable=True),
        sa.Column("cancel_at", _moment(), nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("trial_end", _moment(), nullable=True),
        sa.Column("ended_at", _moment(), nullable=True),
        sa.Column("past_due_since", _moment(), nullable=True),
        sa.Column("created", _moment(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("snapshot", _json(), nullable=False),
        sa.Column("synced_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_subscriptions")),
    )
    op.create_index(op.f("ix_billing_subscriptions_customer_id"), "billing_subscriptions", ["customer_id"])

    op.create_table(
        "billing_sync_targets",
        sa.Column("target", sa.String(length=300), nullable=False),
        sa.Column("requested", sa.BigInteger(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("available_at", _moment(), nullable=False),
        sa.Column("applied_at", _moment(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.String(length=64), nullable=True),
        sa.Column("lease_until", _moment(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("gave_up_at", _moment(), nullable=True),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_billing_sync_targets")),
    )
    op.create_index(
        "ix_billing_sync_targets_dirty",
        "billing_sync_targets",
        ["available_at"],
        postgresql_where=sa.text("applied < requested AND gave_up_at IS NULL"),
        sqlite_where=sa.text("applied < requested AND gave_up_at IS NULL"),
    )


def downgrade() -> None:
    """Back."""
    for table in _TABLES:
        op.drop_table(table)

"""Quotes are about any number of items, which stand in what Stripe is asked for"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.drop_column("billing_quotes", "price_id")
    op.drop_column("billing_quotes", "item_id")


def downgrade() -> None:
    """Back. Quotes that were not confirmed are asked for anew."""
    op.add_column("billing_quotes", sa.Column("item_id", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("billing_quotes", sa.Column("price_id", sa.String(length=255), nullable=False, server_default=""))

"""How many of which add-ons a Checkout is for"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    addons = sa.Column("addons", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True)
    op.add_column("billing_checkouts", addons)


def downgrade() -> None:
    """Back."""
    op.drop_column("billing_checkouts", "addons")

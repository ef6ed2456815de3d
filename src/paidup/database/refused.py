"""Counts of refused webhooks in the database, one row a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from paidup.database.store import insert
from paidup.database.tables import RefusedWebhook


@dataclass(slots=True)
class Count:
    """How many of one reason, and why the last."""

    count: int
    first_at: datetime
    last_at: datetime
    detail: str


def add(session: Session, counts: Mapping[str, Count]) -> None:
    """Add counts to what is known. Always in the same order of rows, so that two processes never deadlock."""
    for reason in sorted(counts):
        found = counts[reason]
        statement = insert(session, RefusedWebhook).values(
            reason=reason, count=found.count, first_at=found.first_at, last_at=found.last_at, detail=found.detail
        )
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["reason"],
                set_={
                    "count": RefusedWebhook.count + statement.excluded.count,
                    "last_at": statement.excluded.last_at,
                    "detail": statement.excluded.detail,
                },
            )
        )

"""
Up to when every event is here, and which of some events are not.

Functions take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from paidup.database.store import insert
from paidup.database.tables import EventCursor, StoredEvent


def filled_until(session: Session, *, livemode: bool) -> datetime | None:
    """Up to when every event that leads somewhere is here; None when nobody ever looked."""
    return session.scalars(select(EventCursor.filled_until).where(EventCursor.livemode.is_(livemode))).one_or_none()


def advance(session: Session, *, livemode: bool, to: datetime) -> None:
    """Move the cursor, forward only: of two fills at once, the one that began first may end last."""
    statement = insert(session, EventCursor).values(livemode=livemode, filled_until=to)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["livemode"], set_={"filled_until": to}, where=EventCursor.filled_until < to
        )
    )


def known(session: Session, ids: Sequence[str]) -> set[str]:
    """Which of these events we have."""
    return set(session.scalars(select(StoredEvent.id).where(StoredEvent.id.in_(ids))))

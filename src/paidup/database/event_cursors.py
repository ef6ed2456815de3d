"""
Up to when every event is here, and which of some events are not.

Functions take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from paidup.database.store import insert
from paidup.database.tables import EventCursor, StoredEvent


def filled_until(session: Session, *, livemode: bool) -> datetime | None:
    """Up to when every event that leads somewhere is here; None when nobody ever looked."""
    return session.scalars(select(EventCursor.filled_until).where(EventCursor.livemode.is_(livemode))).one_or_none()


def has_gap(session: Session, *, livemode: bool) -> bool:
    """May events be missing that were too old to be listed, with nothing compared since?"""
    return bool(session.scalars(select(EventCursor.has_gap).where(EventCursor.livemode.is_(livemode))).one_or_none())


def advance(session: Session, *, livemode: bool, to: datetime, gap: bool | None = None) -> None:
    """
    Move the cursor, forward only: of two fills at once, the one that began first may end last.

    `gap` is whether there is one now; None leaves that as it is.
    """
    statement = insert(session, EventCursor).values(livemode=livemode, filled_until=to, has_gap=bool(gap))
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["livemode"], set_={"filled_until": to}, where=EventCursor.filled_until < to
        )
    )
    if gap is not None:
        session.execute(update(EventCursor).where(EventCursor.livemode.is_(livemode)).values(has_gap=gap))


def known(session: Session, ids: Sequence[str]) -> set[str]:
    """Which of these events we have."""
    return set(session.scalars(select(StoredEvent.id).where(StoredEvent.id.in_(ids))))

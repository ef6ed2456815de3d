"""The rows of quotes: kept, taken to be confirmed, and noted as what became of them. Nothing here commits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from paidup.database.tables import OwnerMapping, StoredQuote

_OVER = ("done", "outdated")


def save(session: Session, row: StoredQuote, *, gone_before: datetime) -> None:
    """Store a quote; the owner's that nobody confirmed go when they expired before that."""
    session.execute(
        delete(StoredQuote).where(
            StoredQuote.owner == row.owner,
            StoredQuote.state.in_(("open", "outdated")),
            StoredQuote.expires_at < gone_before,
        )
    )
    session.add(row)


def take(
    session: Session, quote_id: str, owner: str, *, livemode: bool, now: datetime
) -> tuple[StoredQuote | None, StoredQuote | None, bool]:
    """
    Take a quote to be confirmed, if it is this very owner's, as its customer still is, and not over yet.

    Beside it the one of the same subscription that was taken before, which keeps it from being taken; and whether it
    was free until now. Of two that are taken at the same moment the database lets one through.
    """
    # Locked first, so that nobody gives the customer away until this is seen by who would.
    mapping = session.get(OwnerMapping, (owner, livemode), with_for_update=True)
    row = session.get(StoredQuote, quote_id)
    if row is None or mapping is None or (row.owner, row.livemode) != (owner, livemode):
        return None, None, False
    if row.customer_id != mapping.customer_id:
        return None, None, False
    if row.state in _OVER:
        return row, None, False
    was_free = row.state != "confirming"
    query = select(StoredQuote).where(
        StoredQuote.subscription_id == row.subscription_id,
        StoredQuote.state == "confirming",
        StoredQuote.id != row.id,
    )
    other = session.scalars(query).one_or_none()
    if other is None:
        try:
            with session.begin_nested():
                row.state, row.confirmed_at = "confirming", now
        except IntegrityError:
            session.refresh(row)
            other = session.scalars(query).one_or_none() or row
    return row, other, was_free


def note(session: Session, row: StoredQuote, values: dict[str, Any]) -> None:
    """What became of a quote; not if it was tried again since it was read."""
    session.execute(
        update(StoredQuote).where(StoredQuote.id == row.id, StoredQuote.attempt == row.attempt).values(**values)
    )


def waiting(session: Session, quote_id: str, subscription_id: str) -> StoredQuote | None:
    """The quote that a subscription says it waits with."""
    row = session.get(StoredQuote, quote_id)
    return row if row is not None and row.subscription_id == subscription_id else None


def confirmed(session: Session, subscription_id: str) -> list[StoredQuote]:
    """The quotes of a subscription that were carried out, or are, the newest first."""
    query = select(StoredQuote).where(
        StoredQuote.subscription_id == subscription_id, StoredQuote.state.in_(("confirming", "done"))
    )
    return list(session.scalars(query.order_by(StoredQuote.confirmed_at.desc())))


def confirming(session: Session, owner: str, *, livemode: bool) -> list[StoredQuote]:
    """The quotes of an owner that are being carried out, or were when the call was interrupted."""
    query = select(StoredQuote).where(
        StoredQuote.owner == owner, StoredQuote.livemode.is_(livemode), StoredQuote.state == "confirming"
    )
    return list(session.scalars(query))


def hand_over(session: Session, owner: str, to: str, *, customer_id: str) -> None:
    """A customer's quotes are the new owner's: what is planned or waits stays so, and of the others none holds."""
    theirs = update(StoredQuote).where(StoredQuote.owner == owner, StoredQuote.customer_id == customer_id)
    session.execute(theirs.where(StoredQuote.state == "open").values(state="outdated"))
    session.execute(theirs.values(owner=to))


def to_come(session: Session, subscription_id: str) -> list[StoredQuote]:
    """The quotes of a subscription that wait for the user's bank, or were given to a schedule once."""
    query = select(StoredQuote).where(
        StoredQuote.subscription_id == subscription_id, StoredQuote.state.in_(("waiting", "done"))
    )
    found = session.scalars(query.order_by(StoredQuote.confirmed_at))
    return [row for row in found if row.state == "waiting" or row.terms["when"] == "period_end"]


def outdate(session: Session, subscription_id: str) -> None:
    """No quote of a subscription holds any more, but for one that is being confirmed."""
    session.execute(
        update(StoredQuote)
        .where(StoredQuote.subscription_id == subscription_id, StoredQuote.state != "confirming")
        .values(state="outdated")
    )

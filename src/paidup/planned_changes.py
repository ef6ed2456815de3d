"""
Changes that are to come: the app is told when one is planned, and when it will not come after all.

What is dropped by somebody else, in the Dashboard or by Stripe as nobody paid, is seen by the synchronisation.
Functions take a session and never commit.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from paidup.core import changes, parse
from paidup.core.changes import Change, Known
from paidup.core.quote import Quote
from paidup.core.subscription import Subscription
from paidup.database import quotes as rows
from paidup.database.tables import StoredQuote


def note_planned(session: Session, row: StoredQuote, schedule_id: str, *, now: datetime) -> Change:
    """Note that a schedule has a quote; what the app is told, in the same transaction."""
    rows.note(session, row, {"state": "done", "schedule_id": schedule_id})
    return changes.of_planned_change(Quote.from_dict(row.terms), customer=row.customer_id, now=now)


def note_waiting(session: Session, row: StoredQuote, *, expires_at: datetime | None, now: datetime) -> Change:
    """Note that a quote waits for the user's bank; what the app is told, in the same transaction."""
    rows.note(session, row, {"state": "waiting"})
    quote = Quote.from_dict(row.terms)
    return changes.of_waiting_change(quote, customer=row.customer_id, expires_at=expires_at, now=now)


def drop(session: Session, was: Subscription, *, owner: str, now: datetime) -> list[Change]:
    """
    No quote of a subscription holds any more; `was` is how it stood before.

    Told here as well as by the synchronisation, which may never have seen what was planned a moment ago.
    """
    # An interrupted call may have dropped at Stripe what its rows still say, so nothing there is asked for.
    dropped = [quote for row, quote in _to_come(session, was) if was.metadata.get(parse.QUOTE_KEY) != row.id]
    rows.outdate(session, was.id)
    return [changes.of_undone_change(each, owner=owner, customer=was.customer, now=now) for each in dropped]


def note_dropped(session: Session, row: StoredQuote, *, owner: str, now: datetime) -> Change:
    """Note that no schedule has a quote any more; what the app is told, in the same transaction."""
    rows.note(session, row, {"state": "outdated"})
    return changes.of_undone_change(Quote.from_dict(row.terms), owner=owner, customer=row.customer_id, now=now)


def undone(session: Session, owner: str, before: Known, after: Known, *, now: datetime) -> list[Change]:
    """What was to come between two looks at a customer and will not; a subscription that has ended tells it itself."""
    found: list[Change] = []
    for id, was in before.subscriptions.items():
        new = after.subscriptions[id]
        schedule_id = was.schedule if was.schedule != new.schedule else None
        waiting = was.waiting_quote if was.waiting_quote != new.waiting_quote else None
        if new.has_ended or (schedule_id is None and waiting is None):
            continue
        for row, quote in _to_come(session, new):
            is_gone = row.id == waiting or (schedule_id is not None and row.schedule_id == schedule_id)
            if is_gone and new.metadata.get(parse.QUOTE_KEY) != row.id:
                row.state = "outdated"
                found.append(changes.of_undone_change(quote, owner=owner, customer=new.customer, now=now))
    return found


def _to_come(session: Session, subscription: Subscription) -> list[tuple[StoredQuote, Quote]]:
    """What waits, or is planned for a moment that the subscription has not come to."""
    begun = max((each.current_period_start for each in subscription.items if each.current_period_start), default=None)
    found = [(row, Quote.from_dict(row.terms)) for row in rows.to_come(session, subscription.id)]
    return [
        (row, quote)
        for row, quote in found
        if begun is None or quote.effective_at is None or quote.effective_at > begun
    ]

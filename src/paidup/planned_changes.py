"""
Changes that are to come: the app is told when one is planned, and when it will not come after all.

What is dropped by somebody else, in the Dashboard or by Stripe as nobody paid, is seen by the synchronisation.
Functions take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from paidup.core import change_state, changes, parse
from paidup.core.changes import Change, Known
from paidup.core.quote import Quote
from paidup.database import quotes as rows
from paidup.database.tables import StoredQuote


def note_planned(session: Session, row: StoredQuote, schedule_id: str, *, now: datetime) -> Change:
    """Note that a schedule has a quote; what the app is told, in the same transaction."""
    rows.note(session, row, {"state": "done", "schedule_id": schedule_id})
    return changes.of_planned_change(Quote.from_dict(row.terms), customer=row.customer_id, now=now)


def drop(session: Session, subscription: dict[str, Any], *, owner: str, now: datetime) -> list[Change]:
    """
    No quote of a subscription holds any more; `subscription` is how it stood before.

    Told here as well as by the synchronisation: what was planned a moment ago, that may never have seen.
    """
    was = parse.subscription(subscription)
    dropped = rows.to_come(session, was.id, schedule_id=was.schedule, waiting=was.waiting_quote)
    rows.outdate(session, was.id)
    return [
        changes.of_undone_change(Quote.from_dict(row.terms), owner=owner, customer=was.customer, now=now)
        for row in dropped
        if not change_state.is_done(subscription, row.id)
    ]


def undone(session: Session, owner: str, before: Known, after: Known, *, now: datetime) -> list[Change]:
    """What was to come between two looks at a customer and will not; a subscription that has ended tells it itself."""
    found: list[Change] = []
    for id, was in before.subscriptions.items():
        new = after.subscriptions[id]
        schedule_id = was.schedule if was.schedule != new.schedule else None
        waiting = was.waiting_quote if was.waiting_quote != new.waiting_quote else None
        if new.has_ended or (schedule_id is None and waiting is None):
            continue
        for row, quote in _quoted(rows.to_come(session, id, schedule_id=schedule_id, waiting=waiting)):
            is_over = quote.effective_at is not None and quote.effective_at <= now
            if new.metadata.get(parse.QUOTE_KEY) != row.id and not is_over:
                row.state = "outdated"
                found.append(changes.of_undone_change(quote, owner=owner, customer=new.customer, now=now))
    return found


def _quoted(found: Iterable[StoredQuote]) -> list[tuple[StoredQuote, Quote]]:
    return [(row, Quote.from_dict(row.terms)) for row in found]

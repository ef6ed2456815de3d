"""Whose data this is: the first account that is noted for a mode stays."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from paidup.database.store import insert
from paidup.database.tables import StripeAccount


def noted(session: Session, account: str, *, livemode: bool, at: datetime) -> str:
    """The account of this mode: the one given, if there was none."""
    row = {"livemode": livemode, "account": account, "noted_at": at}
    session.execute(insert(session, StripeAccount).values(row).on_conflict_do_nothing())
    return session.get_one(StripeAccount, livemode).account

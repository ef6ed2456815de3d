"""A user's history: what happened to their billing, in words."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from paidup import Change
from saas.database import Activity, Database, User

_SENTENCES = {
    "subscription.started": "Welcome to {plan}. Everything in it is yours from now on.",
    "trial.ending": "The {plan} trial ends soon.",
    "plan.changed": "The plan is now {plan}.",
    "terms.changed": "Your {plan} plan was changed.",
    "addons.changed": "What you have beside {plan} was changed.",
    "payment.failed": "A payment failed.",
    "payment.recovered": "The payment came through. Thank you.",
    "subscription.canceling": "{plan} was canceled and runs until its end.",
    "subscription.resumed": "{plan} goes on; the cancellation was taken back.",
    "subscription.ended": "{plan} has ended.",
}

KINDS = tuple(_SENTENCES)
"""The changes that are worth a line."""


def record(database: Database, change: Change, *, plan_name: str) -> None:
    """
    Write a change into its owner's history, once.

    paidup calls a handler at least once per change; the change's id is the row's key, so a second call does nothing.
    """
    kind, _, user_id = change.owner.partition(":")
    if kind != "user":
        return
    text = _SENTENCES[change.kind].format(plan=plan_name)
    with database.writing() as db:
        if db.get(User, user_id) is None or db.get(Activity, change.id) is not None:
            return
        db.add(Activity(id=change.id, user_id=user_id, text=text, created=change.created))


def latest(db: Session, user: User, *, limit: int = 6) -> Sequence[Activity]:
    """The newest lines first."""
    newest = select(Activity).where(Activity.user_id == user.id).order_by(Activity.created.desc(), Activity.id)
    return db.scalars(newest.limit(limit)).all()

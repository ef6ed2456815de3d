"""
Taking in customers of an existing account: noted first, mapped to their owners once everything of them is stored.

Until then their rows are nobody's: no access comes from them and no change is told of them. Rows are only inserted;
one that is there already is newer. Functions take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, false, literal, select
from sqlalchemy.orm import Session

from paidup.core.differences import Difference
from paidup.database import bulk, reversals, store
from paidup.database.rows import Row, customer_row
from paidup.database.tables import (
    Adoption,
    Customer,
    Invoice,
    OwnerMapping,
    Reversal,
    Subscription,
    SubscriptionItem,
    SyncTarget,
)

CLOCKS = timedelta(minutes=1)
"""How far the clocks of two machines may be apart."""

CLAIMED_TWICE = "owner_has_another_customer"
INTENT = "adopted"
"""The intent of a mapping that an import made: nothing was asked for at Stripe."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A customer with the owner it is said to belong to."""

    body: Mapping[str, Any]
    owner: str

    @property
    def id(self) -> str:
        """The customer's."""
        return str(self.body["id"])


@dataclass(frozen=True, slots=True)
class Published:
    """Customers that became somebody's, those of them to synchronise again, and those that could not."""

    adopted: list[str]
    moved: list[str]
    refused: list[Difference]


def discard(session: Session, *, livemode: bool) -> None:
    """Forget what an import that nobody goes on with had begun."""
    _discard_rows(session, select(Adoption.id).where(Adoption.livemode.is_(livemode)))
    session.execute(delete(Adoption).where(Adoption.livemode.is_(livemode)))


def note(session: Session, claims: Sequence[Claim], *, livemode: bool, fetched_at: datetime) -> list[Difference]:
    """Note whose customers are. One owner has one customer: a further claim is refused and returned."""
    if not claims:
        return []
    taken: set[str] = set()
    for model in (OwnerMapping, Adoption):
        claimed = bulk.among(session, model.owner, [each.owner for each in claims])
        taken.update(session.scalars(select(model.owner).where(claimed, model.livemode.is_(livemode))))
    rows = []
    for each in claims:
        if each.owner not in taken:
            row = customer_row(each.body, owner=each.owner, livemode=livemode, synced_at=fetched_at)
            rows.append({name: value for name, value in row.items() if name not in ("deleted", "synced_at")})
            rows[-1]["fetched_at"] = fetched_at
            taken.add(each.owner)
    bulk.insert_new(session.connection(), Adoption, rows)
    accepted = noted(session, [each.id for each in claims])
    return [second_claim(each.id, each.owner) for each in claims if each.id not in accepted]


def noted(session: Session, customer_ids: Iterable[str]) -> set[str]:
    """Which of these customers are being taken in."""
    return set(session.scalars(select(Adoption.id).where(bulk.among(session, Adoption.id, customer_ids))))


def store_invoices(session: Session, rows: Sequence[Row]) -> int:
    """Insert invoices that aren't there; how many."""
    return len(bulk.insert_new(session.connection(), Invoice, rows))


def store_subscriptions(session: Session, rows: Sequence[Row], items: Sequence[Row]) -> int:
    """Insert subscriptions that aren't there, with their items; how many."""
    new = bulk.insert_new(session.connection(), Subscription, rows)
    bulk.insert_new(session.connection(), SubscriptionItem, [item for item in items if item["subscription_id"] in new])
    return len(new)


def publish(session: Session, *, livemode: bool, now: datetime, most: int) -> Published | None:
    """
    Make some of the noted customers their owners'; None when there are no more.

    `moved` are those of whom something was processed since they were fetched: it found nobody's customer then.
    """
    batch = session.execute(
        select(Adoption.id, Adoption.owner, Adoption.fetched_at)
        .where(Adoption.livemode.is_(livemode))
        .order_by(Adoption.id)
        .limit(most)
    ).all()
    if not batch:
        return None
    these = bulk.among(session, Adoption.id, [each.id for each in batch])
    adopted = set(
        session.scalars(
            store.insert(session, OwnerMapping)
            .from_select(
                ["owner", "livemode", "customer_id", "intent", "params", "created"],
                select(
                    Adoption.owner,
                    Adoption.livemode,
                    Adoption.id,
                    literal(INTENT),
                    literal({}, OwnerMapping.params.type),
                    literal(now, OwnerMapping.created.type),
                ).where(these),
            )
            .on_conflict_do_nothing()
            .returning(OwnerMapping.customer_id)
        )
    )
    columns = ("id", "owner", "email", "name", "livemode", "created", "snapshot")
    session.execute(
        store.insert(session, Customer)
        .from_select(
            [*columns, "deleted", "synced_at"],
            select(*(getattr(Adoption, name) for name in columns), false(), Adoption.fetched_at).where(
                bulk.among(session, Adoption.id, sorted(filter(None, adopted)))
            ),
        )
        .on_conflict_do_nothing()
    )
    # They are nobody's until this transaction ends: no worker writes these rows beside us.
    theirs = sorted(filter(None, adopted))
    store.save_past_due_since_of(session, bulk.among(session, Subscription.customer_id, theirs))
    reversals.mark_those(
        session,
        bulk.among(session, Reversal.customer_id, theirs),
        bulk.among(session, Subscription.customer_id, theirs),
    )
    refused = [each for each in batch if each.id not in adopted]
    _discard_rows(session, [each.id for each in refused])
    moved = _moved(session, {f"customer:{each.id}": each.fetched_at for each in batch if each.id in adopted})
    session.execute(delete(Adoption).where(these).execution_options(synchronize_session=False))
    ids = [each.id for each in batch if each.id in adopted]
    return Published(ids, moved, [second_claim(each.id, each.owner) for each in refused])


def announce(session: Session, *, livemode: bool, most: int) -> list[Difference]:
    """Give up some of the noted customers again, as what a run that may write would take in."""
    batch = session.execute(
        select(Adoption.id, Adoption.owner).where(Adoption.livemode.is_(livemode)).order_by(Adoption.id).limit(most)
    ).all()
    these = bulk.among(session, Adoption.id, [each.id for each in batch])
    session.execute(delete(Adoption).where(these).execution_options(synchronize_session=False))
    return [Difference("customer", each.id, each.id, "owner", None, each.owner) for each in batch]


def second_claim(customer_id: str, owner: str) -> Difference:
    """A customer whose owner has another one: which of them is right, a person has to say."""
    return Difference("customer", customer_id, customer_id, "owner", None, owner, 0, None, "unsafe", CLAIMED_TWICE)


def _moved(session: Session, fetched_at: Mapping[str, datetime]) -> list[str]:
    """Targets that are being worked on, or were since their customer was fetched."""
    rows = session.scalars(select(SyncTarget).where(bulk.among(session, SyncTarget.target, list(fetched_at))))
    return sorted(
        row.target
        for row in rows
        if row.applied < row.requested
        or (row.applied_at is not None and row.applied_at > fetched_at[row.target] - CLOCKS)
    )


def _discard_rows(session: Session, customer_ids: Any) -> None:
    """Rows of customers that are nobody's."""
    mapped = select(OwnerMapping.customer_id).where(OwnerMapping.customer_id.is_not(None))
    subscriptions = select(Subscription.id).where(
        Subscription.customer_id.in_(customer_ids), Subscription.customer_id.not_in(mapped)
    )
    for statement in (
        delete(SubscriptionItem).where(SubscriptionItem.subscription_id.in_(subscriptions)),
        delete(Subscription).where(Subscription.id.in_(subscriptions)),
        delete(Invoice).where(Invoice.customer_id.in_(customer_ids), Invoice.customer_id.not_in(mapped)),
    ):
        session.execute(statement.execution_options(synchronize_session=False))

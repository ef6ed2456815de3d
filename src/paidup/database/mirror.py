"""
Our side of a comparison: mirrored rows as plain dicts, by id, by window of time and by customer.

Only what is expected at Stripe: rows of customers that are somebody's here. Functions take a session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from paidup.database import bulk, store, tables
from paidup.database.rows import Row
from paidup.database.tables import Customer, Invoice, OwnerMapping, Subscription, SubscriptionItem, SyncTarget

_MODELS: dict[str, type[tables.Base]] = {
    "product": tables.Product,
    "price": tables.Price,
    "customer": Customer,
    "subscription": Subscription,
    "invoice": Invoice,
    "refund": tables.Reversal,
    "dispute": tables.Reversal,
}


_WINDOW_ROWS = 5_000
"""A window has about as many rows as a page; where Stripe lacks everything, all of them, so they are read in parts."""


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that is stored of one customer; a subscription's row has its `items` by id."""

    owner: str | None
    customer: Row | None
    subscriptions: dict[str, Row] = field(default_factory=dict)
    invoices: dict[str, Row] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a target is, to see whether it moved between two looks."""

    requested: int = 0
    applied: int = 0
    gave_up: bool = False

    @property
    def in_flight(self) -> bool:
        """Will a worker synchronise it by itself?"""
        return self.applied < self.requested and not self.gave_up


def position(session: Session, target: str) -> Position:
    """How far a target is."""
    row = session.get(SyncTarget, target)
    return Position() if row is None else Position(row.requested, row.applied, row.gave_up_at is not None)


def owners(session: Session, customer_ids: Iterable[str], *, livemode: bool) -> dict[str, str]:
    """Whose these customers are, for those that are somebody's here."""
    rows = session.execute(
        select(OwnerMapping.customer_id, OwnerMapping.owner).where(
            bulk.among(session, OwnerMapping.customer_id, customer_ids), OwnerMapping.livemode.is_(livemode)
        )
    )
    return {customer_id: owner for customer_id, owner in rows if customer_id is not None}


def intents(session: Session, owners: Iterable[str], *, livemode: bool) -> dict[str, tuple[str, str | None]]:
    """For owners that have a mapping: the intent of it, and their customer if it is known."""
    rows = session.execute(
        select(OwnerMapping.owner, OwnerMapping.intent, OwnerMapping.customer_id).where(
            bulk.among(session, OwnerMapping.owner, owners), OwnerMapping.livemode.is_(livemode)
        )
    )
    return {owner: (intent, customer_id) for owner, intent, customer_id in rows}


def by_id(session: Session, kind: str, ids: Sequence[str]) -> dict[str, Row]:
    """The rows of these ids that are there."""
    model = _MODELS[kind]
    found = _rows(session, model, bulk.among(session, model.__table__.c.id, ids)) if ids else {}
    return _with_items(session, found) if kind == "subscription" else found


def ids(session: Session, kind: str, *, livemode: bool) -> set[str]:
    """The ids of all products or prices that aren't archived as deleted."""
    model = _MODELS[kind]
    columns = model.__table__.c
    return set(session.scalars(select(columns.id).where(columns.livemode.is_(livemode), columns.deleted.is_(False))))


def window(
    session: Session, kind: str, *, livemode: bool, after: datetime | None, until: datetime | None
) -> Iterator[tuple[str, str]]:
    """
    Ids, with their customers', of the rows created after one moment and until another (None is without a bound).

    Rows of deleted customers, and of customers that are nobody's here, are not among them.
    """
    model = _MODELS[kind]
    columns = model.__table__.c
    if kind == "customer":
        query = select(columns.id, columns.id.label("customer_id")).where(
            columns.livemode.is_(livemode), columns.deleted.is_(False)
        )
    else:
        query = (
            select(columns.id, columns.customer_id)
            .join(Customer, Customer.id == columns.customer_id)
            .where(columns.livemode.is_(livemode), Customer.deleted.is_(False))
        )
    if after is not None:
        query = query.where(columns.created > after)
    if until is not None:
        query = query.where(columns.created <= until)
    last = ""
    while rows := session.execute(query.where(columns.id > last).order_by(columns.id).limit(_WINDOW_ROWS)).all():
        yield from ((row.id, row.customer_id) for row in rows)
        last = rows[-1].id
        if len(rows) < _WINDOW_ROWS:
            return


def of_customer(session: Session, customer_id: str, *, livemode: bool) -> Known:
    """Everything that is stored of a customer."""
    customers = by_id(session, "customer", [customer_id])
    return Known(
        owner=owners(session, [customer_id], livemode=livemode).get(customer_id),
        customer=customers.get(customer_id),
        subscriptions=_with_items(session, _rows(session, Subscription, Subscription.customer_id == customer_id)),
        invoices=_rows(session, Invoice, Invoice.customer_id == customer_id),
    )


def late_marks(session: Session, *, livemode: bool) -> list[str]:
    """Customers with a subscription whose `past_due_since` is not what their invoices say."""
    rows = session.scalars(
        select(Subscription.customer_id)
        .join(OwnerMapping, OwnerMapping.customer_id == Subscription.customer_id)
        .where(Subscription.livemode.is_(livemode), Subscription.past_due_since.is_distinct_from(store.oldest_failed()))
        .distinct()
    )
    return list(rows)


def _rows(session: Session, model: type[tables.Base], condition: Any) -> dict[str, Row]:
    # Plain rows: building mapped objects costs several times as much, for thousands a second.
    table = model.__table__
    assert isinstance(table, Table)
    return {row["id"]: dict(row) for row in session.execute(select(table).where(condition)).mappings()}


def _with_items(session: Session, subscriptions: dict[str, Row]) -> dict[str, Row]:
    for row in subscriptions.values():
        row["items"] = {}
    wanted = bulk.among(session, SubscriptionItem.subscription_id, subscriptions)
    for item in _rows(session, SubscriptionItem, wanted).values() if subscriptions else ():
        subscriptions[item["subscription_id"]]["items"][item["id"]] = item
    return subscriptions

"""
Stripe's JSON into rows, and rows into our types.

Writes are upserts. Only the holder of a target's lease writes its rows, so a fetch never overwrites a later one,
whatever the clocks of two machines say. Functions take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from paidup.core import parse
from paidup.core.changes import Known
from paidup.core.customer import Customer
from paidup.core.invoice import Invoice
from paidup.core.subscription import Subscription
from paidup.database import tables
from paidup.database.rows import customer_row, invoice_row, item_rows, price_row, product_row, subscription_row

Json = Mapping[str, Any]
_ROWS_A_STATEMENT = 500

NEVER_PAID = ("void", "uncollectible")
"""The statuses of an invoice that was given up."""


def insert(session: Session, model: type[tables.Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of the session's dialect; both know ON CONFLICT."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(model)
    return sqlite.insert(model)


def save_customer(session: Session, body: Json, *, owner: str, livemode: bool, synced_at: datetime) -> None:
    """Store a customer; a deleted one keeps what was known and is marked."""
    customer = parse.customer(body, owner=owner)
    if customer.deleted:
        session.execute(
            update(tables.Customer).where(tables.Customer.id == customer.id).values(deleted=True, synced_at=synced_at)
        )
        return
    row = customer_row(body, owner=owner, livemode=livemode, synced_at=synced_at)
    upsert(session, tables.Customer, [row])


def forget_customer(session: Session, customer_id: str) -> None:
    """Who a deleted customer was is nobody's business any more. What was billed stays, as the law wants it."""
    session.execute(update(tables.OwnerMapping).where(tables.OwnerMapping.customer_id == customer_id).values(params={}))
    snapshot = {"id": customer_id, "object": "customer", "deleted": True}
    session.execute(
        update(tables.Customer)
        .where(tables.Customer.id == customer_id)
        .values(deleted=True, email=None, name=None, snapshot=snapshot)
    )


def save_subscriptions(
    session: Session, bodies: Sequence[Json], *, plans: Mapping[str, str | None], synced_at: datetime
) -> None:
    """Store subscriptions with their items; `plans` is the plan each is on, by subscription id."""
    rows, items = [], []
    for body in bodies:
        subscription = parse.subscription(body)
        rows.append(subscription_row(subscription, body, plan=plans.get(subscription.id), synced_at=synced_at))
        items.extend(item_rows(subscription, synced_at=synced_at))
    upsert(session, tables.Subscription, rows)
    upsert(session, tables.SubscriptionItem, items)
    if rows:
        session.execute(
            delete(tables.SubscriptionItem).where(
                tables.SubscriptionItem.subscription_id.in_([row["id"] for row in rows]),
                tables.SubscriptionItem.synced_at != synced_at,
            )
        )


def save_invoices(session: Session, customer_id: str, bodies: Sequence[Json], *, synced_at: datetime) -> None:
    """Store all invoices of a customer; one that Stripe no longer has (a deleted draft) goes."""
    rows = [invoice_row(body, synced_at=synced_at) for body in bodies]
    upsert(session, tables.Invoice, rows)
    session.execute(
        delete(tables.Invoice).where(tables.Invoice.customer_id == customer_id, tables.Invoice.synced_at != synced_at)
    )


def save_past_due_since(session: Session, customer_id: str) -> None:
    """Note on each subscription when the oldest of its failed invoices fell due, and whether it was ever paid."""
    save_past_due_since_of(session, tables.Subscription.customer_id == customer_id)


def save_past_due_since_of(session: Session, which: ColumnElement[bool]) -> None:
    """The same for all subscriptions that a condition names."""
    session.execute(
        update(tables.Subscription)
        .where(which)
        .values(past_due_since=oldest_failed(), awaits_first_payment=or_(_first_is_open(), _first_never_came()))
        .execution_options(synchronize_session=False)
    )


def oldest_failed() -> ScalarSelect[datetime | None]:
    """When the oldest of a subscription's open, failed invoices fell due."""
    return (
        select(func.min(tables.Invoice.finalized_at))
        .where(
            tables.Invoice.subscription_id == tables.Subscription.id,
            tables.Invoice.status == "open",
            tables.Invoice.attempt_count > 0,
        )
        .scalar_subquery()
    )


def first_payments_failed(session: Session, customer_id: str) -> dict[str, str]:
    """
    Subscriptions that Stripe calls active though their first payment, which took days, failed for good.

    Each with the invoice that was not paid.
    """
    found = session.execute(
        select(tables.Subscription.id, tables.Invoice.id)
        .join(tables.Invoice, _is_first_invoice(*NEVER_PAID))
        .where(
            tables.Subscription.customer_id == customer_id,
            tables.Subscription.status == "active",
            _first_never_came(),
        )
    )
    return dict(found.all())


def fail_checkouts(session: Session, customer_id: str) -> None:
    """Note the Checkouts whose payment never came, once their subscription is over."""
    session.execute(
        update(tables.CheckoutIntent)
        .where(
            tables.CheckoutIntent.customer_id == customer_id,
            _is_unpaid_checkout(),
            exists().where(_was_bought_by(), tables.Subscription.status == "canceled"),
        )
        .values(state="failed")
        .execution_options(synchronize_session=False)
    )


def _first_is_open() -> ColumnElement[bool]:
    """Is the first invoice, which is charged by itself, still open?"""
    by_itself = tables.Subscription.snapshot["collection_method"].as_string() == "charge_automatically"
    return and_(by_itself, _first_invoice("open"))


def _first_never_came() -> ColumnElement[bool]:
    """Did Stripe take the first invoice back, its payment having failed? A merchant may do so too, having been paid."""
    return and_(
        _first_invoice(*NEVER_PAID),
        exists().where(_is_unpaid_checkout(), _was_bought_by()).correlate(tables.Subscription),
    )


def _first_invoice(*statuses: str) -> ColumnElement[bool]:
    return exists().where(_is_first_invoice(*statuses)).correlate(tables.Subscription)


def _is_first_invoice(*statuses: str) -> ColumnElement[bool]:
    return and_(
        tables.Invoice.subscription_id == tables.Subscription.id,
        tables.Invoice.status.in_(statuses),
        tables.Invoice.snapshot["billing_reason"].as_string() == "subscription_create",
    )


def _is_unpaid_checkout() -> ColumnElement[bool]:
    return and_(tables.CheckoutIntent.state == "complete", tables.CheckoutIntent.payment_status == "unpaid")


def _was_bought_by() -> ColumnElement[bool]:
    return and_(
        tables.Subscription.customer_id == tables.CheckoutIntent.customer_id,
        tables.Subscription.snapshot["metadata"][parse.INTENT_KEY].as_string() == tables.CheckoutIntent.id,
    )


def save_product(session: Session, product_id: str, body: Json | None, *, livemode: bool, synced_at: datetime) -> None:
    """Store a product; None, or a deleted stub, archives what is known of it."""
    if body is None or body.get("deleted"):
        session.execute(
            update(tables.Product)
            .where(tables.Product.id == product_id, tables.Product.livemode.is_(livemode))
            .values(active=False, deleted=True, synced_at=synced_at)
        )
        return
    row = product_row(body, livemode=livemode, synced_at=synced_at)
    upsert(session, tables.Product, [row])


def save_price(session: Session, price_id: str, body: Json | None, *, livemode: bool, synced_at: datetime) -> None:
    """Store a price; None, or a deleted stub, archives what is known of it."""
    if body is None or body.get("deleted"):
        session.execute(
            update(tables.Price)
            .where(tables.Price.id == price_id, tables.Price.livemode.is_(livemode))
            .values(active=False, deleted=True, synced_at=synced_at)
        )
        return
    row = price_row(body, livemode=livemode, synced_at=synced_at)
    upsert(session, tables.Price, [row])


def currency_options(session: Session, price_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """What prices cost in every currency, as Stripe said it, by the prices' ids; those that it was said of."""
    found = session.execute(select(tables.Price.id, tables.Price.snapshot).where(tables.Price.id.in_(price_ids)))
    return {id: options for id, body in found if (options := body.get("currency_options"))}


def known(session: Session, customer_id: str) -> Known:
    """What we know of a customer's subscriptions and invoices."""
    subscriptions = session.scalars(select(tables.Subscription).where(tables.Subscription.customer_id == customer_id))
    invoices = session.scalars(select(tables.Invoice).where(tables.Invoice.customer_id == customer_id))
    return Known(
        subscriptions={row.id: as_subscription(row) for row in subscriptions},
        invoices={row.id: as_invoice(row) for row in invoices},
    )


def subscriptions_of(session: Session, owner: str, *, livemode: bool) -> list[Subscription]:
    """Every subscription of an owner's customers, by one indexed query; a deleted customer has none that count."""
    rows = session.scalars(
        select(tables.Subscription)
        .join(tables.Customer, tables.Customer.id == tables.Subscription.customer_id)
        .where(
            tables.Customer.owner == owner,
            tables.Customer.livemode.is_(livemode),
            tables.Customer.deleted.is_(False),
        )
    )
    return [as_subscription(row) for row in rows]


def invoices_of(
    session: Session, owner: str, *, livemode: bool, limit: int, before: Invoice | None = None
) -> list[Invoice]:
    """An owner's invoices, newest first, drafts left out; those that come after `before` in that order."""
    query = _invoices(owner, livemode=livemode).where(tables.Invoice.status != "draft")
    if before is not None:
        place = tuple_(tables.Invoice.created, tables.Invoice.id)
        query = query.where(place < tuple_(literal(before.created, tables.Invoice.created.type), literal(before.id)))
    rows = session.scalars(query.order_by(tables.Invoice.created.desc(), tables.Invoice.id.desc()).limit(limit))
    return [as_invoice(row) for row in rows]


def invoice_of(session: Session, owner: str, invoice_id: str, *, livemode: bool) -> Invoice | None:
    """An invoice of this very owner; None for one that is unknown or somebody else's."""
    row = session.scalars(_invoices(owner, livemode=livemode).where(tables.Invoice.id == invoice_id)).one_or_none()
    return as_invoice(row) if row else None


def open_invoices_of(session: Session, owner: str, subscription_id: str, *, livemode: bool) -> list[Invoice]:
    """The finalised invoices of an owner's subscription that wait for money."""
    rows = session.scalars(
        _invoices(owner, livemode=livemode).where(
            tables.Invoice.subscription_id == subscription_id, tables.Invoice.status == "open"
        )
    )
    return [as_invoice(row) for row in rows]


def _invoices(owner: str, *, livemode: bool) -> Select[tables.Invoice]:
    return (
        select(tables.Invoice)
        .join(tables.Customer, tables.Customer.id == tables.Invoice.customer_id)
        .where(tables.Customer.owner == owner, tables.Customer.livemode.is_(livemode))
    )


def mapping_of(session: Session, owner: str, *, livemode: bool) -> tables.OwnerMapping | None:
    """The owner's customer, or the intent to create one; None for somebody who never bought."""
    return session.get(tables.OwnerMapping, (owner, livemode))


def mapping_to(session: Session, customer_id: str) -> tables.OwnerMapping | None:
    """The mapping of the owner who has this customer; None when they are nobody's here."""
    query = select(tables.OwnerMapping).where(tables.OwnerMapping.customer_id == customer_id)
    return session.scalars(query).one_or_none()


def mapping_by_intent(session: Session, intent: str) -> tables.OwnerMapping | None:
    """The mapping with this intent; None once another has taken its place. It reads all of them: for rare use."""
    return session.scalars(select(tables.OwnerMapping).where(tables.OwnerMapping.intent == intent)).one_or_none()


def is_deleted(session: Session, customer_id: str) -> bool:
    """Is it known that a customer was deleted at Stripe?"""
    row = session.get(tables.Customer, customer_id)
    return row is not None and row.deleted


def customer_of(session: Session, owner: str, *, livemode: bool) -> Customer | None:
    """The owner's customer; None before the first Checkout, and after a deletion at Stripe."""
    row = session.scalars(
        select(tables.Customer)
        .join(tables.OwnerMapping, tables.OwnerMapping.customer_id == tables.Customer.id)
        .where(
            tables.OwnerMapping.owner == owner,
            tables.OwnerMapping.livemode.is_(livemode),
            tables.Customer.deleted.is_(False),
        )
    ).one_or_none()
    return parse.customer(row.snapshot, owner=row.owner) if row else None


def holder_of(session: Session, kind: str, object_id: str) -> str | None:
    """The customer of a subscription or an invoice we know; None for any other object."""
    match kind:
        case "subscription":
            return session.scalars(
                select(tables.Subscription.customer_id).where(tables.Subscription.id == object_id)
            ).one_or_none()
        case "invoice":
            return session.scalars(
                select(tables.Invoice.customer_id).where(tables.Invoice.id == object_id)
            ).one_or_none()
        case _:
            return None


def subscription_of(session: Session, invoice_id: str) -> str | None:
    """The subscription that an invoice we know bills."""
    return session.scalars(select(tables.Invoice.subscription_id).where(tables.Invoice.id == invoice_id)).one_or_none()


def as_subscription(row: tables.Subscription) -> Subscription:
    """A subscription from its row."""
    return parse.subscription(
        row.snapshot,
        plan=row.plan,
        past_due_since=row.past_due_since,
        awaits_first_payment=row.awaits_first_payment,
        refunded=row.refunded,
        disputed=row.disputed,
    )


def as_invoice(row: tables.Invoice) -> Invoice:
    """An invoice from its row."""
    return parse.invoice(row.snapshot, amount_refunded=row.amount_refunded, dispute=row.dispute)


def upsert(session: Session, model: type[tables.Base], rows: Sequence[dict[str, Any]]) -> None:
    """Store rows by their id, in place of those that are there."""
    for chunk in _chunks(rows):
        statement = insert(session, model).values(chunk)
        columns = [name for name in chunk[0] if name != "id"]
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["id"],
                set_={name: statement.excluded[name] for name in columns},
            )
        )


def _chunks(rows: Sequence[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        yield list(rows[start : start + _ROWS_A_STATEMENT])

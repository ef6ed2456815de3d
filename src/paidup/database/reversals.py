"""
Refunds and disputes in the database, and what they make of invoices and subscriptions.

What stands on an invoice and a subscription follows from the rows alone, so it is written again whenever either side
changed, by one transaction at a time. Functions take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from paidup.core.reversal import LOST_DISPUTE, NOT_REFUNDED, OPEN_DISPUTES, Reversal
from paidup.database import store, tables
from paidup.database.rows import reversal_row

_Invoice = tables.Invoice
_Subscription = tables.Subscription
_LOCK_SEED = 0x7061696475702D72
"""Tells these locks from those of other programs on the same database."""
_BILLS_A_PERIOD = ("subscription_create", "subscription_cycle")


def of_charge(session: Session, charge_id: str) -> dict[str, Reversal]:
    """What is known of a charge's refunds and disputes, by id."""
    rows = session.scalars(select(tables.Reversal).where(tables.Reversal.charge_id == charge_id))
    return {row.id: _as_reversal(row) for row in rows}


def save(session: Session, found: Iterable[tuple[Reversal, Mapping[str, Any]]], *, synced_at: datetime) -> None:
    """Store refunds and disputes."""
    store.upsert(session, tables.Reversal, [reversal_row(each, body, synced_at=synced_at) for each, body in found])


def mark(session: Session, customer_id: str) -> None:
    """Note on a customer's invoices and subscriptions what went back of their payments, after all else is written."""
    _one_at_a_time(session, customer_id)
    mark_those(session, tables.Reversal.customer_id == customer_id, _Subscription.customer_id == customer_id)


def mark_those(session: Session, reversals: ColumnElement[bool], subscriptions: ColumnElement[bool]) -> None:
    """The same for those of many customers: the conditions name their reversals and their subscriptions."""
    if not session.scalar(select(exists().where(reversals))):
        return  # as nearly everybody has none: nothing was ever marked, for none goes away
    reversed_ones = select(tables.Reversal.invoice_id).where(reversals, tables.Reversal.invoice_id.is_not(None))
    session.execute(
        update(_Invoice)
        .where(_Invoice.id.in_(reversed_ones))
        .values(amount_refunded=_amount_refunded(), dispute=_weightiest_dispute())
        .execution_options(synchronize_session=False)
    )
    refunded, disputed = _is_refunded(), _is_disputed()
    changed = or_(_Subscription.refunded != refunded, _Subscription.disputed != disputed)
    session.execute(
        update(_Subscription)
        .where(subscriptions, _Subscription.id.in_(_paid_by(reversed_ones)), changed)
        .values(refunded=refunded, disputed=disputed)
        .execution_options(synchronize_session=False)
    )


def _one_at_a_time(session: Session, customer_id: str) -> None:
    """
    Until the transaction ends nobody else marks this customer: or each of two misses what the other is about to commit.

    A lock of nothing, so that nobody waits for it who wants a row. SQLite has one writer at a time as it is.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(customer_id, _LOCK_SEED))))


def _paid_by(invoices: Select[Any]) -> Select[Any]:
    """The subscriptions that some invoices bill."""
    return select(_Invoice.subscription_id).where(_Invoice.id.in_(invoices), _Invoice.subscription_id.is_not(None))


def _amount_refunded() -> ColumnElement[int]:
    refunds = select(func.sum(tables.Reversal.amount)).where(
        tables.Reversal.invoice_id == _Invoice.id,
        tables.Reversal.kind == "refund",
        tables.Reversal.status.not_in(NOT_REFUNDED),
    )
    return func.coalesce(refunds.scalar_subquery(), 0)


def _weightiest_dispute() -> ColumnElement[str | None]:
    weight = case(
        (tables.Reversal.status.in_(OPEN_DISPUTES), 0),
        (tables.Reversal.status == LOST_DISPUTE, 1),
        else_=2,
    )
    return (
        select(tables.Reversal.status)
        .where(tables.Reversal.invoice_id == _Invoice.id, tables.Reversal.kind == "dispute")
        .order_by(weight, tables.Reversal.created.desc(), tables.Reversal.id)
        .limit(1)
        .scalar_subquery()
    )


def _is_refunded() -> ColumnElement[bool]:
    """Was the last period's invoice refunded whole, and nothing paid since that was not?"""
    refunded, kept = aliased(_Invoice), aliased(_Invoice)
    return (
        exists()
        .where(
            refunded.subscription_id == _Subscription.id,
            refunded.amount_paid > 0,
            refunded.amount_refunded >= refunded.amount_paid,
            refunded.snapshot["billing_reason"].as_string().in_(_BILLS_A_PERIOD),
            ~exists()
            .where(
                kept.subscription_id == _Subscription.id,
                kept.status == "paid",
                kept.amount_paid > kept.amount_refunded,
                kept.created >= refunded.created,
            )
            .correlate(_Subscription, refunded),
        )
        .correlate(_Subscription)
    )


def _is_disputed() -> ColumnElement[bool]:
    """Is a dispute undecided, or was one lost and nothing paid since?"""
    disputed, paid = aliased(_Invoice), aliased(_Invoice)
    paid_since = (
        exists()
        .where(
            paid.subscription_id == _Subscription.id,
            paid.status == "paid",
            paid.amount_paid > 0,
            paid.dispute.is_(None),
            paid.created > disputed.created,
        )
        .correlate(_Subscription, disputed)
    )
    return (
        exists()
        .where(
            disputed.subscription_id == _Subscription.id,
            or_(disputed.dispute.in_(OPEN_DISPUTES), and_(disputed.dispute == LOST_DISPUTE, ~paid_since)),
        )
        .correlate(_Subscription)
    )


def _as_reversal(row: tables.Reversal) -> Reversal:
    return Reversal(
        id=row.id,
        kind=row.kind,
        charge=row.charge_id,
        payment_intent=row.payment_intent_id,
        customer=row.customer_id,
        invoice=row.invoice_id,
        amount=row.amount,
        currency=row.currency,
        status=row.status,
        reason=row.reason,
        created=row.created,
        livemode=row.livemode,
    )

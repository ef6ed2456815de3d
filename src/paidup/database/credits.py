"""
Credits in the database: entries, and balances that are their sums. Functions take a session and never commit.

A balance is changed by the statement that checks it, so that no two transactions spend the same unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from paidup.core.credits import Brought, CreditEntry
from paidup.core.reversal import LOST_DISPUTE, NOT_REFUNDED, OPEN_DISPUTES
from paidup.database.store import insert
from paidup.database.tables import CreditBalance, Invoice, Price, Reversal, StoredCreditEntry

_Entry = StoredCreditEntry


def add(
    session: Session,
    key: str,
    *,
    owner: str,
    livemode: bool,
    credit: str,
    units: int,
    kind: str,
    created: datetime,
    **more: Any,
) -> bool:
    """Write an entry, and change the balance by it; False when there is one of this key already."""
    row = {"key": key, "owner": owner, "livemode": livemode, "credit": credit, "units": units, "kind": kind}
    statement = insert(session, _Entry).values(**row, created=created, **more)
    if (
        session.execute(statement.on_conflict_do_nothing(index_elements=["key"]).returning(_Entry.number)).first()
        is None
    ):
        return False
    balance = insert(session, CreditBalance).values(owner=owner, livemode=livemode, credit=credit, units=units)
    session.execute(
        balance.on_conflict_do_update(
            index_elements=["owner", "livemode", "credit"], set_={"units": CreditBalance.units + balance.excluded.units}
        )
    )
    return True


def take(session: Session, key: str, *, owner: str, livemode: bool, credit: str, units: int, **more: Any) -> bool:
    """
    Spend units once per key, if there are as many; False when there are not, and then nothing is written.

    The balance is changed first, so that who has to wait for another one waits there.
    """
    if entry_of(session, key) is not None:
        return True
    result = session.execute(
        update(CreditBalance)
        .where(*_is(owner, livemode, credit), CreditBalance.units >= units)
        .values(units=CreditBalance.units - units)
        .execution_options(synchronize_session=False)
    )
    if not (isinstance(result, CursorResult) and result.rowcount):
        return entry_of(session, key) is not None  # the same call at the same moment may have taken the last ones
    row = {"key": key, "owner": owner, "livemode": livemode, "credit": credit, "units": -units, "kind": "spent"}
    statement = insert(session, _Entry).values(**row, **more).on_conflict_do_nothing(index_elements=["key"])
    if session.execute(statement.returning(_Entry.number)).first() is None:
        session.execute(
            update(CreditBalance)
            .where(*_is(owner, livemode, credit))
            .values(units=CreditBalance.units + units)
            .execution_options(synchronize_session=False)
        )
    return True


def entry_of(session: Session, key: str) -> StoredCreditEntry | None:
    """The entry of a key."""
    return session.scalars(select(_Entry).where(_Entry.key == key)).one_or_none()


def balances(session: Session, owner: str, *, livemode: bool) -> dict[str, int]:
    """How much an owner has of each credit that they ever had, by its key."""
    rows = session.execute(
        select(CreditBalance.credit, CreditBalance.units).where(
            CreditBalance.owner == owner, CreditBalance.livemode.is_(livemode)
        )
    )
    return {row.credit: row.units for row in rows}


def entries(
    session: Session, owner: str, *, livemode: bool, credit: str | None, limit: int, before: int | None
) -> list[CreditEntry]:
    """An owner's entries, newest first."""
    query = select(_Entry).where(_Entry.owner == owner, _Entry.livemode.is_(livemode))
    if credit is not None:
        query = query.where(_Entry.credit == credit)
    if before is not None:
        query = query.where(_Entry.number < before)
    return [_as_entry(row) for row in session.scalars(query.order_by(_Entry.number.desc()).limit(limit))]


def paid_invoices(session: Session, customer_id: str) -> set[str]:
    """The invoices of a customer that were paid as far as is known here."""
    return set(session.scalars(select(Invoice.id).where(Invoice.customer_id == customer_id, Invoice.status == "paid")))


def price_of(session: Session, price_id: str) -> dict[str, Any] | None:
    """A price as it was last seen."""
    row = session.get(Price, price_id)
    return None if row is None or row.deleted else row.snapshot


def brought(session: Session, subscription_id: str) -> list[Brought]:
    """What the invoices of a subscription have brought, in order."""
    query = select(_Entry).where(_Entry.subscription_id == subscription_id, _Entry.kind == "paid")
    return [
        Brought(row.line_id or "", row.price_id or "", row.credit, row.units, row.period_start, row.period_end)
        for row in session.scalars(query.order_by(_Entry.number))
        if row.period_start is not None and row.period_end is not None
    ]


def standing(session: Session, invoices: Iterable[str]) -> list[tuple[str, str, int, int]]:
    """Of invoices that brought something: invoice, credit, how much that was, and how much of it was taken back."""
    paid = func.sum(case((_Entry.kind == "paid", _Entry.units), else_=0))
    taken = -func.sum(case((_Entry.kind == "reversed", _Entry.units), else_=0))
    query = (
        select(_Entry.invoice_id, _Entry.credit, paid, taken)
        .where(_Entry.invoice_id.in_(list(invoices)))
        .group_by(_Entry.invoice_id, _Entry.credit)
        .order_by(_Entry.invoice_id, _Entry.credit)
    )
    return [(str(invoice), credit, int(units), int(back)) for invoice, credit, units, back in session.execute(query)]


def reversed_amounts(session: Session, invoices: Iterable[str]) -> Mapping[str, int]:
    """How much of what was paid for invoices went back, refunded or disputed, in minor units."""
    is_gone = or_(
        and_(Reversal.kind == "refund", Reversal.status.not_in(NOT_REFUNDED)),
        and_(Reversal.kind == "dispute", Reversal.status.in_((*OPEN_DISPUTES, LOST_DISPUTE))),
    )
    query = (
        select(Reversal.invoice_id, func.sum(Reversal.amount))
        .where(Reversal.invoice_id.in_(list(invoices)), is_gone)
        .group_by(Reversal.invoice_id)
    )
    return {str(invoice): int(amount) for invoice, amount in session.execute(query)}


def reversible(session: Session, customer_id: str) -> list[str]:
    """The invoices of a customer that brought something and of whose payments something ever went back."""
    known: Select[Any] = select(_Entry.invoice_id).where(
        _Entry.invoice_id.in_(
            select(Reversal.invoice_id).where(Reversal.customer_id == customer_id, Reversal.invoice_id.is_not(None))
        )
    )
    return sorted({str(each) for each in session.scalars(known)})


def reversals_of(session: Session, invoice_id: str, credit: str) -> int:
    """How often something of what an invoice brought was taken back, or came back."""
    query = select(func.count()).where(
        _Entry.invoice_id == invoice_id, _Entry.credit == credit, _Entry.kind == "reversed"
    )
    return session.scalar(query) or 0


def forfeit(session: Session, owner: str, customer_id: str, *, livemode: bool, now: datetime) -> None:
    """What is left goes with a customer who is deleted on request, once."""
    for credit, units in balances(session, owner, livemode=livemode).items():
        if units:
            key = f"forfeited:{customer_id}:{credit}"
            details: dict[str, Any] = {"owner": owner, "livemode": livemode, "credit": credit, "kind": "forfeited"}
            add(session, key, units=-units, created=now, **details)


def hand_over(session: Session, owner: str, to: str, *, livemode: bool) -> None:
    """Give all of an owner's balances to another one, and then the entries: who spends waits for the balances."""
    rows = session.scalars(
        select(CreditBalance)
        .where(CreditBalance.owner.in_((owner, to)), CreditBalance.livemode.is_(livemode))
        .order_by(CreditBalance.owner, CreditBalance.credit)
        .with_for_update()
    ).all()
    for row in rows:
        if row.owner == owner:
            more = insert(session, CreditBalance).values(
                owner=to, livemode=livemode, credit=row.credit, units=row.units
            )
            session.execute(
                more.on_conflict_do_update(
                    index_elements=["owner", "livemode", "credit"],
                    set_={"units": CreditBalance.units + more.excluded.units},
                )
            )
            session.delete(row)
    session.flush()
    session.execute(
        update(_Entry)
        .where(_Entry.owner == owner, _Entry.livemode.is_(livemode))
        .values(owner=to)
        .execution_options(synchronize_session=False)
    )


def _is(owner: str, livemode: bool, credit: str) -> tuple[Any, ...]:
    return CreditBalance.owner == owner, CreditBalance.livemode.is_(livemode), CreditBalance.credit == credit


def _as_entry(row: StoredCreditEntry) -> CreditEntry:
    return CreditEntry(
        number=row.number,
        owner=row.owner,
        credit=row.credit,
        units=row.units,
        kind=row.kind,
        invoice=row.invoice_id,
        note=row.note,
        created=row.created,
    )

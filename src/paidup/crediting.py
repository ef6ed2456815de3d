"""
Credits that invoices bring: asked for outside any transaction, written in the one that finds an invoice paid.

An invoice brings its credits when it becomes paid, once: an entry is unique by the invoice, its line and the credit.
What went back of its payments takes the same part along, as it stands at any time: the entries follow from the rows
alone, so a dispute that is won gives back exactly what it took. What takes a session never commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from paidup.core import changes, parse
from paidup.core.catalog import Catalog, PlanPrice
from paidup.core.changes import Change, Known
from paidup.core.credits import brought_by, sold_as, taken_along
from paidup.core.invoice import BilledLine
from paidup.core.subscription import Subscription
from paidup.database import credits as rows
from paidup.database.engine import Database
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]


@dataclass(slots=True)
class Lines:
    """The lines of invoices that were paid just now, by the invoice's id, and what their prices are sold as."""

    of: dict[str, list[BilledLine]] = field(default_factory=dict)
    sold: dict[str, PlanPrice] = field(default_factory=dict)


class Crediting:
    """Asks what invoices bring, and writes it."""

    def __init__(self, *, database: Database, gateway: Gateway, catalog: Catalog, livemode: bool) -> None:
        self._database = database
        self._gateway = gateway
        self._catalog = catalog
        self._livemode = livemode

    def lines(self, customer_id: str, invoices: Iterable[Json], subscriptions: Iterable[Json]) -> Lines:
        """
        All lines of what was paid since the last look.

        `subscriptions` are those that were fetched with the invoices: they have most prices with them. Costs calls only
        for long invoices, and for prices that nobody has seen.
        """
        found = Lines()
        if not self._catalog.credits:
            return found
        with self._database.read() as session:
            known = rows.paid_invoices(session, customer_id)
        for body in invoices:
            if body.get("status") == "paid" and body["id"] not in known and parse.invoice_subscription(body):
                page = body["lines"]
                lines = self._gateway.list_invoice_lines(body["id"]) if page.get("has_more") else page["data"]
                found.of[body["id"]] = parse.billed_lines(lines)
        seen = {item["price"]["id"]: item["price"] for each in subscriptions for item in each["items"]["data"]}
        for price_id in sorted({line.price for lines in found.of.values() for line in lines if line.price}):
            sold = self._sold_as(price_id, seen.get(price_id))
            if sold is not None:
                found.sold[price_id] = sold
        return found

    def _sold_as(self, price_id: str, body: Json | None) -> PlanPrice | None:
        """An invoice may come before the price that it charges, so Stripe is asked for one that is not mirrored."""
        if body is None:
            with self._database.read() as session:
                body = rows.price_of(session, price_id)
        body = body or self._gateway.find_price(price_id)
        return sold_as(parse.sold_price(body), self._catalog) if body is not None else None

    def bring(
        self, session: Session, lines: Lines, before: Known, after: Known, *, owner: str, customer: str, now: datetime
    ) -> list[Change]:
        """Write what the invoices that have become paid bring; what the app is told."""
        paid = [
            invoice
            for invoice in sorted(after.invoices.values(), key=lambda each: (each.created, each.id))
            if invoice.id in lines.of and invoice.is_paid
            if not ((old := before.invoices.get(invoice.id)) and old.is_paid)
        ]
        totals: dict[tuple[str, str], int] = {}
        for invoice in paid:
            subscription = str(invoice.subscription)
            for each in brought_by(
                lines.of[invoice.id],
                lines.sold,
                before=rows.brought(session, subscription),
                periods=_periods(after.subscriptions.get(subscription)),
            ):
                is_new = rows.add(
                    session,
                    f"paid:{invoice.id}:{each.line}:{each.credit}",
                    owner=owner,
                    livemode=self._livemode,
                    credit=each.credit,
                    units=each.units,
                    kind="paid",
                    created=now,
                    invoice_id=invoice.id,
                    subscription_id=subscription,
                    line_id=each.line,
                    price_id=each.price,
                    period_start=each.start,
                    period_end=each.end,
                )
                if is_new:
                    totals[invoice.id, each.credit] = totals.get((invoice.id, each.credit), 0) + each.units
        balances = rows.balances(session, owner, livemode=self._livemode) if totals else {}
        told = [
            changes.of_granted_credits(
                invoice,
                after.invoices[invoice].subscription,
                owner=owner,
                customer=customer,
                credit=credit,
                units=units,
                balance=balances[credit],
                now=now,
            )
            for (invoice, credit), units in totals.items()
            if units
        ]
        paid_now = [invoice.id for invoice in paid]
        return told + self._settle(session, paid_now, after.invoices, owner=owner, customer=customer, now=now)

    def take_back(self, session: Session, known: Known, *, owner: str, customer: str, now: datetime) -> list[Change]:
        """Write what goes with the money that went back of a customer's payments, or comes back with it."""
        found = rows.reversible(session, customer)
        return self._settle(session, found, known.invoices, owner=owner, customer=customer, now=now)

    def _settle(
        self,
        session: Session,
        invoices: list[str],
        known: Mapping[str, Any],
        *,
        owner: str,
        customer: str,
        now: datetime,
    ) -> list[Change]:
        if not invoices:
            return []
        told: list[Change] = []
        gone = rows.reversed_amounts(session, invoices)
        for invoice, credit, units, taken in rows.standing(session, invoices):
            if invoice not in known:
                continue
            due = taken_along(units, reversed_amount=gone.get(invoice, 0), total=known[invoice].total)
            if due == taken:
                continue
            count = rows.reversals_of(session, invoice, credit)
            rows.add(
                session,
                f"reversed:{invoice}:{credit}:{count}",
                owner=owner,
                livemode=self._livemode,
                credit=credit,
                units=taken - due,
                kind="reversed",
                created=now,
                invoice_id=invoice,
            )
            told.append(
                changes.of_reversed_credits(
                    invoice,
                    known[invoice].subscription,
                    owner=owner,
                    customer=customer,
                    credit=credit,
                    units=taken - due,
                    balance=rows.balances(session, owner, livemode=self._livemode)[credit],
                    occasion=count,
                    now=now,
                )
            )
        return told


def _periods(subscription: Subscription | None) -> list[tuple[datetime, datetime]]:
    return [
        (item.current_period_start, item.current_period_end)
        for item in (subscription.items if subscription else ())
        if item.current_period_start is not None and item.current_period_end is not None
    ]

"""
What a page of a list asks for: which objects are to be looked at again, taken in, reported or left alone.

Only what is stored decides; Stripe is not asked. Functions take a session and never commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from paidup.core import parse, targets
from paidup.core.differences import Difference
from paidup.database import adoptions, mirror
from paidup.database.rows import Row
from paidup.reconciliation import adoption
from paidup.reconciliation.adoption import OwnerOf
from paidup.reconciliation.comparison import Comparison
from paidup.stripe_api.listing import Page


@dataclass(slots=True)
class Work:
    """What a page asks for."""

    suspects: list[str] = field(default_factory=list)
    claims: list[adoptions.Claim] = field(default_factory=list)
    found: list[Difference] = field(default_factory=list)
    imports: list[Row] = field(default_factory=list)
    items: list[Row] = field(default_factory=list)
    compared: int = 0
    foreign: int = 0


class Sorting:
    """Sorts pages, for one account and mode. Customers are taken in only if it `may_write`."""

    def __init__(self, comparison: Comparison, *, livemode: bool, owner_of: OwnerOf | None, may_write: bool) -> None:
        self._comparison = comparison
        self._livemode = livemode
        self._owner_of = owner_of
        self._adopts = may_write and owner_of is not None

    def sort(self, session: Session, kind: str, page: Page) -> Work:
        """What a page of customers, invoices or subscriptions asks for."""
        return self._customers(session, page) if kind == "customer" else self._belongings(session, kind, page)

    def _customers(self, session: Session, page: Page) -> Work:
        work = Work()
        owners = mirror.owners(session, [body["id"] for body in page.bodies], livemode=self._livemode)
        rows = mirror.by_id(session, "customer", list(owners))
        written = {owner for body in page.bodies if body["id"] not in owners for owner in adoption.written_owner(body)}
        intents = mirror.intents(session, written, livemode=self._livemode) if written else {}
        for body in page.bodies:
            id = body["id"]
            if id in owners:
                work.compared += 1
                if self._comparison.differs("customer", body, rows.get(id), at=page.fetched_at, owner=owners[id]):
                    work.suspects.append(targets.customer(id))
            elif adoption.is_our_orphan(body, intents):
                work.suspects.append(targets.customer(id))
            else:
                match adoption.claim(body, intents, self._owner_of):
                    case adoptions.Claim() as claim:
                        work.claims.append(claim)
                    case Difference() as difference:
                        work.found.append(difference)
                    case None:
                        work.foreign += 1
        return work

    def _belongings(self, session: Session, kind: str, page: Page) -> Work:
        """Invoices or subscriptions: of known customers they are compared, of those being taken in they are stored."""
        work = Work()
        holders = holders_of(page)
        owners = mirror.owners(session, holders.values(), livemode=self._livemode)
        noted = adoptions.noted(session, holders.values()) if self._adopts else set()
        rows = mirror.by_id(session, kind, [id for id, holder in holders.items() if holder in owners])
        for body in page.bodies:
            id, holder = body["id"], holders[body["id"]]
            if holder in owners:
                work.compared += 1
                if self._comparison.differs(kind, body, rows.get(id), at=page.fetched_at):
                    work.suspects.append(targets.customer(holder))
            elif holder in noted:
                row = self._comparison.expected(kind, body, at=page.fetched_at)
                work.items += row.pop("items", {}).values()
                work.imports.append(row)
        return work


def holders_of(page: Page) -> dict[str, str]:
    """Whose each object of a page is."""
    return {body["id"]: parse.reference(body.get("customer")) or "" for body in page.bodies}

"""
One verb: compare what is stored with what Stripe has, of one customer, charge, product or price, and be sure of it.

A page of a list is minutes old by the time it is read, and rows move meanwhile. So a difference counts only when it is
still there against a fresh fetch, and when nothing was asked for or applied between the two looks at the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from paidup import reversals
from paidup.core import parse, targets
from paidup.core.access import plan_of
from paidup.core.catalog import Catalog
from paidup.core.differences import EXISTS, Difference, between
from paidup.database import mirror
from paidup.database import reversals as stored_reversals
from paidup.database.engine import Database
from paidup.database.rows import (
    Row,
    customer_row,
    invoice_row,
    item_rows,
    price_row,
    product_row,
    reversal_row,
    subscription_row,
)
from paidup.errors import StripeNotFound
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]

NOT_AT_STRIPE = "not_at_stripe"
"""Stripe has no such subscription, and never lets one go: the row is from another account, or was made by hand."""
UNKNOWN_TO_STRIPE = "unknown_to_stripe"
"""Stripe knows nothing of the customer, not even that it was deleted: most likely the key is another account's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a second look found; nothing is said of what is being synchronised."""

    differences: list[Difference] = field(default_factory=list)
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A customer as Stripe has it now; None for lists that a deleted one has no more."""

    customer: Json | None
    subscriptions: list[Json] | None
    invoices: list[Json] | None


class Comparison:
    """Compares rows with Stripe's objects, for one account and mode. Safe to use from several threads."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        catalog: Catalog,
        livemode: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._catalog = catalog
        self._livemode = livemode
        self._clock = clock

    def expected(
        self, kind: str, body: Json, *, at: datetime, owner: str | None = None, ours: Row | None = None
    ) -> Row:
        """
        The row that an object has once it is synchronised; a subscription's has its `items` by id.

        `owner` is a customer's; a subscription whose price nobody knows keeps the plan of `ours`.
        """
        match kind:
            case "customer":
                return customer_row(body, owner=owner or "", livemode=self._livemode, synced_at=at)
            case "invoice":
                return invoice_row(body, synced_at=at)
            case "product":
                return product_row(body, livemode=self._livemode, synced_at=at)
            case "price":
                return price_row(body, livemode=self._livemode, synced_at=at)
            case _:
                subscription = parse.subscription(body, plan=ours["plan"] if ours else None)
                plan = plan_of(subscription, self._catalog)
                row = subscription_row(subscription, body, plan=plan.key if plan else subscription.plan, synced_at=at)
                return row | {"items": {item["id"]: item for item in item_rows(subscription, synced_at=at)}}

    def differs(self, kind: str, body: Json, ours: Row | None, *, at: datetime, owner: str | None = None) -> bool:
        """Is a row another one than this body makes? For a first look: the body may be the older of the two."""
        return bool(between(kind, body["id"], ours, self.expected(kind, body, at=at, owner=owner, ours=ours)))

    def of_customer(self, customer_id: str) -> Verdict:
        """What differs of a customer with their subscriptions and invoices. Raises StripeError."""
        target = targets.customer(customer_id)
        with self._database.read() as session:
            before = mirror.position(session, target)
        if before.in_flight:
            return Verdict(in_flight=True)
        fresh, at = self._fetch(customer_id), self._clock()
        with self._database.read() as session:
            known = mirror.of_customer(session, customer_id, livemode=self._livemode)
            if mirror.position(session, target) != before:
                return Verdict(in_flight=True)
        if fresh.customer is None:
            is_expected = known.customer is not None and not known.customer["deleted"]
            return Verdict([_unknown(customer_id)] if is_expected else [])
        found = self._customer(customer_id, known, fresh.customer, at)
        found += self._subscriptions(customer_id, known, fresh, at)
        found += self._invoices(customer_id, known, fresh, at)
        return Verdict(found)

    def of_catalog(self, kind: str, object_id: str) -> Verdict:
        """What differs of a product or a price. Raises StripeError."""
        target = f"{kind}:{object_id}"
        with self._database.read() as session:
            before = mirror.position(session, target)
        if before.in_flight:
            return Verdict(in_flight=True)
        find = self._gateway.find_product if kind == "product" else self._gateway.find_price
        body, at = find(object_id), self._clock()
        with self._database.read() as session:
            ours = mirror.by_id(session, kind, [object_id]).get(object_id)
            if mirror.position(session, target) != before:
                return Verdict(in_flight=True)
        if body is None or body.get("deleted"):
            gone = ours is None or ours["deleted"]
            return Verdict([] if gone else [Difference(kind, object_id, None, EXISTS, "yes", "no")])
        return Verdict(between(kind, object_id, ours, self.expected(kind, body, at=at)))

    def of_charge(self, charge_id: str) -> Verdict:
        """What differs of a charge's refunds and disputes. Raises StripeError."""
        target = targets.charge(charge_id)
        with self._database.read() as session:
            before = mirror.position(session, target)
            known = stored_reversals.of_charge(session, charge_id)
        if before.in_flight:
            return Verdict(in_flight=True)
        charge, at = reversals.fetch(self._gateway, charge_id, known, livemode=self._livemode), self._clock()
        with self._database.read() as session:
            rows = mirror.by_id(session, "refund", [each.id for each, _ in charge.found])
            if mirror.position(session, target) != before:
                return Verdict(in_flight=True)
        return Verdict(
            [
                replace(difference, kind="charge", object=charge_id, field=f"{each.id}.{difference.field}")
                for each, body in charge.found
                for difference in between(each.kind, each.id, rows.get(each.id), reversal_row(each, body, synced_at=at))
            ]
        )

    def _fetch(self, customer_id: str) -> _Fresh:
        customer = self._gateway.find_customer(customer_id)
        if customer is None:
            return _Fresh(None, None, None)
        try:
            return _Fresh(
                customer, self._gateway.list_subscriptions(customer_id), self._gateway.list_invoices(customer_id)
            )
        except StripeNotFound:
            if not customer.get("deleted"):
                raise
            return _Fresh(customer, None, None)

    def _customer(self, customer_id: str, known: mirror.Known, body: Json, at: datetime) -> list[Difference]:
        ours = known.customer
        if body.get("deleted"):
            if ours is None or ours["deleted"]:
                return []
            return [Difference("customer", customer_id, customer_id, "deleted", "false", "true")]
        theirs = self.expected("customer", body, at=at, owner=known.owner)
        return between("customer", customer_id, ours, theirs, customer=customer_id)

    def _subscriptions(self, customer_id: str, known: mirror.Known, fresh: _Fresh, at: datetime) -> list[Difference]:
        if fresh.subscriptions is None:
            return []
        bodies = {body["id"]: body for body in fresh.subscriptions}
        late = _past_due_since(fresh.invoices or [])
        found: list[Difference] = []
        for id in sorted(known.subscriptions.keys() | bodies.keys()):
            ours, theirs = known.subscriptions.get(id), None
            if id in bodies:
                theirs = self.expected("subscription", bodies[id], at=at, ours=ours)
                theirs["past_due_since"] = late.get(id)
            differences = between("subscription", id, ours, theirs, customer=customer_id)
            if theirs is None:
                differences = [replace(each, state="unsafe", reason=NOT_AT_STRIPE) for each in differences]
            found += differences
        return found

    def _invoices(self, customer_id: str, known: mirror.Known, fresh: _Fresh, at: datetime) -> list[Difference]:
        if fresh.invoices is None:
            return []
        theirs = {body["id"]: self.expected("invoice", body, at=at) for body in fresh.invoices}
        found: list[Difference] = []
        for id in sorted(known.invoices.keys() | theirs.keys()):
            found += between("invoice", id, known.invoices.get(id), theirs.get(id), customer=customer_id)
        return found


def _unknown(customer_id: str) -> Difference:
    return Difference(
        "customer", customer_id, customer_id, EXISTS, "yes", "no", state="unsafe", reason=UNKNOWN_TO_STRIPE
    )


def _past_due_since(bodies: list[Json]) -> dict[str, datetime]:
    """When the oldest open, failed invoice of each subscription fell due."""
    late: dict[str, datetime] = {}
    for invoice in map(parse.invoice, bodies):
        if invoice.has_failed and invoice.subscription is not None and invoice.finalized_at is not None:
            earlier = late.get(invoice.subscription, invoice.finalized_at)
            late[invoice.subscription] = min(earlier, invoice.finalized_at)
    return late

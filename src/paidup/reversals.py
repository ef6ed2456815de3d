"""
One verb: bring in step what of a charge went back.

A dispute and a refund name their charge and nobody else. Whose it is and which invoice it paid are asked for once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from paidup import inbox, outbox
from paidup.core import changes, parse, targets
from paidup.core.changes import Change
from paidup.core.reversal import Reversal
from paidup.crediting import Crediting
from paidup.database import reversals as stored
from paidup.database import store
from paidup.database.engine import Database
from paidup.database.tables import OwnerMapping
from paidup.errors import StripeNotFound
from paidup.handlers import Handlers
from paidup.stripe_api.gateway import Gateway

logger = logging.getLogger("paidup")

Json = dict[str, Any]

_CLOCKS = timedelta(hours=1)
"""How far ours may be ahead of Stripe's."""


@dataclass(frozen=True, slots=True)
class Reversed:
    """A charge with its refunds and disputes; nothing of one that Stripe does not have."""

    customer: str | None
    subscription: str | None
    """What it paid for, when its invoice was asked for just now."""
    is_whole: bool
    """Was all of it refunded?"""
    found: list[tuple[Reversal, Json]]


class Reversals:
    """Synchronises what went back of charges. `request` asks for another target, in a transaction of its own."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        handlers: Handlers,
        livemode: bool,
        clock: Callable[[], datetime],
        request: Callable[[str], object],
        crediting: Crediting,
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._handlers = handlers
        self._livemode = livemode
        self._clock = clock
        self._request = request
        self._crediting = crediting

    def look_up(self, claim: inbox.Claim, kind: str, object_id: str) -> None:
        """Find out which charge a refund or a dispute is of, and let that be synchronised."""
        charge_id = self._gateway.charge_of(kind, object_id)
        if charge_id is not None:
            self._request(targets.charge(charge_id))
        ignored = None if charge_id else "no_charge"
        self._database.run(lambda session: inbox.finish(session, claim, now=self._clock(), ignored=ignored))

    def synchronise(self, claim: inbox.Claim, charge_id: str) -> None:
        """Store what went back of a charge, and what that means for its customer's invoices and subscriptions."""
        began = self._clock()
        with self._database.read() as session:
            known = stored.of_charge(session, charge_id)
        charge = fetch(self._gateway, charge_id, known, livemode=self._livemode)
        if charge.customer and any(each.kind == "dispute" for each, _ in charge.found):
            self._request(targets.customer(charge.customer))  # some accounts have Stripe end what is disputed

        def apply(session: Session) -> None:
            mapping = store.mapping_to(session, charge.customer) if charge.customer else None
            before = stored.of_charge(session, charge_id)
            stored.save(session, charge.found, synced_at=began)
            if mapping is not None and mapping.livemode is self._livemode:
                stored.mark(session, str(mapping.customer_id))
                found = _changes(session, mapping, charge, before, now=began)
                customer_id = str(mapping.customer_id)
                session.expire_all()
                found += self._crediting.take_back(
                    session,
                    store.known(session, customer_id),
                    owner=mapping.owner,
                    customer=customer_id,
                    now=began,
                )
                outbox.put(session, found, self._handlers, now=self._clock())
            if charge.found and mapping is None:
                logger.warning("money went back of charge %s, which is nobody's here", charge_id)
            ignored = None if mapping else "foreign_customer" if charge.customer else "no_customer"
            inbox.finish(session, claim, now=self._clock(), ignored=ignored)

        self._database.run(apply)


def fetch(gateway: Gateway, charge_id: str, known: Mapping[str, Reversal], *, livemode: bool) -> Reversed:
    """The charge as it is now; `known` is what was known of it, which never goes away. Raises StripeError."""
    try:
        charge = gateway.retrieve_charge(charge_id)
    except StripeNotFound:
        return Reversed(None, None, False, [])
    kinds = {each.kind for each in known.values()}
    bodies: list[Json] = []
    if charge["amount_refunded"] or "refund" in kinds or charge["refunded"]:
        bodies += gateway.list_refunds(charge_id)
    if charge["disputed"] or "dispute" in kinds:
        bodies += gateway.list_disputes(charge_id)
    invoice, subscription = next((each.invoice for each in known.values() if each.invoice), None), None
    intent = parse.reference(charge.get("payment_intent"))
    if bodies and invoice is None and intent is not None and (paid := gateway.invoice_paid_by(intent)) is not None:
        invoice, subscription = paid["id"], parse.invoice_subscription(paid)
    return Reversed(
        customer=parse.reference(charge.get("customer")),
        subscription=subscription,
        is_whole=bool(charge["refunded"]),
        found=[(parse.reversal(body, charge=charge, invoice=invoice, livemode=livemode), body) for body in bodies],
    )


def _changes(
    session: Session, mapping: OwnerMapping, charge: Reversed, before: Mapping[str, Reversal], *, now: datetime
) -> list[Change]:
    """What the app is told; nothing of what was there before its customer was taken in."""
    found: list[Change] = []
    for reversal, _ in sorted(charge.found, key=lambda each: (each[0].created, each[0].id)):
        if reversal.id not in before and reversal.created < mapping.created - _CLOCKS:
            continue
        known = store.subscription_of(session, reversal.invoice) if reversal.invoice else None
        found += changes.of_reversal(
            before.get(reversal.id),
            reversal,
            owner=mapping.owner,
            customer=str(mapping.customer_id),
            subscription=charge.subscription or known,
            is_whole=charge.is_whole,
            now=now,
        )
    return found

"""
Transfer: a customer, with all that is theirs, goes from one owner to another.

Stripe's metadata first, which decides nothing; then the mapping, the customer and the Change for whoever audits it, in
one transaction. So it has either happened or not, and the same call again finishes what was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from paidup import inbox, outbox, trials
from paidup.changing import Changing
from paidup.core import parse, targets
from paidup.core.changes import Change
from paidup.customers import check_owner
from paidup.database import credits, store
from paidup.database import quotes as rows
from paidup.database.engine import Database
from paidup.database.tables import CheckoutIntent, Customer, OwnerMapping, StoredChange
from paidup.errors import CustomerNotFound, TransferRefused
from paidup.handlers import Handlers
from paidup.stripe_api.gateway import Gateway


class Transfers:
    """Gives customers to other owners."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        changing: Changing,
        handlers: Handlers,
        livemode: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._changing = changing
        self._handlers = handlers
        self._livemode = livemode
        self._clock = clock

    def transfer(self, owner: str, to: str) -> None:
        """Raises CustomerNotFound, TransferRefused, InvalidOwner, StripeError; then nothing has changed."""
        if check_owner(owner) == check_owner(to):
            raise TransferRefused("an owner has nothing to transfer to themselves", remedy="name another owner")
        self._changing.settle(owner)
        with self._database.read() as session:
            if self._was_done(session, owner, to):
                return
        with self._database.read() as session:
            customer_id = self._transferable(session, owner, to)
        metadata = {"metadata": {parse.OWNER_KEY: to}}
        self._gateway.update_customer(customer_id, metadata)
        found = self._gateway.list_subscriptions(customer_id)
        for body in found:
            if not parse.subscription(body).has_ended:
                self._gateway.update_subscription(body["id"], metadata)
        had_trial = any(body.get("trial_end") for body in found)
        self._database.run(lambda session: self._hand_over(session, owner, to, customer_id, had_trial=had_trial))

    def _was_done(self, session: Session, owner: str, to: str) -> bool:
        """Is this a repetition, of a call whose commit nobody heard of?"""
        left = store.mapping_of(session, owner, livemode=self._livemode)
        taken = store.mapping_of(session, to, livemode=self._livemode)
        if left is not None or taken is None or taken.customer_id is None:
            return False
        told = select(StoredChange).where(
            StoredChange.kind == "customer.transferred",
            StoredChange.owner == to,
            StoredChange.customer == taken.customer_id,
        )
        last = session.scalars(told.order_by(StoredChange.number.desc())).first()
        return last is not None and last.data.get("previous_owner") == owner

    def _transferable(self, session: Session, owner: str, to: str) -> str:
        """The customer's id, if it may go."""
        found = store.mapping_of(session, owner, livemode=self._livemode)
        if found is None or found.customer_id is None or store.is_deleted(session, found.customer_id):
            raise CustomerNotFound(f"owner {owner!r} has no customer to transfer", remedy="nothing has to be done")
        taken = store.mapping_of(session, to, livemode=self._livemode)
        if taken is not None and not (taken.customer_id and store.is_deleted(session, taken.customer_id)):
            raise TransferRefused(
                f"owner {to!r} has a customer already", remedy="end what they have, and delete that customer first"
            )
        is_buying = select(CheckoutIntent.id).where(
            CheckoutIntent.owner.in_((owner, to)),
            CheckoutIntent.livemode.is_(self._livemode),
            CheckoutIntent.state.in_(("creating", "open")),
        )
        if session.scalars(is_buying).first() is not None:
            raise TransferRefused("a Checkout is open", remedy="wait until it is paid or has expired")
        if rows.confirming(session, owner, livemode=self._livemode):
            raise TransferRefused("a change of plan is under way", remedy="try again in a minute")
        if any(inbox.is_dirty(session, targets.leaving(each)) for each in (found.customer_id, found.intent)):
            raise TransferRefused(
                "the customer is being deleted", remedy="`paidup queue --kind leaving` shows what is left of that"
            )
        return found.customer_id

    def _hand_over(self, session: Session, owner: str, to: str, customer_id: str, *, had_trial: bool) -> None:
        # Always in the same order, so that two transfers never wait for each other.
        mappings = {
            each: session.get(OwnerMapping, (each, self._livemode), with_for_update=True)
            for each in sorted((owner, to))
        }
        if self._transferable(session, owner, to) != customer_id:
            raise TransferRefused("the customer has changed meanwhile", remedy="look again")
        mapping, emptied = mappings[owner], mappings[to]
        assert mapping is not None
        row = {"livemode": self._livemode, "customer_id": customer_id, "intent": mapping.intent, "params": {}}
        for each in filter(None, (mapping, emptied)):
            session.delete(each)
        session.flush()
        session.add(OwnerMapping(owner=to, created=mapping.created, **row))
        for model in (Customer, CheckoutIntent):
            key = Customer.id if model is Customer else CheckoutIntent.customer_id
            session.execute(update(model).where(key == customer_id).values(owner=to))
        rows.hand_over(session, owner, to, customer_id=customer_id)
        if had_trial:
            trials.hand_over(session, owner, customer_id, livemode=self._livemode)
        credits.hand_over(session, owner, to, livemode=self._livemode)
        now = self._clock()
        session.flush()
        outbox.put(session, [_change(owner, to, customer_id, now)], self._handlers, now=now)
        # A synchronisation that is under way may still write the owner it began with.
        inbox.request(session, targets.customer(customer_id), now=now)


def _change(owner: str, to: str, customer_id: str, now: datetime) -> Change:
    return Change(
        id=f"customer.transferred:{customer_id}:{int(now.timestamp())}",
        kind="customer.transferred",
        owner=to,
        customer=customer_id,
        subscription=None,
        invoice=None,
        data={"previous_owner": owner},
        created=now,
    )

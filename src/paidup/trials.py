"""
One trial per person, as far as a person can be told by their e-mail address and their cards.

An owner has one trial, always. With `PAIDUP_TRIAL_KEY` set, another owner with the same unaliased address, or a card
that was used in a trial, has none either: Checkout then sells without one. A card shows up only when Checkout is
over; what becomes of the trial it began is `repeated_trial` in the plans file. What is done at Stripe follows from the
rows alone, so that whatever is interrupted is done by the next synchronisation of the customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session, aliased

from paidup.core import marks
from paidup.core.catalog import CheckoutTerms
from paidup.core.changes import Change
from paidup.database import store
from paidup.database.tables import Customer, OwnerMapping, Subscription, TrialMark
from paidup.errors import StripeNotFound
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]


class Trials:
    """Who has had a trial. `key` is None where owners are not compared with each other."""

    def __init__(self, *, gateway: Gateway, key: str | None, terms: CheckoutTerms, livemode: bool) -> None:
        self._gateway = gateway
        self._key = key
        self._policy = terms.repeated_trial
        self._livemode = livemode

    def was_had(self, session: Session, owner: str, customer_id: str, *, email: str | None) -> bool:
        """
        Has the owner, or the person who seems to be behind it, had a trial, whatever became of it?

        `email` is verified by the app; the one the customer was made with counts if there is none. It is remembered.
        """
        if session.scalars(_trials_of(owner, livemode=self._livemode).limit(1)).first() is not None:
            return True
        if self._key is None:
            return False
        if email is None:
            mapping = session.get(OwnerMapping, (owner, self._livemode))
            email = mapping.params.get("email") if mapping else None
        if email:
            self._note(session, customer_id, {marks.of_email(self._key, email)})
        return session.scalars(_trials_of_others(owner, customer_id).limit(1)).first() is not None

    def note(self, session: Session, customer_id: str, customer: Json | None, subscriptions: Sequence[Json]) -> None:
        """Remember what a customer with a trial pays with."""
        if self._key is None or not any(each.get("trial_end") for each in subscriptions):
            return
        settings = (customer or {}).get("invoice_settings") or {}
        methods = [each.get("default_payment_method") for each in subscriptions]
        found = marks.of_payment_methods(self._key, [settings.get("default_payment_method"), *methods])
        self._note(session, customer_id, found)

    def repeated(self, session: Session, owner: str, customer_id: str) -> list[Subscription]:
        """The trials that are under way though somebody with the same mark began one earlier."""
        if self._key is None:
            return []
        return [
            each
            for each in session.scalars(
                select(Subscription).where(Subscription.customer_id == customer_id, Subscription.status == "trialing")
            )
            if session.scalars(_trials_of_others(owner, customer_id, before=each).limit(1)).first() is not None
        ]

    def changes(self, owner: str, repeated: Iterable[Subscription], *, now: datetime) -> list[Change]:
        """What the app is told about them, once each."""
        return [
            Change(
                id=f"trial.repeated:{each.id}",
                kind="trial.repeated",
                owner=owner,
                customer=each.customer_id,
                subscription=each.id,
                invoice=None,
                data={"plan": each.plan, "consequence": self._policy},
                created=now,
            )
            for each in repeated
        ]

    @property
    def end(self) -> bool:
        """Does a repeated trial end?"""
        return self._policy != "keep"

    def end_at_stripe(self, subscription_id: str) -> None:
        """End a trial now; one that is over already is left alone. Raises StripeError."""
        with suppress(StripeNotFound):
            if self._policy == "cancel":
                self._gateway.cancel_subscription(subscription_id, {})
            else:
                self._gateway.update_subscription(subscription_id, {"trial_end": "now"})

    def _note(self, session: Session, customer_id: str, found: set[str]) -> None:
        for mark in sorted(found):
            session.execute(
                store.insert(session, TrialMark)
                .values(livemode=self._livemode, mark=mark, customer_id=customer_id)
                .on_conflict_do_nothing()
            )


def _trials_of(owner: str, *, livemode: bool) -> Select[str]:
    """An owner's own, those of a customer who was deleted since as well."""
    return (
        select(Subscription.id)
        .join(Customer, Customer.id == Subscription.customer_id)
        .where(Customer.owner == owner, Customer.livemode.is_(livemode), Subscription.trial_end.is_not(None))
    )


def _trials_of_others(owner: str, customer_id: str, *, before: Subscription | None = None) -> Select[str]:
    """The trials of other owners who share a mark with this customer; those begun before a subscription, if one."""
    ours, theirs = aliased(TrialMark), aliased(TrialMark)
    found = (
        select(Subscription.id)
        .join(theirs, and_(theirs.customer_id == Subscription.customer_id, theirs.livemode == Subscription.livemode))
        .join(ours, and_(ours.mark == theirs.mark, ours.livemode == theirs.livemode))
        .join(Customer, Customer.id == theirs.customer_id)
        .where(ours.customer_id == customer_id, Customer.owner != owner, Subscription.trial_end.is_not(None))
    )
    if before is None:
        return found
    earlier = and_(Subscription.created == before.created, Subscription.id < before.id)
    return found.where(or_(Subscription.created < before.created, earlier))

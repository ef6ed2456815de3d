"""
One trial per person, as far as a person can be told by their e-mail address and their cards.

An owner has one trial, always, also when they gave their customer to another owner since. With `PAIDUP_TRIAL_KEY` set,
another owner with the same unaliased address, or a card that was used in a trial, has none either: Checkout then sells
without one. A card shows up only when Checkout is over, and so does a page of the owner's that was open already; what
becomes of the trial it began is `repeated_trial` in the plans file. What is done at Stripe follows from the rows alone,
so that whatever is interrupted is done by the next synchronisation of the customer.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session, aliased

from paidup import cards
from paidup.core import marks, parse
from paidup.core.catalog import CheckoutTerms
from paidup.core.changes import Change
from paidup.database import store
from paidup.database.tables import CheckoutIntent, Customer, OwnerMapping, Subscription, TrialMark
from paidup.errors import StripeNotFound
from paidup.purchase import begins_trial
from paidup.stripe_api import idempotency
from paidup.stripe_api.gateway import Gateway

Json = dict[str, Any]


class Trials:
    """Who has had a trial. `key` is None where owners are not compared with each other."""

    def __init__(self, *, gateway: Gateway, key: str | None, terms: CheckoutTerms, livemode: bool) -> None:
        self._gateway = gateway
        self._key = key
        self._policy = terms.repeated_trial
        self._livemode = livemode

    def was_had(
        self, session: Session, owner: str, customer_id: str, *, email: str | None, group: str, now: datetime
    ) -> bool:
        """
        Has the owner, or the person who seems to be behind it, had a trial, whatever became of it?

        The owner's open page of another plan group counts, as it may begin one any moment. `email` is verified by the
        app; the one the customer was made with counts if there is none. It is remembered.
        """
        if session.scalars(_trials_of(owner, livemode=self._livemode).limit(1)).first() is not None:
            return True
        if any(begins_trial(params) for params in session.scalars(self._open_elsewhere(owner, group, now))):
            return True
        if self._key is None:
            return False
        if email is None:
            mapping = session.get(OwnerMapping, (owner, self._livemode))
            email = mapping.params.get("email") if mapping else None
        if email:
            self._note(session, customer_id, {marks.of_email(self._key, email)})
        return session.scalars(_trials_of_others(owner, customer_id).limit(1)).first() is not None

    def note(
        self,
        session: Session,
        customer_id: str,
        customer: Json | None,
        subscriptions: Sequence[Json],
        *,
        known: Container[str],
    ) -> None:
        """
        Remember what a customer's trials would be charged to, and nothing that they pay with otherwise.

        `known` are the subscriptions that were here before. Of a trial that was over when it was first heard of, the
        card is remembered that its page was completed with.
        """
        if self._key is None:
            return
        default = ((customer or {}).get("invoice_settings") or {}).get("default_payment_method")
        methods: list[Json | str | None] = []
        for each in subscriptions:
            if each["status"] == "trialing":
                methods.append(each.get("default_payment_method") or default)
            elif each.get("trial_end") and each["id"] not in known:
                methods.append(each.get("default_payment_method"))
        self._note(session, customer_id, marks.of_payment_methods(self._key, methods))

    def repeated(self, session: Session, owner: str, customer_id: str) -> list[Subscription]:
        """The trials that are under way though the owner, or somebody with the same mark, began one earlier."""
        under_way = select(Subscription).where(
            Subscription.customer_id == customer_id, Subscription.status == "trialing"
        )
        return [each for each in session.scalars(under_way) if self._is_repeated(session, owner, each)]

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
        """
        End a trial now; one that is over already is left alone. Raises StripeError.

        That is asked there and then: what is known here may be older than the end of the trial, and its payment.
        """
        with suppress(StripeNotFound):
            body = self._gateway.retrieve_subscription(subscription_id)
            if body["status"] != "trialing":
                return
            if self._policy == "cancel":
                self._gateway.cancel_subscription(subscription_id, {})
            else:
                cards.before_charging(self._gateway, parse.subscription(body))
                self._gateway.update_subscription(subscription_id, {"trial_end": "now"})

    def _open_elsewhere(self, owner: str, group: str, now: datetime) -> Select[Json]:
        """What the pages ask for that the owner may still pay, but for those of a group."""
        just_asked = and_(CheckoutIntent.expires_at.is_(None), CheckoutIntent.created > now - idempotency.LIFETIME)
        return select(CheckoutIntent.params).where(
            CheckoutIntent.owner == owner,
            CheckoutIntent.livemode.is_(self._livemode),
            CheckoutIntent.plan_group != group,
            CheckoutIntent.state.in_(("creating", "open")),
            or_(CheckoutIntent.expires_at > now, just_asked),
        )

    def _is_repeated(self, session: Session, owner: str, trial: Subscription) -> bool:
        earlier = [_trials_of_others(owner, trial.customer_id)] if self._key is not None else []
        if _was_sold_to(session, owner, trial):
            # Whoever gives an owner a second one in the Dashboard means it.
            earlier.append(_trials_of(owner, livemode=self._livemode))
        return any(session.scalars(_begun_before(trial, each).limit(1)).first() for each in earlier)

    def _note(self, session: Session, customer_id: str, found: set[str]) -> None:
        for mark in sorted(found):
            session.execute(
                store.insert(session, TrialMark)
                .values(livemode=self._livemode, mark=mark, customer_id=customer_id)
                .on_conflict_do_nothing()
            )


def hand_over(session: Session, owner: str, customer_id: str, *, livemode: bool) -> None:
    """The trials of a customer who is given away stay the owner's who had them."""
    session.execute(
        store.insert(session, TrialMark)
        .values(livemode=livemode, mark=marks.of_owner(owner), customer_id=customer_id)
        .on_conflict_do_nothing()
    )


def _was_sold_to(session: Session, owner: str, trial: Subscription) -> bool:
    """Did a Checkout of this very owner begin it?"""
    intent = session.get(CheckoutIntent, trial.snapshot["metadata"].get(parse.INTENT_KEY, ""))
    return (
        intent is not None
        and intent.customer_id == trial.customer_id
        and intent.params["metadata"][parse.OWNER_KEY] == owner
        and begins_trial(intent.params)
    )


def _trials_of(owner: str, *, livemode: bool) -> Select[str]:
    """An owner's own; those of a customer who was deleted since, or given away with a trial, as well."""
    theirs = select(Customer.id).where(Customer.owner == owner, Customer.livemode.is_(livemode))
    given = select(TrialMark.customer_id).where(
        TrialMark.mark == marks.of_owner(owner), TrialMark.livemode.is_(livemode)
    )
    return select(Subscription.id).where(
        Subscription.customer_id.in_(theirs.union_all(given)), Subscription.trial_end.is_not(None)
    )


def _trials_of_others(owner: str, customer_id: str) -> Select[str]:
    """The trials of other owners who share a mark with this customer."""
    ours, theirs = aliased(TrialMark), aliased(TrialMark)
    return (
        select(Subscription.id)
        .join(theirs, and_(theirs.customer_id == Subscription.customer_id, theirs.livemode == Subscription.livemode))
        .join(ours, and_(ours.mark == theirs.mark, ours.livemode == theirs.livemode))
        .join(Customer, Customer.id == theirs.customer_id)
        .where(ours.customer_id == customer_id, Customer.owner != owner, Subscription.trial_end.is_not(None))
        .where(ours.mark.not_like(f"{marks.OWNER_PREFIX}%"))
    )


def _begun_before(trial: Subscription, trials: Select[str]) -> Select[str]:
    in_the_same_second = and_(Subscription.created == trial.created, Subscription.id < trial.id)
    return trials.where(or_(Subscription.created < trial.created, in_the_same_second))

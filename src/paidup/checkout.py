"""
Checkout: from a plan's key to a page at Stripe, once.

An intent row is committed before Stripe is called and claims the owner's plan group: a double click, a second tab or
a retry after a crash gets the same session, not a second one. The URL that Stripe sends the user back to grants
nothing; it only makes us look.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from paidup import discounts
from paidup.arguments import email_of, is_id, name_of
from paidup.core import targets
from paidup.core.access import best, of_group, plan_of
from paidup.core.catalog import Catalog, Plan, PlanPrice
from paidup.core.customer import Customer
from paidup.core.subscription import Subscription
from paidup.core.timestamps import from_unix
from paidup.customers import Customers, check_owner
from paidup.database import store
from paidup.database.engine import Database
from paidup.database.tables import CheckoutIntent, OwnerMapping
from paidup.errors import (
    CheckoutNotFound,
    CheckoutRefused,
    CurrencyRefused,
    InvalidRequest,
    PlanNotForSale,
    StripeError,
    StripeNotFound,
    StripeRejected,
    StripeUnavailable,
)
from paidup.prices import price_ids
from paidup.purchase import Purchase, are_the_same, choose, choose_addons, refusal
from paidup.stripe_api import idempotency
from paidup.stripe_api.gateway import Gateway
from paidup.sync import Synchroniser, save_checkout
from paidup.trials import Trials

_WAIT_SECONDS = 15.0
_POLL_SECONDS = 0.1
_ROUNDS = 20
"""How often other tabs may be faster. Each round asks Stripe, and may make a page there: they are not without end."""
_SYNC_WAIT = timedelta(seconds=5)
_COMBINED = re.compile(r"You cannot combine currencies on a single customer.* currency (?P<currency>[a-z]{3})\b")


@dataclass(frozen=True, slots=True)
class Checkout:
    """
    A Checkout session of an owner.

    `state` is `open` (not paid yet), `complete`, `pending` (complete, but a delayed payment has not arrived), `failed`
    (it never will) or `expired`. `url` is Stripe's page while it is open; one that is embedded in a page of the app has
    a `client_secret` for Stripe's script instead. `addons` is how many of which are bought with the plan, by key.
    """

    id: str
    owner: str
    plan: str
    interval: str
    seats: int
    state: str
    session_id: str | None
    url: str | None
    client_secret: str | None = None
    addons: Mapping[str, int] = field(default_factory=dict)


class Checkouts:
    """Starts Checkouts and finds out how they ended. `returns` runs the questions of users who come back."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        catalog: Catalog,
        customers: Customers,
        synchroniser: Synchroniser,
        livemode: bool,
        clock: Callable[[], datetime],
        returns: Executor,
        trials: Trials,
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._catalog = catalog
        self._customers = customers
        self._synchroniser = synchroniser
        self._livemode = livemode
        self._clock = clock
        self._returns = returns
        self._trials = trials

    def start(
        self,
        owner: str,
        plan_key: str,
        *,
        interval: str,
        seats: int,
        email: str | None,
        name: str | None,
        promotion_code: str | None,
        coupon: str | None,
        addons: Mapping[str, int] | None,
        currency: str | None,
        embedded: bool,
        return_url: str,
        cancel_url: str,
    ) -> Checkout:
        """
        The owner's open Checkout for this plan: the one there is, or a new one.

        Raises UnknownPlan, UnknownInterval, PlanNotForSale, InvalidSeats, UnknownAddon, InvalidQuantity,
        CheckoutRefused, CurrencyRefused, DiscountRefused, InvalidRequest, StripeError.
        """
        check_owner(owner)
        email, name = email_of(email), name_of(name)
        if not isinstance(embedded, bool):
            raise InvalidRequest(f"embedded is {embedded!r:.80}", remedy="pass True or False")
        plan, price = choose(self._catalog, plan_key, interval=interval, seats=seats)
        beside = choose_addons(self._catalog, plan, addons, interval=interval)
        self._look_again_if_it_may_have_ended(owner, plan)
        self._refuse_if_subscribed(owner, plan)
        fee = plan.setup_fee
        sold = [price, *(each for _, each, _ in beside), *([fee] if fee else [])]
        known = self._customer(owner)
        chosen = self._currency(known, plan, sold, asked=currency.lower() if currency else None)
        ids = price_ids(self._gateway, sold, currency=chosen)
        discount = discounts.choose(
            self._gateway, promotion_code=promotion_code, coupon=coupon, customer_id=known.id if known else None
        )
        customer_id = self._customers.ensure(owner, email=email, name=name)
        wanted = Purchase(
            owner,
            customer_id,
            plan,
            interval,
            seats,
            ids[price.lookup_key],
            discount,
            embedded,
            setup_fee_id=ids[fee.lookup_key] if fee else None,
            addons=[(ids[each.lookup_key], quantity) for _, each, quantity in beside],
            addon_counts={addon.key: quantity for addon, _, quantity in beside},
            currency=chosen,
        )
        deadline = monotonic() + _WAIT_SECONDS
        for _ in range(_ROUNDS):
            if monotonic() >= deadline:
                break
            claimed = self._claim(wanted, email=email, return_url=return_url, cancel_url=cancel_url)
            if claimed is None:
                wanted = replace(wanted, customer_id=self._customers.ensure(owner, email=email, name=name))
                continue
            intent, is_for_this = claimed
            try:
                session = self._session(intent, deadline)
            except (StripeRejected, StripeNotFound) as error:
                if error.param != "customer" or not self._is_gone(intent.customer_id):
                    raise
                continue
            if session["status"] == "open" and is_for_this:
                stored = self._stored(intent.id)
                if stored.state == "open":
                    return stored
                # It was paid, or another tab ended it, since Stripe was asked.
                session = self._gateway.retrieve_checkout_session(session["id"])
            self._clear(intent, session, plan)
        raise StripeUnavailable(
            "another Checkout of this owner is being changed at the same moment", remedy="try again"
        )

    def finish(self, owner: str, session_id: str, *, wait: timedelta) -> Checkout:
        """
        How a Checkout ended, asked of Stripe there and then.

        Raises CheckoutNotFound unless the session was made by us for this very owner. When Stripe does not answer
        within `wait` the answer is what is known, usually `open`: the webhook will tell the rest.
        """
        intent = self._of(owner, session_id)
        if _as_checkout(intent).state in ("open", "pending"):
            # If that fails the target stays dirty, the workers go on, and the page shows what is known until then.
            self._synchronise(intent.customer_id, wait=wait)
        return self._stored(intent.id)

    def find(self, owner: str, session_id: str) -> Checkout:
        """What is known of a Checkout, without asking Stripe. Raises CheckoutNotFound."""
        return _as_checkout(self._of(owner, session_id))

    def _synchronise(self, customer_id: str, *, wait: timedelta) -> bool:
        """In a thread, because the SDK's own timeouts and retries may take a minute, and a user is looking."""
        asked = self._returns.submit(self._synchroniser.now, targets.customer(customer_id), wait=wait)
        try:
            return asked.result(wait.total_seconds())
        except (StripeError, TimeoutError):
            return False

    def _is_gone(self, customer_id: str) -> bool:
        """Was a customer deleted at Stripe, of which nobody may have told us yet?"""
        self._synchronise(customer_id, wait=_SYNC_WAIT)
        with self._database.read() as session:
            return store.is_deleted(session, customer_id)

    def _look_again_if_it_may_have_ended(self, owner: str, plan: Plan) -> None:
        """Before it is refused, as nobody may have told us. What renews is taken for granted: its change finds out."""
        with self._database.read() as session:
            current = self._current(session, owner, plan)
        if current is not None and not _is_in_order(current, now=self._clock()):
            self._synchronise(current.customer, wait=_SYNC_WAIT)

    def _refuse_if_subscribed(self, owner: str, plan: Plan, session: Session | None = None) -> None:
        with nullcontext(session) if session else self._database.read() as looking:
            current = self._current(looking, owner, plan)
        if current is not None:
            raise refusal(current, plan_of(current, self._catalog), plan)

    def _current(self, session: Session, owner: str, plan: Plan) -> Subscription | None:
        """The owner's subscription in the plan's group."""
        subscriptions = store.subscriptions_of(session, owner, livemode=self._livemode)
        # Not only what is known to be live: in a status of tomorrow it may be billed as well.
        live = of_group([each for each in subscriptions if not each.has_ended], plan.group, self._catalog)
        return best(live, self._catalog)

    def _customer(self, owner: str) -> Customer | None:
        with self._database.read() as session:
            return store.customer_of(session, owner, livemode=self._livemode)

    def _currency(self, known: Customer | None, plan: Plan, sold: Sequence[PlanPrice], *, asked: str | None) -> str:
        """
        The currency of what is sold: the one asked for, else the customer's, else the plan's own.

        Stripe bills a customer in one currency. It may be forgotten there, so ours is asked about before a no.
        """
        own, offered = sold[0].currency, _in_all(sold)
        fixed = known.currency if known else None
        if known is not None and fixed is not None and (asked not in (None, fixed) or fixed not in offered):
            fixed = (self._gateway.find_customer(known.id) or {}).get("currency")
        if fixed is not None and asked not in (None, fixed):
            raise CurrencyRefused(
                f"this customer pays in {fixed}, not in {asked}",
                currency=fixed,
                remedy=f"sell to them in {fixed}, which is what happens when no currency is named",
            )
        if fixed is not None and fixed not in offered:
            raise CurrencyRefused(
                f"this customer pays in {fixed}, {plan.name} is sold in {', '.join(offered)}",
                currency=fixed,
                remedy=f"offer a plan in {fixed}",
            )
        chosen = asked or fixed or own
        if chosen not in offered:
            raise PlanNotForSale(f"{plan.name} is not sold in {chosen}", remedy=f"choose one of: {', '.join(offered)}")
        return chosen

    def _claim(
        self, wanted: Purchase, *, email: str | None, return_url: str, cancel_url: str
    ) -> tuple[CheckoutIntent, bool] | None:
        """
        The row that holds the owner's plan group, the one there is or a new one; and whether it is for this request.

        None when the customer is not the owner's any more. Raises CheckoutRefused.
        """

        def claim(session: Session) -> tuple[CheckoutIntent, bool] | None:
            # Locked, so that nobody gives the customer away until this page is seen by who would.
            mapping = session.get(OwnerMapping, (wanted.owner, self._livemode), with_for_update=True)
            if mapping is None or mapping.customer_id != wanted.customer_id:
                return None
            if store.is_deleted(session, wanted.customer_id):
                return None
            held = self._held(session, wanted)
            if held is not None and held.state == "creating" and held.created < self._clock() - idempotency.LIFETIME:
                held.state = "expired"  # its answer never came, so nobody has its address, and its key is worn out
                session.flush()
                held = None
            intent_id = uuid.uuid4().hex
            params = wanted.params(
                intent_id,
                terms=self._catalog.checkout,
                return_url=return_url,
                cancel_url=cancel_url,
                with_trial=wanted.plan.trial_days is not None
                and not self._trials.was_had(
                    session, wanted.owner, wanted.customer_id, email=email, group=wanted.plan.group, now=self._clock()
                ),
            )
            if held is not None:
                return held, are_the_same(held.params, params)
            session.execute(
                store.insert(session, CheckoutIntent)
                .values(
                    id=intent_id,
                    owner=wanted.owner,
                    livemode=self._livemode,
                    plan_group=wanted.plan.group,
                    plan=wanted.plan.key,
                    interval=wanted.interval,
                    seats=wanted.seats,
                    addons=dict(wanted.addon_counts),
                    customer_id=wanted.customer_id,
                    params=params,
                    state="creating",
                    created=self._clock(),
                )
                .on_conflict_do_nothing()
            )
            session.flush()
            held = self._held(session, wanted)
            if held is None:
                raise StripeUnavailable("the claim was taken and freed at the same moment", remedy="try again")
            if held.id == intent_id:
                # The page that held the group until now may have been paid since the subscriptions were looked at.
                self._refuse_if_subscribed(wanted.owner, wanted.plan, session)
            return held, are_the_same(held.params, params)

        return self._database.run(claim)

    def _held(self, session: Session, wanted: Purchase) -> CheckoutIntent | None:
        return session.scalars(
            select(CheckoutIntent).where(
                CheckoutIntent.owner == wanted.owner,
                CheckoutIntent.livemode.is_(self._livemode),
                CheckoutIntent.plan_group == wanted.plan.group,
                CheckoutIntent.state.in_(("creating", "open")),
            )
        ).one_or_none()

    def _session(self, intent: CheckoutIntent, deadline: float) -> dict[str, Any]:
        """The intent's session as Stripe has it now, created if the answer to its creation never came."""
        if intent.session_id is not None:
            return self._gateway.retrieve_checkout_session(intent.session_id)
        while True:
            try:
                body = self._gateway.create_checkout_session(
                    intent.params, idempotency_key=idempotency.key("checkout", intent.id, intent.params)
                )
            except (StripeRejected, StripeNotFound) as error:
                self._free(intent.id)
                if (error.param or "").startswith("line_items"):
                    raise PlanNotForSale(
                        f"Stripe does not sell plan {intent.plan!r} now", remedy="run `paidup catalog push`"
                    ) from error
                if (refused := discounts.refusal(error) or _other_currency(error)) is not None:
                    raise refused from error
                raise
            except StripeUnavailable as error:
                if error.stripe_code != "idempotency_key_in_use" or monotonic() >= deadline:
                    raise  # the row stays: the same request finishes it, with the same key
                sleep(_POLL_SECONDS)
                continue
            self._note_session(intent.id, body)
            return body

    def _note_session(self, intent_id: str, body: dict[str, Any]) -> None:
        def note(session: Session) -> None:
            row = session.get_one(CheckoutIntent, intent_id)
            if row.state == "creating":
                row.state, row.session_id, row.url = "open", body["id"], body["url"]
                row.client_secret = body.get("client_secret")
                row.expires_at = from_unix(body["expires_at"])

        self._database.run(note)

    def _clear(self, intent: CheckoutIntent, body: dict[str, Any], plan: Plan) -> None:
        """Free the claim of a session that is over, or that is for something else than what is wanted now."""
        if body["status"] == "complete":
            if not self._synchroniser.now(targets.customer(intent.customer_id), wait=_SYNC_WAIT):
                raise StripeUnavailable("what was bought a moment ago is being looked at", remedy="try again")
            self._refuse_if_subscribed(intent.owner, plan)
            if body["payment_status"] == "unpaid":
                raise CheckoutRefused(
                    "a payment for this is on its way", action="pending", plan=None, remedy="wait for it to arrive"
                )
        elif body["status"] == "open":
            try:
                body = self._gateway.expire_checkout_session(body["id"])
            except StripeRejected:
                return  # it was paid or ran out this very moment; the next look tells which
        self._database.run(lambda session: save_checkout(session, body["id"], body))

    def _free(self, intent_id: str) -> None:
        def refuse(session: Session) -> None:
            session.get_one(CheckoutIntent, intent_id).state = "refused"

        self._database.run(refuse)

    def _of(self, owner: str, session_id: str) -> CheckoutIntent:
        if not is_id(session_id):
            raise _not_found()
        with self._database.read() as session:
            intent = session.scalars(
                select(CheckoutIntent).where(
                    CheckoutIntent.session_id == session_id,
                    CheckoutIntent.owner == owner,
                    CheckoutIntent.livemode.is_(self._livemode),
                )
            ).one_or_none()
        if intent is None:
            raise _not_found()
        return intent

    def _stored(self, intent_id: str) -> Checkout:
        with self._database.read() as session:
            return _as_checkout(session.get_one(CheckoutIntent, intent_id))


def _in_all(sold: Sequence[PlanPrice]) -> list[str]:
    """The currencies in which each of what is sold together has an amount, the first one's own first."""
    return [code for code in sold[0].amounts if all(each.amount_in(code) is not None for each in sold)]


def _other_currency(error: StripeError) -> CurrencyRefused | None:
    """
    What Stripe says of a customer who has something in another currency, which we may not have heard of yet.

    Stripe gives it no code of its own; its words are all there is to tell it by.
    """
    found = _COMBINED.search(error.message)
    if found is None:
        return None
    return CurrencyRefused(
        f"this customer has something in {found['currency']} already",
        currency=found["currency"],
        remedy=f"sell to them in {found['currency']}, or let it end first: an open Checkout as well",
    )


def _is_in_order(subscription: Subscription, *, now: datetime) -> bool:
    """Paid, or in its trial, and going to be renewed."""
    is_paid = subscription.is_trialing or (subscription.is_active and not subscription.awaits_first_payment)
    return is_paid and subscription.renews_at is not None and subscription.renews_at > now


def _not_found() -> CheckoutNotFound:
    return CheckoutNotFound("there is no such Checkout of yours", remedy="start again from the pricing page")


def _as_checkout(intent: CheckoutIntent) -> Checkout:
    state = "expired" if intent.state == "refused" else "open" if intent.state == "creating" else intent.state
    if state == "complete" and intent.payment_status == "unpaid":
        state = "pending"
    return Checkout(
        id=intent.id,
        owner=intent.owner,
        plan=intent.plan,
        interval=intent.interval,
        seats=intent.seats,
        state=state,
        session_id=intent.session_id,
        url=intent.url if state == "open" else None,
        client_secret=intent.client_secret if state == "open" else None,
        addons=dict(intent.addons or {}),
    )

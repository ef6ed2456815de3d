"""
One verb: bring a target in step with Stripe.

Claim, fetch, apply. The fetch happens outside any transaction; everything it found is applied in one, together with
the changes it means for the app and the end of the lease. So it may be repeated, interrupted or run twice at once.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from time import monotonic, perf_counter, sleep
from typing import Any, TypeVar

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from paidup import cards, giving_up, inbox, metrics, outbox, planned_changes
from paidup.core import changes, parse, targets
from paidup.core.access import plan_of
from paidup.core.catalog import Catalog
from paidup.core.changes import Change, Known
from paidup.core.targets import Part
from paidup.core.timestamps import from_unix
from paidup.crediting import Crediting, Lines
from paidup.database import credits, store
from paidup.database import reversals as stored_reversals
from paidup.database.engine import Database
from paidup.database.tables import CheckoutIntent, OwnerMapping
from paidup.errors import (
    DatabaseUnavailable,
    StripeError,
    StripeNotFound,
    StripeRateLimited,
)
from paidup.handlers import Handlers
from paidup.reversals import Reversals
from paidup.stripe_api.budget import is_in_background
from paidup.stripe_api.gateway import Gateway
from paidup.trials import Trials

logger = logging.getLogger("paidup")

Json = dict[str, Any]
_Found = TypeVar("_Found")

_POLL_SECONDS = 0.05
_LET_GO_WAIT = timedelta(seconds=10)


@dataclass(slots=True)
class _Fetched:
    """What Stripe said; None for a part that was not asked for."""

    customer: Json | None = None
    subscriptions: list[Json] | None = None
    invoices: list[Json] | None = None
    checkouts: dict[str, Json] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)
    """What was paid just now, in full, where it brings credits."""


class Synchroniser:
    """
    Brings targets in step.

    `calls` runs a fetch's calls side by side, `users_calls` those somebody waits for; `make_customer` gives the id of
    an owner's customer, and finishes a creation that was cut short.
    """

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        catalog: Catalog,
        handlers: Handlers,
        livemode: bool,
        clock: Callable[[], datetime],
        calls: Executor,
        users_calls: Executor,
        trials: Trials,
        crediting: Crediting,
        make_customer: Callable[[str], str],
        attempts: int = inbox.MAX_ATTEMPTS,
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._catalog = catalog
        self._handlers = handlers
        self._livemode = livemode
        self._clock = clock
        self._calls = calls
        self._attempts = attempts
        self._make_customer = make_customer
        self._users_calls = users_calls
        self._trials = trials
        self._crediting = crediting
        self._reversals = Reversals(
            database=database,
            gateway=gateway,
            handlers=handlers,
            livemode=livemode,
            clock=clock,
            request=self._request,
            crediting=crediting,
        )

    def run(self, claim: inbox.Claim) -> None:
        """
        Fetch and apply what a claim is about.

        Raises StripeError when Stripe cannot tell, DatabaseUnavailable, LeaseLost; then nothing was changed.
        """
        kind, object_id = targets.split(claim.target)
        match kind:
            case "customer":
                self._customer(claim, object_id)
            case "product":
                self._catalog_object(claim, object_id, self._gateway.find_product, store.save_product)
            case "price":
                self._catalog_object(claim, object_id, self._gateway.find_price, store.save_price)
            case "charge":
                self._reversals.synchronise(claim, object_id)
            case "leaving" if object_id.startswith("cus_"):
                self._let_go(claim, object_id)
            case "leaving":
                self._let_go_of_the_unanswered(claim, object_id)
            case _ if kind in targets.OF_A_CHARGE:
                self._reversals.look_up(claim, kind, object_id)
            case _ if kind in targets.LOOKED_UP:
                self._lookup(claim, kind, object_id)
            case _:
                raise ValueError(f"unknown kind of target: {claim.target}")

    def attempt(self, claim: inbox.Claim) -> Exception | None:
        """
        Run a claim, and record a failure on its row: when to try again, or that we gave up.

        Returns what went wrong, None when nothing did. Only the database itself being away is raised.
        """
        kind = claim.target.partition(":")[0]
        began = perf_counter()
        try:
            outcome, error = self._run_or_note_failure(claim)
        except inbox.LeaseLost:
            logger.warning("lost the lease of %s; another worker has it", claim.target)
            outcome, error = "lost_lease", None
        metrics.synchronisations.labels(kind, outcome).inc()
        metrics.synchronisation_seconds.labels(kind).observe(perf_counter() - began)
        return error

    def _run_or_note_failure(self, claim: inbox.Claim) -> tuple[str, Exception | None]:
        try:
            self.run(claim)
        except (DatabaseUnavailable, inbox.LeaseLost):
            raise  # a lease runs out by itself
        except Exception as error:  # recorded on the row; the worker must go on with other targets
            gave_up = self._note_failure(claim, error)
            logger.log(
                logging.ERROR if gave_up else logging.WARNING,
                "%s of %s failed: %s",
                "last attempt" if gave_up else f"attempt {claim.attempts + 1}",
                claim.target,
                error,
                exc_info=not isinstance(error, StripeError),
            )
            if isinstance(error, StripeRateLimited):
                return "rate_limited", error
            return "gave_up" if gave_up else "failed", error
        return "done", None

    def now(self, target: str, *, wait: timedelta) -> bool:
        """
        Synchronise a target here and now, or wait for the worker that is at it.

        True when it is in step as of this call; False when `wait` ran out first. Raises StripeError and
        DatabaseUnavailable; the target stays dirty then and is retried by the workers.
        """
        deadline = monotonic() + wait.total_seconds()
        goal = self._request(target)
        while True:
            done, claim = self._done_or_claim(target, goal)
            if done:
                return True
            if claim is not None:
                error = self.attempt(claim)
                if error is not None:
                    raise error
            elif monotonic() >= deadline:
                return False
            else:
                sleep(_POLL_SECONDS)

    def _request(self, target: str) -> int:
        return self._database.run(lambda session: inbox.request(session, target, now=self._clock()))

    def _done_or_claim(self, target: str, goal: int) -> tuple[bool, inbox.Claim | None]:
        def look(session: Session) -> tuple[bool, inbox.Claim | None]:
            if inbox.applied(session, target) >= goal:
                return True, None
            return False, inbox.claim(session, now=self._clock(), target=target)

        return self._database.run(look)

    def _note_failure(self, claim: inbox.Claim, error: Exception) -> bool:
        """Record it on the target's row. True when that was the last attempt."""
        message = f"{type(error).__name__}: {error}"
        # A rate limit is nobody's fault and counts as no attempt; the jitter keeps targets from coming back together.
        wait = None
        if isinstance(error, StripeRateLimited):
            wait = timedelta(seconds=error.retry_after * random.uniform(1.0, 1.5))
        return self._database.run(
            lambda session: inbox.retry(
                session, claim, error=message, now=self._clock(), wait=wait, most=self._attempts
            )
        )

    def _catalog_object(
        self, claim: inbox.Claim, object_id: str, find: Callable[[str], Json | None], save: Callable[..., None]
    ) -> None:
        began = self._clock()
        body = find(object_id)

        def apply(session: Session) -> None:
            save(session, object_id, body, livemode=self._livemode, synced_at=began)
            inbox.finish(session, claim, now=self._clock())

        self._database.run(apply)

    def _lookup(self, claim: inbox.Claim, kind: str, object_id: str) -> None:
        """Find out whose an object is, and let that customer be synchronised."""
        with self._database.read() as session:
            known = store.holder_of(session, kind, object_id)
        customer_id = known or self._gateway.customer_of(kind, object_id)
        if customer_id is not None:
            # A transaction of its own: targets are locked in one order everywhere. Asking twice does no harm.
            self._request(targets.customer(customer_id))
        ignored = None if customer_id else "no_customer"
        self._database.run(lambda session: inbox.finish(session, claim, now=self._clock(), ignored=ignored))

    def _let_go(self, claim: inbox.Claim, customer_id: str) -> None:
        """End everything of a customer, and delete them. A repetition ends what is left."""
        with self._database.read() as session:
            mapping = store.mapping_to(session, customer_id)
        if mapping is None or mapping.livemode is not self._livemode:
            raise StripeNotFound(f"{customer_id} is of the other mode", remedy="run a worker with that mode's key")
        found = self._gateway.find_customer(customer_id)
        if found is not None and not found.get("deleted"):
            giving_up.end_everything(self._gateway, customer_id)
            # Before they are deleted, as Stripe lists nothing of theirs afterwards.
            self.now(targets.customer(customer_id), wait=_LET_GO_WAIT)
            self._gateway.delete_customer(customer_id)
        self._request(targets.customer(customer_id))

        def finish(session: Session) -> None:
            now = self._clock()
            store.forget_customer(session, customer_id)
            credits.forfeit(session, mapping.owner, customer_id, livemode=self._livemode, now=now)
            # Told here: the synchronisation finds them forgotten, and nothing new.
            told = changes.of_deleted_customer(owner=mapping.owner, customer=customer_id, now=now)
            outbox.put(session, [told], self._handlers, now=now)
            inbox.finish(session, claim, now=self._clock())

        self._database.run(finish)

    def _let_go_of_the_unanswered(self, claim: inbox.Claim, intent: str) -> None:
        """Ask for the answer to a creation again, as there may be a customer, and let them go."""
        with self._database.read() as session:
            mapping = store.mapping_by_intent(session, intent)
        # Without one, Stripe has refused the creation since, and there is nobody.
        if mapping is not None:
            if mapping.livemode is not self._livemode:
                raise StripeNotFound("the owner is of the other mode", remedy="run a worker with that mode's key")
            customer_id = mapping.customer_id or self._make_customer(mapping.owner)
            self._request(targets.leaving(customer_id))
        self._database.run(lambda session: inbox.finish(session, claim, now=self._clock()))

    def _customer(self, claim: inbox.Claim, customer_id: str) -> None:
        began = self._clock()
        with self._database.read() as session:
            is_known = store.mapping_to(session, customer_id) is not None
            sessions = _open_sessions(session, customer_id)
            trials = _repeated_trials(session, customer_id, self._trials)
            unpaid = store.first_payments_failed(session, customer_id)
        for each in trials:
            self._trials.end_at_stripe(each)
        for each, invoice in unpaid.items():
            self._end_unpaid(each, invoice)
        wanted = targets.parts(claim.event_types)
        if not is_known or claim.is_asked_for:
            wanted = targets.WHOLE_CUSTOMER
        # Another app on the same account may be a busy one: what is nobody's here costs one call and no more.
        stranger = None if is_known else self._find_customer(customer_id, is_known=False)
        if stranger is not None and not parse.names_an_owner(stranger):
            wanted = frozenset({Part.CUSTOMER})
        fetched = self._fetch(customer_id, wanted, sessions, stranger)
        if is_known and fetched.customer is not None:
            fetched.subscriptions = cards.follow(self._gateway, fetched.customer, fetched.subscriptions)
        fetched.lines = self._crediting.lines(customer_id, fetched.invoices or (), fetched.subscriptions or ())
        self._complete_amounts(fetched.subscriptions or [])

        def apply(session: Session) -> None:
            owner = self._owner(session, customer_id, fetched.customer)
            if owner is None:
                logger.info("customer %s is not ours; its events are ignored", customer_id)
                inbox.finish(session, claim, now=self._clock(), ignored="foreign_customer")
                return
            self._apply(session, claim, customer_id, owner, fetched, began)
            inbox.finish(session, claim, now=self._clock())

        self._database.run(apply)

    def _complete_amounts(self, subscriptions: list[Json]) -> None:
        """
        Say what prices of several currencies cost in a subscription's: Stripe shows them in their own.

        A list of subscriptions expands too few levels to tell. Mostly the prices are mirrored, and no call is made.
        """
        elsewhere = [(price, body["currency"]) for body in subscriptions for price in parse.prices_elsewhere(body)]
        if not elsewhere:
            return
        with self._database.read() as session:
            known = store.currency_options(session, {price["id"] for price, _ in elsewhere})
        for price, currency in elsewhere:
            if currency not in known.get(price["id"], {}):
                known[price["id"]] = (self._gateway.find_price(price["id"]) or {}).get("currency_options") or {}
            price["currency_options"] = known[price["id"]]

    def _end_unpaid(self, subscription_id: str, invoice_id: str) -> None:
        """End what nobody paid for, if that is still so at Stripe: what is known here may be older than a payment."""
        with suppress(StripeNotFound):
            invoice = self._gateway.retrieve_invoice(invoice_id)
            subscription = self._gateway.retrieve_subscription(subscription_id)
            if invoice["status"] in store.NEVER_PAID and subscription["status"] == "active":
                self._gateway.cancel_subscription(subscription_id, {})

    def _call(self, call: Callable[..., _Found], *arguments: object) -> Future[_Found]:
        """In a thread of its own, which inherits whether somebody waits for it."""
        calls = self._calls if is_in_background() else self._users_calls
        return calls.submit(copy_context().run, call, *arguments)

    def _find_customer(self, customer_id: str, *, is_known: bool) -> Json:
        """
        What Stripe has; a stub with `deleted` for one it doesn't know. Raises StripeNotFound for a known one, live.

        A customer who was deleted is still found, as a stub of Stripe's own. Test data may be wiped; live, nothing
        vanishes, and it is the key that is wrong: all customers would seem deleted, and lose what they pay for.
        """
        found = self._gateway.find_customer(customer_id)
        if found is None and is_known and self._livemode:
            raise StripeNotFound(
                f"Stripe does not know customer {customer_id}", remedy="is STRIPE_SECRET_KEY of the right account?"
            )
        return found or {"id": customer_id, "deleted": True}

    def _fetch(
        self, customer_id: str, wanted: frozenset[Part], sessions: list[str], customer_body: Json | None
    ) -> _Fetched:
        """The wanted parts, at most three calls and one for each open Checkout, side by side."""
        gateway = self._gateway
        asks = customer_body is None and Part.CUSTOMER in wanted
        customer = self._call(partial(self._find_customer, is_known=True), customer_id) if asks else None
        subscriptions = self._call(gateway.list_subscriptions, customer_id) if Part.SUBSCRIPTIONS in wanted else None
        invoices = self._call(gateway.list_invoices, customer_id) if Part.INVOICES in wanted else None
        checkouts = {
            each: self._call(gateway.retrieve_checkout_session, each)
            for each in (sessions if Part.CHECKOUTS in wanted else [])
        }
        found = _Fetched(customer.result() if customer else customer_body)
        try:
            found.subscriptions = subscriptions.result() if subscriptions else None
            found.invoices = invoices.result() if invoices else None
        except StripeNotFound:
            # Only a customer that is gone has no lists; what is known of them stays.
            if found.customer is None or not found.customer.get("deleted"):
                raise
        found.checkouts = {each: call.result() for each, call in checkouts.items()}
        if found.subscriptions is not None and not _bought(found) <= {each["id"] for each in found.subscriptions}:
            # Paid after the lists were made: noted as paid, its page would make way for another one.
            found.subscriptions = gateway.list_subscriptions(customer_id)
            found.invoices = gateway.list_invoices(customer_id)
        return found

    def _owner(self, session: Session, customer_id: str, body: Json | None) -> str | None:
        """
        Whose customer this is: by our mapping, or by the intent we wrote on it when we asked for it.

        The intent must be one of our own rows, so that nobody becomes an owner by writing metadata. It covers the
        webhook that overtakes our commit, and the commit that never came.
        """
        mapping = store.mapping_to(session, customer_id)
        if mapping is not None:
            return mapping.owner if mapping.livemode is self._livemode else None
        if body is None or not parse.names_an_owner(body):
            return None
        owner, intent = body["metadata"][parse.OWNER_KEY], body["metadata"][parse.INTENT_KEY]
        asked = session.get(OwnerMapping, (owner, self._livemode), with_for_update=True)
        if asked is None or asked.intent != intent or asked.customer_id not in (None, customer_id):
            return None
        asked.customer_id = customer_id
        session.flush()
        return str(owner)

    def _apply(
        self, session: Session, claim: inbox.Claim, customer_id: str, owner: str, fetched: _Fetched, began: datetime
    ) -> None:
        before = store.known(session, customer_id)
        now = max(filter(None, (began, claim.newest_event)))
        others: list[Change] = []
        if fetched.customer is not None:
            if fetched.customer.get("deleted") and not store.is_deleted(session, customer_id):
                others.append(changes.of_deleted_customer(owner=owner, customer=customer_id, now=now))
            store.save_customer(session, fetched.customer, owner=owner, livemode=self._livemode, synced_at=began)
            if fetched.customer.get("deleted"):
                _forget(session, customer_id)
        if fetched.subscriptions is not None:
            plans = self._plans(before, fetched.subscriptions)
            store.save_subscriptions(session, fetched.subscriptions, plans=plans, synced_at=began)
        if fetched.invoices is not None:
            store.save_invoices(session, customer_id, fetched.invoices, synced_at=began)
        others += _left_unpaid(session, owner, fetched.checkouts, now=now)
        for session_id, body in fetched.checkouts.items():
            save_checkout(session, session_id, body)
        store.save_past_due_since(session, customer_id)
        stored_reversals.mark(session, customer_id)
        store.fail_checkouts(session, customer_id)
        session.expire_all()
        after = store.known(session, customer_id)
        others += planned_changes.undone(session, owner, before, after, now=now)
        found = changes.between(
            before,
            after,
            owner=owner,
            customer=customer_id,
            catalog=self._catalog,
            now=now,
        )
        found += others
        found += self._crediting.bring(
            session, fetched.lines, before, after, owner=owner, customer=customer_id, now=now
        )
        if fetched.subscriptions is not None:
            known = before.subscriptions
            self._trials.note(session, customer_id, fetched.customer, fetched.subscriptions, known=known)
            repeated = self._trials.repeated(session, owner, customer_id)
            found += self._trials.changes(owner, repeated, now=began)
            if repeated and self._trials.end:
                inbox.request(session, claim.target, now=self._clock())  # it ends them, and sees what became of them
        if store.first_payments_failed(session, customer_id):
            inbox.request(session, claim.target, now=self._clock())  # it ends what nobody paid for, and will not
        outbox.put(session, found, self._handlers, now=self._clock())

    def _plans(self, before: Known, bodies: list[Json]) -> dict[str, str | None]:
        """The plan each subscription is on; one whose price nobody knows keeps the plan it had."""
        plans: dict[str, str | None] = {}
        for body in bodies:
            old = before.subscriptions.get(body["id"])
            subscription = replace(parse.subscription(body), plan=old.plan if old else None)
            plan = plan_of(subscription, self._catalog)
            plans[subscription.id] = plan.key if plan else subscription.plan
        return plans


def save_checkout(session: Session, session_id: str, body: Json) -> None:
    """Note what became of a Checkout session: still open, paid, or expired; the last two free the claim."""
    held = CheckoutIntent.session_id == session_id
    if body["status"] == "open":
        # A look from before it was over: none opens again, and its claim may be another one's by now.
        held = and_(held, CheckoutIntent.state.in_(("creating", "open")))
    session.execute(
        update(CheckoutIntent)
        .where(held)
        .values(
            state=body["status"],
            payment_status=body["payment_status"],
            url=body.get("url"),
            expires_at=from_unix(body["expires_at"]),
        )
    )


def _bought(fetched: _Fetched) -> set[str]:
    """The subscriptions that pages which are complete led to."""
    made = (each.get("subscription") for each in fetched.checkouts.values() if each["status"] == "complete")
    return {id for id in map(parse.reference, made) if id is not None}


def _left_unpaid(session: Session, owner: str, bodies: Mapping[str, Json], *, now: datetime) -> list[Change]:
    """The pages that were open as far as we knew and have run out; one that was closed before is somebody's doing."""
    expired = [
        session_id
        for session_id, body in bodies.items()
        if body["status"] == "expired" and body["expires_at"] <= now.timestamp()
    ]
    if not expired:
        return []
    open_ones = select(CheckoutIntent).where(CheckoutIntent.session_id.in_(expired), CheckoutIntent.state == "open")
    return [
        changes.of_expired_checkout(
            str(row.session_id),
            owner=owner,
            customer=row.customer_id,
            plan=row.plan,
            interval=row.interval,
            seats=row.seats,
            addons=row.addons or {},
            now=now,
        )
        for row in session.scalars(open_ones)
    ]


def _repeated_trials(session: Session, customer_id: str, trials: Trials) -> list[str]:
    """The trials to be ended at Stripe, as of what we know."""
    mapping = store.mapping_to(session, customer_id)
    if mapping is None or not trials.end:
        return []
    return [each.id for each in trials.repeated(session, mapping.owner, customer_id)]


def _open_sessions(session: Session, customer_id: str) -> list[str]:
    found = session.scalars(
        select(CheckoutIntent.session_id).where(
            CheckoutIntent.customer_id == customer_id,
            or_(
                CheckoutIntent.state == "open",
                and_(CheckoutIntent.state == "complete", CheckoutIntent.payment_status == "unpaid"),
            ),
            CheckoutIntent.session_id.is_not(None),
        )
    )
    return [each for each in found if each is not None]


def _forget(session: Session, customer_id: str) -> None:
    """The customer is gone at Stripe: the owner gets a new one at the next Checkout, and open claims are free."""
    session.execute(
        update(CheckoutIntent)
        .where(CheckoutIntent.customer_id == customer_id, CheckoutIntent.state.in_(("creating", "open")))
        .values(state="expired")
    )

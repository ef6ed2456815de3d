"""
Changing plan, interval or seats: a quote is confirmed, and exactly that is charged, or nothing.

What was done is read off the object at Stripe, which names the quote it was changed by: after a double click, a lost
answer or a crash the same call finds it done, finishes it, or does it, once. One quote of a subscription is confirmed
at a time. No transaction is open while Stripe is asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any

from paidup import cards, discounts, outbox, planned_changes
from paidup.arguments import is_id
from paidup.core import change_state, parse
from paidup.core.changes import Change
from paidup.core.quote import PendingChange, Quote, ScheduledChange
from paidup.core.subscription import Subscription
from paidup.customers import check_owner
from paidup.database import quotes as rows
from paidup.database import store
from paidup.database.engine import Database
from paidup.database.tables import StoredQuote
from paidup.errors import (
    ChangeNotPaid,
    DiscountNotApplicable,
    PaymentNeedsUser,
    QuoteChanged,
    QuoteNotFound,
    StripeError,
    StripeNotFound,
    StripeRejected,
    StripeUnavailable,
    SubscriptionRefused,
)
from paidup.handlers import Handlers
from paidup.invoices import PAYMENTS, page_of
from paidup.quotes import Quotes
from paidup.stripe_api import idempotency
from paidup.stripe_api.gateway import Gateway

_SETTLED = timedelta(minutes=2)
"""After this long nothing of an interrupted call is on its way to Stripe any more."""

_WAIT_SECONDS = 15.0
_POLL_SECONDS = 0.1
_TRIES = 5
"""How often a change is tried again when others, who have the same archived price, archived it in its middle."""


class _Outdated(Exception):
    """What a quote was computed from is not so any more."""


class Changing:
    """Carries changes out, shows what is planned, and undoes it."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        quotes: Quotes,
        handlers: Handlers,
        livemode: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._quotes = quotes
        self._handlers = handlers
        self._livemode = livemode
        self._clock = clock

    def confirm(self, owner: str, quote_id: str, *, wait: timedelta) -> Subscription:
        """
        Carry a quote out; how the subscription stands then.

        Raises QuoteNotFound, QuoteChanged with a new quote, PaymentNeedsUser, ChangeNotPaid, SubscriptionRefused,
        DiscountRefused, StripeError.
        """
        row, was_free = self._claim(check_owner(owner), quote_id)
        try:
            if row.state == "outdated":
                raise _Outdated
            if row.state == "done":
                self._check_planned(row)
            else:
                self._carry_out(row, was_free=was_free)
        except _Outdated:
            if self._was_done_meanwhile(row):
                return self._as_it_is_now(owner, row.customer_id, row.subscription_id, wait)
            self._note(row, "outdated")
            quote = Quote.from_dict(row.terms)
            fresh = self._quotes.preview(
                owner,
                quote.after.plan,
                interval=quote.after.interval,
                seats=quote.after.seats,
                addons=quote.addons_changed,
                promotion_code=quote.promotion_code,
                coupon=next((each["coupon"] for each in row.params.get("discounts", ()) if "coupon" in each), None),
                wait=wait,
            )
            raise QuoteChanged(
                "what the change costs is not what it was", quote=fresh, remedy="show the new quote, and ask again"
            ) from None
        except (ChangeNotPaid, PaymentNeedsUser):
            self._quotes.synchronise(row.customer_id, wait)
            raise
        return self._as_it_is_now(owner, row.customer_id, row.subscription_id, wait)

    def scheduled(self, owner: str, *, group: str | None) -> ScheduledChange | None:
        """The change that is to come; None without one. Stripe is asked only after a call that was interrupted."""
        for subscription in self._quotes.known(check_owner(owner), group):
            if subscription.schedule is None:
                continue
            with self._database.read() as session:
                found = rows.confirmed(session, subscription.id)
            for row in found:
                if row.state == "confirming":
                    row = self._settle(row)
                quote = Quote.from_dict(row.terms)
                if row.state != "done" or row.schedule_id != subscription.schedule or quote.effective_at is None:
                    continue
                if subscription.metadata.get(parse.QUOTE_KEY) != row.id:
                    return ScheduledChange(row.id, subscription.id, quote.before, quote.after, quote.effective_at)
        return None

    def pending(self, owner: str, *, group: str | None) -> PendingChange | None:
        """The change that waits for the user's bank; None without one, and then Stripe is not asked."""
        for subscription in self._quotes.known(check_owner(owner), group):
            if subscription.waiting_quote is None:
                continue
            with self._database.read() as session:
                row = rows.waiting(session, subscription.waiting_quote, subscription.id)
            if row is None:
                continue
            body = self._gateway.retrieve_subscription(subscription.id)
            expires_at = change_state.dropped_at(body)
            if expires_at is None or not change_state.is_waiting(body, row.id):
                continue  # it was answered, or dropped, and nobody has told us yet
            quote = Quote.from_dict(row.terms)
            url = page_of(self._gateway.retrieve_invoice(str(parse.reference(body["latest_invoice"]))))
            return PendingChange(row.id, subscription.id, quote.before, quote.after, url, expires_at)
        return None

    def undo(self, owner: str, *, group: str | None, wait: timedelta) -> Subscription:
        """Drop what is planned, or waits to be paid. Raises SubscriptionRefused, StripeError."""
        chosen = self._quotes.running(check_owner(owner), group, wait)
        body = self._gateway.retrieve_subscription(chosen.id)
        schedule_id = parse.reference(body.get("schedule"))
        if schedule_id is not None:
            schedule = self._gateway.retrieve_schedule(schedule_id)
            if change_state.quote_of(schedule) is None and not change_state.changes_nothing(schedule):
                self._quotes.check_schedule(body)
            self._release(schedule_id)
        if parse.subscription(body).waiting_quote is not None:
            self._void(str(parse.reference(body["latest_invoice"])))
        was = parse.subscription(body)
        self._tell(lambda session: planned_changes.drop(session, was, owner=owner, now=self._clock()))
        return self._as_it_is_now(owner, chosen.customer, chosen.id, wait)

    def settle(self, owner: str) -> None:
        """Find out what became of an owner's changes that were interrupted. Raises StripeError."""
        with self._database.read() as session:
            found = rows.confirming(session, check_owner(owner), livemode=self._livemode)
        for row in found:
            self._settle(row)

    # one at a time

    def _claim(self, owner: str, quote_id: str) -> tuple[StoredQuote, bool]:
        """The quote, to be confirmed by this call and its repetitions alone; and whether it is the first of them."""
        if not is_id(quote_id):
            raise _not_found()
        deadline = monotonic() + _WAIT_SECONDS
        while True:
            row, other, was_free = self._database.run(
                lambda session: rows.take(session, quote_id, owner, livemode=self._livemode, now=self._clock())
            )
            if row is None:
                raise _not_found()
            if other is None:
                return row, was_free
            if self._settle(other).state == "confirming":
                if monotonic() >= deadline:
                    raise StripeUnavailable(
                        "another change of this subscription is under way", remedy="try again in a minute"
                    )
                sleep(_POLL_SECONDS)

    def _settle(self, row: StoredQuote) -> StoredQuote:
        """Find out what became of a call that may have been interrupted; while it may still go on, nothing."""
        if row.confirmed_at is not None and row.confirmed_at > self._clock() - _SETTLED:
            with self._database.read() as session:
                return session.get(StoredQuote, row.id) or row
        body = self._gateway.retrieve_subscription(row.subscription_id)
        schedule_id = parse.reference(body.get("schedule"))
        if change_state.is_done(body, row.id):
            self._note(row, "done", schedule_id=schedule_id)
        elif change_state.is_waiting(body, row.id):
            self._note_waiting(row, body)
        elif schedule_id and change_state.quote_of(self._gateway.retrieve_schedule(schedule_id)) == row.id:
            self._note_planned(row, schedule_id)
        else:
            self._note(row, "outdated", schedule_id=schedule_id)
        return row

    def _note(self, row: StoredQuote, state: str, *, schedule_id: str | None = None, declined: bool = False) -> None:
        attempt = row.attempt + declined
        values: dict[str, Any] = {"state": state, "attempt": attempt}
        if schedule_id is not None:
            values["schedule_id"] = schedule_id
        self._database.run(lambda session: rows.note(session, row, values))
        row.state, row.schedule_id = state, schedule_id or row.schedule_id

    def _note_planned(self, row: StoredQuote, schedule_id: str) -> None:
        """The schedule has it: that is told in the transaction that notes it, whoever gets so far."""
        self._tell(lambda session: [planned_changes.note_planned(session, row, schedule_id, now=self._clock())])
        row.state, row.schedule_id = "done", schedule_id

    def _note_waiting(self, row: StoredQuote, body: dict[str, Any]) -> None:
        """Their bank asks the user: that is told in the transaction that notes it, once."""
        expires_at, now = change_state.dropped_at(body), self._clock()
        self._tell(lambda session: [planned_changes.note_waiting(session, row, expires_at=expires_at, now=now)])
        row.state = "waiting"

    def _tell(self, write: Callable[[Any], list[Change]]) -> None:
        """Write, and tell the app what comes of it in the same transaction."""
        self._database.run(lambda session: outbox.put(session, write(session), self._handlers, now=self._clock()))

    # what to do

    def _was_done_meanwhile(self, row: StoredQuote) -> bool:
        """Was another click faster? Then what the quote was computed from is gone because of it."""
        if row.state == "outdated":
            return False
        body = self._gateway.retrieve_subscription(row.subscription_id)
        if change_state.is_done(body, row.id):
            self._note(row, "done")
            return True
        if change_state.is_waiting(body, row.id):
            self._follow_payment(row, body)
        return False

    def _check_planned(self, row: StoredQuote) -> None:
        """Does the schedule still have what is to come? Raises _Outdated otherwise: somebody has dropped it."""
        quote = Quote.from_dict(row.terms)
        if quote.effective_at is None or quote.effective_at <= self._clock():
            return
        body = self._gateway.retrieve_subscription(row.subscription_id)
        if parse.subscription(body).has_ended:
            raise _Outdated
        if change_state.is_done(body, row.id):
            return
        schedule_id = parse.reference(body.get("schedule"))
        if schedule_id and change_state.quote_of(self._gateway.retrieve_schedule(schedule_id)) == row.id:
            return
        # Told here as well: the synchronisation tells nothing of what is outdated.
        self._tell(lambda session: [planned_changes.note_dropped(session, row, owner=row.owner, now=self._clock())])
        raise _Outdated

    def _carry_out(self, row: StoredQuote, *, was_free: bool) -> None:
        try:
            body = self._gateway.retrieve_subscription(row.subscription_id)
            is_later, is_sent = row.terms["when"] == "period_end", change_state.is_waiting(body, row.id)
            schedule = self._schedule_there_is(row, body) if is_later else None
            if row.state == "done":
                return
            if not is_later and not is_sent:
                self._prepare(row, body)
        except (StripeError, SubscriptionRefused):
            if was_free:
                self._note(row, "open")  # nothing was asked for that costs anything
            raise
        if is_later:
            self._schedule(row, body, schedule)
        else:
            self._conclude(row, body if is_sent else self._send(row))

    def _prepare(self, row: StoredQuote, body: dict[str, Any]) -> None:
        """Make sure that exactly what was quoted would be charged. Raises _Outdated otherwise."""
        self._check(row, body)
        quote = Quote.from_dict(row.terms)
        self._quotes.check_card(body, quote.before, quote.after)
        schedule = self._quotes.check_schedule(body)
        if schedule is not None:
            self._release(schedule["id"])
        if change_state.is_waiting(body):
            # Its invoice goes first: paid at the same moment, this change would cost something else.
            self._void(str(parse.reference(body["latest_invoice"])))
            self._check(row, self._gateway.retrieve_subscription(row.subscription_id))
        if "payment_behavior" in row.params:
            quoted = (row.terms["currency"], row.terms["total"], row.terms["due_now"])
            if self._quotes.preview_again(row.subscription_id, row.params) != quoted:
                raise _Outdated
        cards.before_charging(self._gateway, parse.subscription(body))

    def _check(self, row: StoredQuote, body: dict[str, Any]) -> None:
        if row.expires_at <= self._clock() or change_state.fingerprint(body) != row.fingerprint:
            raise _Outdated

    def _send(self, row: StoredQuote) -> dict[str, Any]:
        deadline = monotonic() + _WAIT_SECONDS
        key = idempotency.key("change", f"{row.id}-{row.attempt}", row.params)
        while True:
            try:
                return self._gateway.update_subscription(row.subscription_id, row.params, idempotency_key=key)
            except StripeUnavailable as error:
                if error.stripe_code != idempotency.IN_USE or monotonic() >= deadline:
                    raise  # the claim stays: the same call finds out, with the same key
                sleep(_POLL_SECONDS)  # the other click is at it
            except (StripeRejected, StripeNotFound) as error:
                self._note(row, "open", declined=True)  # a corrected call must not meet this one's stored answer
                if (refused := discounts.refusal(error)) is not None:
                    raise refused from error
                if error.param != "payment_behavior":
                    raise
                raise SubscriptionRefused(
                    "it is paid by a method whose payments take days",
                    action="update_payment_method",
                    remedy="add a card in the billing portal, then confirm again",
                ) from error

    def _conclude(self, row: StoredQuote, body: dict[str, Any]) -> None:
        """Paid, waiting for the user, or taken back."""
        if not change_state.is_done(body, row.id) and change_state.is_waiting(body, row.id):
            self._follow_payment(row, body)
            body = self._gateway.retrieve_subscription(row.subscription_id)
        if not change_state.is_done(body, row.id):
            raise _Outdated  # another call has taken it back
        self._note(row, "done")

    def _follow_payment(self, row: StoredQuote, body: dict[str, Any]) -> None:
        invoice = self._gateway.retrieve_invoice(str(parse.reference(body["latest_invoice"])), expand=PAYMENTS)
        payment = change_state.payment_of(invoice)
        failure = payment.get("last_payment_error") or {}
        # Void already, an interrupted call has taken back what was declined.
        if invoice["status"] != "open" and not (failure and invoice["status"] == "void"):
            return
        if payment.get("status") == "requires_action":
            self._note_waiting(row, body)
            raise PaymentNeedsUser(
                "the bank asks the user to confirm this payment",
                invoice=invoice["id"],
                url=page_of(invoice),
                remedy="send the user to `url`; the change takes effect once it is paid there",
            )
        if invoice["status"] == "open" and self._void(invoice["id"]) == "paid":
            return
        self._note(row, "open", declined=True)
        raise ChangeNotPaid(
            "the card was declined" if failure else "there is no payment method to charge",
            decline_code=failure.get("decline_code") or failure.get("code"),
            remedy="change the card in the billing portal, then confirm again",
        )

    def _schedule_there_is(self, row: StoredQuote, body: dict[str, Any]) -> dict[str, Any] | None:
        """The schedule to be used, None for a new one; the quote is done if a schedule is about it already."""
        schedule_id = parse.reference(body.get("schedule"))
        if schedule_id is not None:
            schedule = self._gateway.retrieve_schedule(schedule_id)
            if change_state.quote_of(schedule) == row.id:
                self._archive(body)
                self._note_planned(row, schedule_id)
                return None
        self._check(row, body)
        if change_state.is_waiting(body):
            self._void(str(parse.reference(body["latest_invoice"])))
        return self._quotes.check_schedule(body)

    def _schedule(self, row: StoredQuote, body: dict[str, Any], found: dict[str, Any] | None) -> None:
        try:
            if found is None:
                key = idempotency.key("schedule", f"{row.id}-{row.attempt}", {})
                found = self._gateway.create_schedule(row.subscription_id, idempotency_key=key)
            self._plan(row, body, found)
        except (StripeRejected, StripeNotFound) as error:
            self._note(row, "open", declined=True)  # a corrected call must not meet this one's stored answer
            if "discounts" in (error.param or ""):
                raise DiscountNotApplicable(
                    f"the discount does not apply: {error.message}", remedy="go on without it"
                ) from error
            raise
        self._note_planned(row, found["id"])

    def _plan(self, row: StoredQuote, body: dict[str, Any], found: dict[str, Any]) -> None:
        quote = Quote.from_dict(row.terms)
        assert quote.effective_at is not None
        phases = change_state.phases(
            found,
            body,
            row.params["items"],
            at=int(quote.effective_at.timestamp()),
            new_cycle=quote.after.interval != quote.before.interval,
            metadata=row.params["metadata"],
            discounts=row.params.get("discounts"),
        )
        params = {"end_behavior": "release", "metadata": row.params["metadata"], "phases": phases}
        archived = change_state.archived_prices(body)
        try:
            for last in (*[False] * (_TRIES if archived else 0), True):
                # A schedule has to name what is there already, and Stripe takes no archived price: such a one is active
                # for the moment of the call. It has no lookup key, so nothing of ours sells it, and it says what it is:
                # whoever comes back after a crash archives it.
                for price in archived:
                    self._gateway.update_price(price, {"active": True, "metadata": change_state.ARCHIVED})
                try:
                    self._gateway.update_schedule(found["id"], params)
                    return
                except StripeRejected as error:
                    # Somebody else who has this price was done with their own change in between, and archived it.
                    if last or not self._is_inactive(error, archived):
                        raise
                sleep(_POLL_SECONDS * random.uniform(0.5, 3.0))  # so that two who met don't meet again
        finally:
            self._archive(body)

    def _is_inactive(self, error: StripeRejected, prices: Sequence[str]) -> bool:
        """Was that refused for one of these prices? Stripe names the parameter; the price itself tells as well."""
        return (error.param or "").endswith("[price]") or any(
            not self._gateway.retrieve_price(each)["active"] for each in prices
        )

    def _archive(self, body: dict[str, Any]) -> None:
        for price in change_state.archived_prices(body):
            self._gateway.update_price(price, {"active": False, "metadata": dict.fromkeys(change_state.ARCHIVED, "")})

    def _release(self, schedule_id: str) -> None:
        try:
            self._gateway.release_schedule(schedule_id)
        except StripeRejected:
            if not change_state.is_over(self._gateway.retrieve_schedule(schedule_id)):
                raise

    def _void(self, invoice_id: str) -> str:
        """Take an invoice back; its status then, which is `paid` if that came first."""
        try:
            return str(self._gateway.void_invoice(invoice_id)["status"])
        except StripeRejected:
            status = str(self._gateway.retrieve_invoice(invoice_id)["status"])
            if status == "open":
                raise
            return status

    # what came of it

    def _as_it_is_now(self, owner: str, customer_id: str, subscription_id: str, wait: timedelta) -> Subscription:
        if self._quotes.synchronise(customer_id, wait):
            with self._database.read() as session:
                for each in store.subscriptions_of(session, owner, livemode=self._livemode):
                    if each.id == subscription_id:
                        return each
        # The target stays dirty and the workers go on; until then Stripe's own answer tells.
        body = self._gateway.retrieve_subscription(subscription_id)
        return replace(parse.subscription(body), plan=(body.get("metadata") or {}).get(parse.PLAN_KEY))


def _not_found() -> QuoteNotFound:
    return QuoteNotFound("there is no such quote of yours", remedy="ask for a new one")

"""
Quotes: what a change of plan, interval or seats will cost, computed by Stripe and kept, so that it binds.

Nothing is changed here. A quote remembers the moment it was computed to, what Stripe has to be asked for to get it, and
a hash of the subscription it stands on; `changing` charges exactly that or nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from paidup import discounts
from paidup.arguments import check_group
from paidup.core import change_state, item_changes, parse, targets
from paidup.core.access import best, of_group, plan_of
from paidup.core.addons import addons_held, addons_to_have
from paidup.core.catalog import Catalog, Plan, PlanPrice
from paidup.core.plan_change import ends_trial, needs_card, plan_item, seats_to_ask, timing
from paidup.core.quote import Quote, Terms, When
from paidup.core.subscription import Subscription, SubscriptionItem
from paidup.customers import check_owner
from paidup.database import quotes as rows
from paidup.database import store
from paidup.database.engine import Database
from paidup.database.tables import StoredQuote
from paidup.errors import (
    PlanNotForSale,
    StripeError,
    StripeNotFound,
    StripeRejected,
    SubscriptionRefused,
    UnknownPlan,
)
from paidup.prices import price_ids
from paidup.purchase import choose, choose_addons
from paidup.stripe_api.gateway import Gateway
from paidup.sync import Synchroniser

HOLDS_FOR = timedelta(minutes=30)
"""How long a quote may be confirmed: what time has passed since is given away, or taken."""

_NOTHING_UPCOMING = "invoice_upcoming_none"
_NO_ADDRESS = "customer_tax_location_invalid"
_NOT_OF_ITEMS = ("discounts", "payment_behavior", "metadata")


@dataclass(frozen=True, slots=True)
class Meant:
    """A change of the owner's subscription: the object at Stripe, the item that is its plan, and the terms."""

    body: dict[str, Any]
    subscription: Subscription
    item: SubscriptionItem
    before: Terms
    after: Terms


class Quotes:
    """Says what changes cost. `returns` runs the synchronisations that users wait for."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        catalog: Catalog,
        synchroniser: Synchroniser,
        livemode: bool,
        clock: Callable[[], datetime],
        returns: Executor,
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._catalog = catalog
        self._synchroniser = synchroniser
        self._livemode = livemode
        self._clock = clock
        self._returns = returns

    def preview(
        self,
        owner: str,
        plan_key: str,
        *,
        interval: str | None,
        seats: int | None,
        addons: Mapping[str, int] | None,
        promotion_code: str | None,
        coupon: str | None,
        wait: timedelta,
    ) -> Quote:
        """
        A new quote for the owner's subscription. It changes nothing.

        Raises UnknownPlan, UnknownInterval, InvalidSeats, UnknownAddon, InvalidQuantity, PlanNotForSale,
        SubscriptionRefused, DiscountRefused, StripeError.
        """
        meant = self.meant(owner, plan_key, interval=interval, seats=seats, addons=addons, wait=wait)
        subscription = meant.subscription
        discount = discounts.choose(
            self._gateway, promotion_code=promotion_code, coupon=coupon, customer_id=subscription.customer
        )
        when = timing(meant.before, meant.after, self._catalog, trialing=subscription.is_trialing)
        params: dict[str, Any] = {"items": self.items(meant), "proration_behavior": "none"}
        if subscription.is_trialing and ends_trial(meant.before, meant.after, self._catalog):
            _refuse_unless_charged(subscription)
            params["trial_end"] = "now"
        self.check_card(meant.body, meant.before, meant.after)
        if discount is not None:
            present = [{"discount": parse.reference(each)} for each in meant.body.get("discounts") or []]
            params["discounts"] = [*present, discount]
        return self._quote(owner, meant, when, params, promotion_code)

    def meant(
        self,
        owner: str,
        plan_key: str,
        *,
        interval: str | None,
        seats: int | None,
        addons: Mapping[str, int] | None,
        wait: timedelta,
    ) -> Meant:
        """
        The change that is asked for, held against the plans file and how the owner's subscription stands at Stripe.

        Raises UnknownPlan, UnknownInterval, InvalidSeats, UnknownAddon, InvalidQuantity, PlanNotForSale,
        SubscriptionRefused, StripeError.
        """
        check_owner(owner)
        if not self._catalog.has(plan_key):
            known = ", ".join(each.key for each in self._catalog.plans)
            raise UnknownPlan(f"there is no plan {plan_key!r}", remedy=f"choose one of: {known}")
        group = self._catalog.plan(plan_key).group
        body = self._gateway.retrieve_subscription(self.running(owner, group, wait).id)
        subscription = parse.subscription(body)
        if subscription.has_ended:
            self.synchronise(subscription.customer, wait)  # or the Checkout it is sent to would send it back here
        _refuse_as_it_stands(subscription)
        current, item = self._plan_item(subscription, group)
        held = addons_held(subscription, self._catalog)
        before = Terms(current.key, item.interval or "", item.quantity, held)
        plan, price = self._wanted(plan_key, interval or before.interval, seats, before)
        choose_addons(self._catalog, plan, addons, interval=price.interval)
        beside = addons_to_have(
            held,
            addons or {},
            self._catalog,
            plan=plan.key,
            interval=price.interval,
            changes_plan=plan.key != before.plan,
        )
        after = Terms(plan.key, price.interval, seats_to_ask(plan, seats, item.quantity), beside)
        if after == before:
            raise SubscriptionRefused(
                f"{plan.name} is what there is already", action="nothing_to_change", remedy="choose something else"
            )
        self.check_schedule(body)
        currency = subscription.currency
        if price.amount_in(currency) is None:
            raise PlanNotForSale(
                f"the subscription is in {currency}, {plan.name} is sold in {', '.join(price.amounts)}",
                remedy="cancel it, then start a checkout for the new plan",
            )
        return Meant(body, subscription, item, before, after)

    def items(self, meant: Meant) -> list[dict[str, Any]]:
        """The elements of Stripe's `items` that it takes. Raises PlanNotForSale, StripeError."""
        wanted = item_changes.wanted(meant.subscription, meant.item, meant.before, meant.after, self._catalog)
        sold, currency = item_changes.prices_of(wanted), meant.subscription.currency
        for each in sold:
            if each.amount_in(currency) is None:
                raise PlanNotForSale(
                    f"the subscription is in {currency}, price {each.lookup_key!r} has no amount in it",
                    remedy="leave out what it is of, or add the currency to the plans file",
                )
        return item_changes.item_changes(wanted, price_ids(self._gateway, sold, currency=currency))

    def running(self, owner: str, group: str | None, wait: timedelta) -> Subscription:
        """The owner's subscription in a group, or the only one; of one bought a moment ago nobody may have told us."""
        found = self._known(owner, group)
        if found is None:
            with self._database.read() as session:
                customer = store.customer_of(session, owner, livemode=self._livemode)
            if customer is not None:
                self.synchronise(customer.id, wait)
            found = self._known(owner, group)
        if found is None:
            raise SubscriptionRefused("there is no subscription", action="checkout", remedy="start a checkout first")
        return found

    def known(self, owner: str, group: str | None) -> list[Subscription]:
        """The owner's subscriptions that have not ended, in a group or, without one, in all; of no known plan too."""
        check_group(group, self._catalog)
        with self._database.read() as session:
            found = store.subscriptions_of(session, owner, livemode=self._livemode)
        running = [each for each in found if not each.has_ended]
        return running if group is None else of_group(running, group, self._catalog)

    def synchronise(self, customer_id: str, wait: timedelta) -> bool:
        """Within `wait`; in a thread, because the SDK's own timeouts and retries may take a minute."""
        asked = self._returns.submit(self._synchroniser.now, targets.customer(customer_id), wait=wait)
        try:
            return asked.result(wait.total_seconds())
        except (StripeError, TimeoutError):
            return False

    def check_schedule(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """
        The schedule of a subscription, if nothing is to come of it any more; None without one.

        Raises SubscriptionRefused for one that plans something, ours or not.
        """
        schedule_id = parse.reference(body.get("schedule"))
        if schedule_id is None:
            return None
        schedule = self._gateway.retrieve_schedule(schedule_id)
        if change_state.changes_nothing(schedule):
            return schedule
        if change_state.quote_of(schedule) is not None:
            raise SubscriptionRefused(
                "another change is planned already", action="undo_change", remedy="undo the planned change first"
            )
        raise SubscriptionRefused(
            f"subscription {body['id']} is managed by a schedule that was made elsewhere",
            action="plan_change",
            remedy="release the schedule in Stripe's Dashboard first",
        )

    def check_card(self, body: dict[str, Any], before: Terms, after: Terms) -> None:
        """
        Raises SubscriptionRefused for a change within a trial that needs a card, where there is none.

        A trial that is ended without one would be the end of the subscription: Checkout has it canceled then.
        """
        is_sent = body.get("collection_method") == "send_invoice"
        if body["status"] != "trialing" or is_sent or not needs_card(before, after, self._catalog):
            return
        customer = self._gateway.retrieve_customer(parse.reference(body["customer"]) or "")
        if not change_state.has_payment_method(body, customer):
            raise SubscriptionRefused(
                "there is no card for this plan",
                action="update_payment_method",
                remedy="add a card in the billing portal, then choose again",
            )

    def preview_again(self, subscription_id: str, params: dict[str, Any]) -> tuple[str, int, int]:
        """Currency, total and amount due of what a quote's parameters cost as things stand."""
        body = self._preview(subscription_id, params)
        return body["currency"], body["total"], body["amount_due"]

    # what is meant

    def _known(self, owner: str, group: str | None) -> Subscription | None:
        found = self.known(owner, group)
        groups = {self._group(each) for each in found} - {None}
        if len(groups) > 1:
            raise SubscriptionRefused(
                f"there are several subscriptions: {', '.join(sorted(str(each) for each in groups))}",
                action="choose_group",
                remedy="say which group is meant",
            )
        return best(found, self._catalog)

    def _group(self, subscription: Subscription) -> str | None:
        plan = plan_of(subscription, self._catalog)
        return plan.group if plan else None

    def _plan_item(self, subscription: Subscription, group: str) -> tuple[Plan, SubscriptionItem]:
        found = plan_item(subscription, self._catalog, group)
        if found is None:
            raise SubscriptionRefused(
                f"subscription {subscription.id} has a price that is not in the plans file",
                action="contact_us",
                remedy="change it in Stripe's Dashboard, or add its price to the plans file",
            )
        return found

    def _wanted(self, plan_key: str, interval: str, seats: int | None, before: Terms) -> tuple[Plan, PlanPrice]:
        asked = seats_to_ask(self._catalog.plan(plan_key), seats, before.seats)
        return choose(self._catalog, plan_key, interval=interval, seats=asked)

    # what it costs

    def _quote(
        self,
        owner: str,
        meant: Meant,
        when: When,
        params: dict[str, Any],
        promotion_code: str | None,
    ) -> Quote:
        subscription, item, later = meant.subscription, meant.item, dict(params)
        today: dict[str, Any] | None = None
        if "trial_end" in params:
            today = self._preview(subscription.id, params)
            later = self._after_trial(meant.body, params, today)
            params["payment_behavior"] = "pending_if_incomplete"
        elif when == "now" and not subscription.is_trialing:
            _refuse_unless_charged(subscription)
            params["proration_behavior"] = "always_invoice"
            today = self._preview(subscription.id, params)
            moment = change_state.proration_date(today)
            params["payment_behavior"] = "pending_if_incomplete"
            if moment is not None:
                params["proration_date"] = moment
        following = self._next(subscription.id, later)
        quote = Quote(
            id=uuid.uuid4().hex,
            owner=owner,
            subscription=subscription.id,
            before=meant.before,
            after=meant.after,
            when=when,
            effective_at=item.current_period_end if when == "period_end" else None,
            currency=subscription.currency,
            total=today["total"] if today else 0,
            due_now=today["amount_due"] if today else 0,
            credit=change_state.credit(today) if today else 0,
            lines=parse.upcoming_lines(today) if today else (),
            next_amount=following["total"] if following else None,
            next_at=_next_date(following, item, when),
            expires_at=self._clock() + HOLDS_FOR,
            promotion_code=promotion_code.strip() if promotion_code else None,
            ends_trial="trial_end" in params,
        )
        self._store(quote, meant.body, item, params)
        return quote

    def _after_trial(self, body: dict[str, Any], params: dict[str, Any], today: dict[str, Any]) -> dict[str, Any]:
        """
        What the second invoice is previewed by, when the first ends a trial: one that lasts until then.

        Stripe previews one invoice ahead. A discount that holds once is spent by then.
        """
        later = {name: value for name, value in params.items() if name != "trial_end"}
        if (end := change_state.period_end(today)) is not None:
            later["trial_end"] = end
        asked = params.get("discounts") or [{"discount": each.id} for each in parse.discounts(body)]
        spent = {each.id for each in parse.discounts(body) if each.duration == "once"}
        left = [
            each
            for each in asked
            if (each["discount"] not in spent if "discount" in each else not discounts.is_used_up(self._gateway, each))
        ]
        if len(left) < len(asked):
            later["discounts"] = left or ""
        return later

    def _preview(self, subscription_id: str, params: dict[str, Any]) -> dict[str, Any]:
        details = {name: value for name, value in params.items() if name not in _NOT_OF_ITEMS}
        asked: dict[str, Any] = {"subscription": subscription_id, "subscription_details": details}
        if "discounts" in params:
            asked["discounts"] = params["discounts"]
        try:
            return self._gateway.preview_invoice(asked)
        except (StripeRejected, StripeNotFound) as error:
            if (refused := discounts.refusal(error)) is not None:
                raise refused from error
            if error.stripe_code != _NO_ADDRESS:
                raise
            raise SubscriptionRefused(
                "the tax cannot be computed without the customer's address",
                action="update_address",
                remedy="add an address in the billing portal",
            ) from error

    def _next(self, subscription_id: str, params: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return self._preview(subscription_id, params)
        except StripeNotFound as error:
            if error.stripe_code == _NOTHING_UPCOMING:
                return None
            raise

    def _store(self, quote: Quote, body: dict[str, Any], item: SubscriptionItem, params: dict[str, Any]) -> None:
        now = self._clock()
        metadata = {parse.QUOTE_KEY: quote.id, parse.PLAN_KEY: quote.after.plan}
        row = StoredQuote(
            id=quote.id,
            owner=quote.owner,
            livemode=self._livemode,
            customer_id=parse.reference(body["customer"]) or "",
            subscription_id=quote.subscription,
            item_id=item.id,
            price_id=next(
                (each["price"] for each in params["items"] if each.get("id") == item.id and "price" in each), item.price
            ),
            terms=quote.as_dict(),
            params={**params, "metadata": metadata},
            fingerprint=change_state.fingerprint(body),
            state="open",
            attempt=0,
            expires_at=quote.expires_at,
            created=now,
        )
        self._database.run(lambda session: rows.save(session, row, gone_before=now - HOLDS_FOR))


def _refuse_as_it_stands(subscription: Subscription) -> None:
    """
    Raises SubscriptionRefused unless a change makes sense.

    One that is going to end is not brought back by changing it: the user says so first, on purpose.
    """
    match subscription.status:
        case "canceled" | "incomplete_expired":
            what, action, remedy = "has ended", "checkout", "start a checkout for a new one"
        case "past_due" | "unpaid" | "incomplete":
            what, action, remedy = "has a payment that failed", "fix_payment", "pay it first"
        case "paused":
            what, action, remedy = "is paused", "resume", "resume it first"
        case "active" | "trialing" if subscription.paused_collection is not None:
            what, action, remedy = "is paused", "resume", "resume it first"
        case "active" | "trialing" if subscription.is_canceling:
            what, action, remedy = "is going to end", "resume", "take the cancellation back first"
        case "active" | "trialing":
            return
        case status:
            what, action, remedy = f"is {status}", "contact_us", "look at it in Stripe's Dashboard"
    raise SubscriptionRefused(f"subscription {subscription.id} {what}", action=action, remedy=remedy)


def _refuse_unless_charged(subscription: Subscription) -> None:
    """Only what is charged automatically can wait for its payment before it takes effect."""
    if subscription.collection_method != "charge_automatically":
        raise SubscriptionRefused(
            f"subscription {subscription.id} is paid by invoices that are sent",
            action="contact_us",
            remedy="change it in Stripe's Dashboard",
        )


def _next_date(following: dict[str, Any] | None, item: SubscriptionItem, when: When) -> datetime | None:
    if following is None:
        return None
    return item.current_period_end if when == "period_end" else parse.upcoming_invoice(following).date

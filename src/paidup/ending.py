"""
Ending and coming back: cancel, resume and pause the subscription of an owner.

What is left to do follows from how the subscription stands at Stripe, asked there and then (`steps.py`). So a double
click, a lost answer or a process killed half-way does no harm: the same call again finishes what is missing, and
repeats nothing. No transaction is open while Stripe is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, get_args

from paidup import cards, outbox, planned_changes
from paidup.arguments import check_group, is_text
from paidup.core import change_state, parse, targets
from paidup.core.access import best, of_group, plan_of
from paidup.core.catalog import Catalog
from paidup.core.standing import Standing
from paidup.core.subscription import Subscription
from paidup.customers import check_owner
from paidup.database import store
from paidup.database.engine import Database
from paidup.errors import (
    InvalidRequest,
    StripeError,
    StripeNotFound,
    StripeRejected,
    StripeUnavailable,
    SubscriptionRefused,
)
from paidup.giving_up import Owed as Owed
from paidup.giving_up import write_off
from paidup.handlers import Handlers
from paidup.refunding import Refunding, Unused
from paidup.steps import Step, Verb, to_end_later, to_end_now, to_pause, to_run, to_stop
from paidup.stripe_api.gateway import Gateway
from paidup.sync import Synchroniser

When = Literal["period_end", "now"]
PauseKind = Literal["collection", "subscription"]

FEEDBACK = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
"""Stripe's answers to why somebody cancels."""

LONGEST_COMMENT = 1000
"""In characters."""

LONGEST_PAUSE = timedelta(days=5 * 366)
"""Five years, and a little: whoever comes back later than that may as well start anew."""

_Plan = Callable[[Standing], Step | None]


class Ending:
    """Cancels, resumes and pauses. `returns` runs the synchronisations that users wait for."""

    def __init__(
        self,
        *,
        database: Database,
        gateway: Gateway,
        catalog: Catalog,
        handlers: Handlers,
        synchroniser: Synchroniser,
        livemode: bool,
        clock: Callable[[], datetime],
        returns: Executor,
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._catalog = catalog
        self._handlers = handlers
        self._synchroniser = synchroniser
        self._livemode = livemode
        self._clock = clock
        self._returns = returns
        self._refunding = Refunding(gateway)

    def cancel(
        self,
        owner: str,
        *,
        group: str | None,
        when: When,
        feedback: str | None,
        comment: str | None,
        refund_unused: bool,
        owed: Owed,
        wait: timedelta,
    ) -> Subscription:
        """
        End the owner's subscription. Raises SubscriptionRefused, InvalidRequest, StripeError.

        What was not paid of a subscription that is ended now is given up as `owed` says: by default its open invoices
        are voided, and so are its drafts, which Stripe lets nobody delete. The same call again finishes that.
        """
        details = _details(feedback, comment)
        plan: _Plan
        match when:
            case "period_end":
                plan = partial(to_end_later, details=details)
            case "now":
                plan = partial(to_end_now, details=details)
            case _:
                raise InvalidRequest(f"nothing ends {when!r}", remedy="choose period_end or now")
        if owed not in get_args(Owed):
            raise InvalidRequest(f"what is owed cannot be {owed!r:.80}", remedy=f"one of: {', '.join(get_args(Owed))}")
        if owed != "void" and when != "now":
            raise InvalidRequest("what is owed stays as it is until the end of the period", remedy="cancel it now")
        if refund_unused and when != "now":
            raise InvalidRequest("what is left of the period is used up by its end", remedy="cancel it now")
        chosen = self._choose(owner, group, wait)
        if refund_unused and not (live := self._look(chosen.id).subscription).has_ended:
            self._refunding.note(live)
        standing = self._carry_out(owner, chosen, plan)
        if standing.subscription.has_ended:
            self._give_up_what_is_owed(chosen.id, owed)
        if refund_unused:
            for charge in self._refunding.give_back(self._look(chosen.id).subscription):
                self._synchronise(targets.charge(charge), wait)
        return self._as_it_is_now(owner, chosen, standing, wait)

    def unused(self, owner: str, *, group: str | None) -> Unused | None:
        """What canceling now would give back; None without a subscription that runs. Raises StripeError."""
        check_owner(owner)
        found = self._known(owner, group)
        if found is None or found.has_ended:
            return None
        subscription = self._look(found.id).subscription
        return None if subscription.has_ended else self._refunding.unused(subscription)

    def resume(self, owner: str, *, group: str | None, wait: timedelta) -> Subscription:
        """Let the owner's subscription go on. Raises SubscriptionRefused, InvalidRequest, StripeError."""
        chosen = self._choose(owner, group, wait)
        standing = self._carry_out(owner, chosen, to_run)
        return self._as_it_is_now(owner, chosen, standing, wait)

    def pause(
        self, owner: str, *, group: str | None, until: datetime | None, kind: PauseKind, wait: timedelta
    ) -> Subscription:
        """Stop the owner's payments for a while. Raises SubscriptionRefused, InvalidRequest, StripeError."""
        if kind not in get_args(PauseKind):
            raise InvalidRequest(f"there is no pause of kind {kind!r}", remedy="choose collection or subscription")
        if kind == "subscription" and until is not None:
            raise InvalidRequest("Stripe gives this pause no end", remedy="leave `until` out, and resume it then")
        if until is not None:
            until = _end_of_pause(until, self._clock())
        chosen = self._choose(owner, group, wait)
        plan = to_stop if kind == "subscription" else partial(to_pause, until=until)
        standing = self._carry_out(owner, chosen, plan)
        return self._as_it_is_now(owner, chosen, standing, wait)

    # which one

    def _choose(self, owner: str, group: str | None, wait: timedelta) -> Subscription:
        """The subscription that is meant: the one that speaks for the owner in the group, an ended one at last."""
        check_owner(owner)
        found = self._known(owner, group)
        if found is None or found.has_ended:
            # Of one that was bought a moment ago, nobody may have told us yet.
            self._learn(owner, wait)
            found = self._known(owner, group)
        if found is None:
            raise SubscriptionRefused("there is no subscription", action="checkout", remedy="start a checkout first")
        return found

    def _known(self, owner: str, group: str | None) -> Subscription | None:
        check_group(group, self._catalog)
        with self._database.read() as session:
            found = store.subscriptions_of(session, owner, livemode=self._livemode)
        if group is not None:
            return best(of_group(found, group, self._catalog), self._catalog)
        plans = [plan_of(each, self._catalog) for each in found if not each.has_ended]
        running = {plan.group if plan else None for plan in plans}
        if len(running) > 1:
            names = ", ".join(sorted(name or "of no known plan" for name in running))
            raise SubscriptionRefused(
                f"there are several subscriptions: {names}", action="choose_group", remedy="say which group is meant"
            )
        return best(found, self._catalog)

    def _learn(self, owner: str, wait: timedelta) -> None:
        with self._database.read() as session:
            customer = store.customer_of(session, owner, livemode=self._livemode)
        if customer is not None and not self._synchronise(targets.customer(customer.id), wait):
            raise StripeUnavailable("Stripe could not be asked in time", remedy="try again in a moment")

    # what to do

    def _carry_out(self, owner: str, chosen: Subscription, plan: _Plan) -> Standing:
        """Step by step, until nothing is left to do; how the subscription stands then."""
        standing = self._look(chosen.id)
        done: Step | None = None
        while (step := plan(standing)) is not None and step != done:
            try:
                standing = self._do(step, standing, owner)
                done = step
            except (StripeRejected, StripeNotFound) as error:
                standing = self._look(chosen.id)
                if plan(standing) == step:
                    refusal = _refusal(step, error)
                    if refusal is None:
                        raise
                    raise refusal from error
                # Otherwise somebody else was faster: another tab, another process, or Stripe itself.
        return standing

    def _look(self, subscription_id: str) -> Standing:
        return self._standing(self._gateway.retrieve_subscription(subscription_id))

    def _standing(self, body: dict[str, Any]) -> Standing:
        """With whose schedule it is, where there is one."""
        found = parse.standing(body)
        if found.schedule is None:
            return found
        schedule = self._gateway.retrieve_schedule(found.schedule)
        if change_state.is_over(schedule):
            return replace(found, schedule=None)  # somebody released it this very moment
        return replace(
            found,
            planned_quote=change_state.quote_of(schedule),
            schedule_is_idle=change_state.changes_nothing(schedule),
        )

    def _do(self, step: Step, standing: Standing, owner: str) -> Standing:
        was = standing.subscription
        subscription_id = was.id
        match step.verb:
            case Verb.UPDATE:
                return self._standing(self._gateway.update_subscription(subscription_id, step.params))
            case Verb.CANCEL:
                return self._standing(self._gateway.cancel_subscription(subscription_id, step.params))
            case Verb.PAUSE:
                return self._standing(self._gateway.pause_subscription(subscription_id, step.params))
            case Verb.RESUME:
                cards.before_charging(self._gateway, standing.subscription)
                return self._standing(self._gateway.resume_subscription(subscription_id, step.params))
            case Verb.RELEASE:
                self._gateway.release_schedule(str(standing.schedule))
                self._forget_what_was_planned(was, owner)
                return self._look(subscription_id)

    def _forget_what_was_planned(self, was: Subscription, owner: str) -> None:
        now = self._clock()
        self._database.run(
            lambda session: outbox.put(
                session, planned_changes.drop(session, was, owner=owner, now=now), self._handlers, now=now
            )
        )

    def _give_up_what_is_owed(self, subscription_id: str, owed: Owed) -> None:
        for status in ("draft", "open"):
            for body in self._gateway.list_subscription_invoices(subscription_id, status=status):
                write_off(self._gateway, body, owed)

    # what came of it

    def _as_it_is_now(self, owner: str, chosen: Subscription, standing: Standing, wait: timedelta) -> Subscription:
        if self._synchronise(targets.customer(chosen.customer), wait):
            with self._database.read() as session:
                for each in store.subscriptions_of(session, owner, livemode=self._livemode):
                    if each.id == chosen.id:
                        return each
        # The target stays dirty and the workers go on; until then Stripe's own answer tells.
        return replace(standing.subscription, plan=chosen.plan, past_due_since=chosen.past_due_since)

    def _synchronise(self, target: str, wait: timedelta) -> bool:
        """Within `wait`; in a thread, because the SDK's own timeouts and retries may take a minute."""
        asked = self._returns.submit(self._synchroniser.now, target, wait=wait)
        try:
            return asked.result(wait.total_seconds())
        except (StripeError, TimeoutError):
            return False


def _details(feedback: str | None, comment: str | None) -> dict[str, str]:
    """What goes to Stripe about why, without what was left empty."""
    if comment is not None and not is_text(comment):
        raise InvalidRequest("the comment is no text", remedy="send letters, spaces and line breaks")
    comment = (comment or "").strip()
    if feedback and feedback not in FEEDBACK:
        raise InvalidRequest(
            f"{feedback!r:.80} is no feedback Stripe knows", remedy=f"choose one of: {', '.join(FEEDBACK)}"
        )
    if len(comment) > LONGEST_COMMENT:
        raise InvalidRequest("the comment is too long", remedy=f"send at most {LONGEST_COMMENT} characters")
    return {name: said for name, said in (("feedback", feedback), ("comment", comment)) if said}


def _end_of_pause(until: object, now: datetime) -> datetime:
    """The end as whole seconds of UTC. Raises InvalidRequest for what is no moment of the years to come."""
    if not isinstance(until, datetime) or until.tzinfo is None:
        raise InvalidRequest("the end of a pause needs a time zone", remedy="pass an aware datetime")
    # Compared before it is converted: the last hours of the year 9999 are no date in every zone.
    if until <= now:
        raise InvalidRequest("the end of a pause is in the future", remedy="choose a later moment")
    if until > now + LONGEST_PAUSE:
        raise InvalidRequest(
            "a pause ends within five years", remedy="choose a sooner moment, or leave it out: resume it then"
        )
    return until.astimezone(UTC).replace(microsecond=0)


def _refusal(step: Step, error: StripeError) -> SubscriptionRefused | None:
    """Stripe's no in our words, where we know what would help."""
    if step.verb is not Verb.RESUME or error.stripe_code != "resource_missing":
        return None
    return SubscriptionRefused(
        "there is nothing to charge for it",
        action="update_payment_method",
        remedy="add a card in the billing portal, then resume",
    )

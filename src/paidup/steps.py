"""
What is left to do at Stripe until a subscription ends, pauses or runs as was asked.

Nothing here calls anybody. Each function looks at how a subscription stands and names the next step, None once it
stands as it should: so whatever was interrupted is finished by asking again, and what is done is not done twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from paidup.core.standing import Standing
from paidup.core.subscription import Subscription
from paidup.errors import SubscriptionRefused


class Verb(StrEnum):
    """What Stripe can be asked for."""

    UPDATE = "update"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RELEASE = "release"
    """Take it out of its schedule."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call to Stripe about a subscription."""

    verb: Verb
    params: Mapping[str, Any]


def to_end_later(standing: Standing, details: Mapping[str, str]) -> Step | None:
    """
    It should end when what is paid for is over; `details` are feedback and comment.

    A later end is brought forward, an earlier one stays. A planned change of plan is dropped, as it would never
    happen. Raises SubscriptionRefused for one that is over, was never paid, or has a schedule that was made elsewhere.
    """
    subscription = standing.subscription
    if subscription.has_ended:
        raise _over(subscription)
    if subscription.status == "incomplete":
        raise SubscriptionRefused(
            f"subscription {subscription.id} was never paid and has no period to wait for",
            action="cancel_now",
            remedy="cancel it now",
        )
    if _ends_in_time(subscription):
        return _to_say_why(standing, details)
    if standing.schedule is not None:
        if standing.planned_quote is None and not standing.schedule_is_idle:
            raise _scheduled_elsewhere(subscription)
        return Step(Verb.RELEASE, {})
    return Step(Verb.UPDATE, {"cancel_at_period_end": True, **_why(details)})


def to_end_now(standing: Standing, details: Mapping[str, str]) -> Step | None:
    """It should be over, with nothing credited and nothing more invoiced."""
    if standing.subscription.has_ended:
        return None
    return Step(Verb.CANCEL, {"invoice_now": False, "prorate": False, **_why(details)})


def to_run(standing: Standing) -> Step | None:
    """
    It should go on: no end in sight, its invoices collected, its status not `paused`.

    Raises SubscriptionRefused when it is over, when a schedule ends it, or when its resumption waits for a payment.
    """
    subscription = standing.subscription
    if subscription.has_ended:
        raise _over(subscription)
    if subscription.is_canceling:
        if standing.schedule is not None:
            raise SubscriptionRefused(
                f"subscription {subscription.id} ends by its schedule",
                action="plan_change",
                remedy="change the schedule instead",
            )
        # One of them at a time: Stripe takes no request that names both.
        at_period_end = subscription.cancel_at_period_end
        return Step(Verb.UPDATE, {"cancel_at_period_end": False} if at_period_end else {"cancel_at": ""})
    if subscription.paused_collection is not None:
        return Step(Verb.UPDATE, {"pause_collection": ""})
    if subscription.status != "paused":
        return None
    if standing.is_resuming:
        raise SubscriptionRefused(
            f"subscription {subscription.id} is resumed once its open invoice is paid",
            action="fix_payment",
            remedy="pay the invoice, or try another card in the billing portal",
        )
    # Otherwise it would run past due if the card is declined; Stripe offers the safe way in flexible mode only.
    safely = {"payment_behavior": "resume_on_payment_success"} if standing.is_flexible else {}
    return Step(Verb.RESUME, safely)


def to_pause(standing: Standing, until: datetime | None) -> Step | None:
    """
    Its invoices should be void until then, or until somebody resumes it.

    Raises SubscriptionRefused for one that is over, ends anyway, owes something or is managed by a schedule.
    """
    subscription = standing.subscription
    _refuse_to_pause(standing)
    if subscription.status == "paused":
        if until is None:
            return None
        raise SubscriptionRefused(
            f"subscription {subscription.id} is paused already, without an end", action="resume", remedy="resume it"
        )
    if (subscription.paused_collection, subscription.resumes_at) == ("void", until):
        return None
    resumes_at = {"resumes_at": int(until.timestamp())} if until else {}
    return Step(Verb.UPDATE, {"pause_collection": {"behavior": "void", **resumes_at}})


def to_stop(standing: Standing) -> Step | None:
    """
    It should have the status `paused`, and what is left of its period be given back.

    Raises SubscriptionRefused like `to_pause`, and for what Stripe can only pause the collection of.
    """
    subscription = standing.subscription
    _refuse_to_pause(standing)
    if subscription.status == "paused":
        return None
    if subscription.is_trialing or not standing.is_flexible or subscription.collection_method != "charge_automatically":
        raise SubscriptionRefused(
            f"Stripe cannot give subscription {subscription.id} the status paused",
            action="pause_collection",
            remedy="pause the collection of its payments instead",
        )
    return Step(Verb.PAUSE, {"type": "subscription", "bill_for": {"unused_time_from": {"type": "now"}}})


def _refuse_to_pause(standing: Standing) -> None:
    subscription = standing.subscription
    if subscription.has_ended:
        raise _over(subscription)
    if subscription.status in ("past_due", "unpaid", "incomplete"):
        raise SubscriptionRefused(
            f"subscription {subscription.id} has a payment that failed",
            action="fix_payment",
            remedy="pay it first, then pause",
        )
    if subscription.is_canceling:
        raise SubscriptionRefused(
            f"subscription {subscription.id} is going to end",
            action="resume",
            remedy="take the cancellation back first",
        )
    if standing.schedule is None:
        return
    if standing.planned_quote is None:
        raise _scheduled_elsewhere(subscription)
    raise SubscriptionRefused(
        f"another change of subscription {subscription.id} is planned",
        action="undo_change",
        remedy="undo the planned change first",
    )


def _scheduled_elsewhere(subscription: Subscription) -> SubscriptionRefused:
    return SubscriptionRefused(
        f"subscription {subscription.id} is managed by a schedule that was made elsewhere",
        action="plan_change",
        remedy="release the schedule in Stripe's Dashboard first",
    )


def _over(subscription: Subscription) -> SubscriptionRefused:
    return SubscriptionRefused(
        f"subscription {subscription.id} has ended", action="checkout", remedy="start a checkout for a new one"
    )


def _ends_in_time(subscription: Subscription) -> bool:
    if subscription.cancel_at_period_end:
        return True
    ends = [item.current_period_end for item in subscription.items if item.current_period_end is not None]
    return subscription.cancel_at is not None and bool(ends) and subscription.cancel_at <= max(ends)


def _to_say_why(standing: Standing, details: Mapping[str, str]) -> Step | None:
    known = {"feedback": standing.feedback, "comment": standing.comment}
    if all(known[name] == said for name, said in details.items()):
        return None
    return Step(Verb.UPDATE, _why(details))


def _why(details: Mapping[str, str]) -> dict[str, Any]:
    return {"cancellation_details": dict(details)} if details else {}

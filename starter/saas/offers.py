"""What the pricing page offers to whom: pure, from the catalog and what the visitor has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from paidup import Access, Plan, PlanPrice, ScheduledChange

INTERVALS = ("month", "year")


@dataclass(frozen=True, slots=True)
class Offer:
    """
    One card of the pricing page.

    `action` is what its button does: `sign_up`, `checkout`, `change`, `billing` (to that page), what comes first
    (`pay`, `resume`, `undo`), or None for a label alone.
    """

    plan: Plan
    price: PlanPrice | None
    is_current: bool
    action: str | None
    label: str
    note: str


@dataclass(frozen=True, slots=True)
class Held:
    """
    The plan of the visitor's live subscription, whether or not it gives access now.

    `planned` is the change that takes effect when the period ends; `day` writes a date.
    """

    plan: str
    name: str
    planned: ScheduledChange | None
    day: Callable[[datetime | None], str]


def offers(
    plans: Iterable[Plan], *, interval: str, access: Access | None, held: Held | None, wants: str | None = None
) -> list[Offer]:
    """
    The cards in the catalog's order.

    `access` is None for somebody who is not signed in. `wants` is the plan they chose before they signed up.
    """
    return [_offer(plan, interval, access, held, wants) for plan in plans]


def comes_first(access: Access, planned: ScheduledChange | None) -> str | None:
    """What has to be done before the visitor's subscription can be changed: `pay`, `resume`, `undo`, or nothing."""
    subscription = access.subscription
    if subscription is None or not subscription.is_live:
        return None
    if subscription.waits_for_payment:
        return "pay"
    if subscription.is_paused or subscription.is_canceling:
        return "resume"
    return "undo" if planned is not None else None


def yearly_saving(plans: Iterable[Plan], currency: str) -> int:
    """How many percent the best yearly price saves against twelve monthly ones; 0 when none does."""
    best = 0
    for plan in plans:
        month, year = plan.price("month"), plan.price("year")
        if month and year:
            (monthly, _), (yearly, _) = costs(month, currency), costs(year, currency)
            best = max(best, 100 - yearly * 100 // (monthly * 12))
    return best


def costs(price: PlanPrice, currency: str) -> tuple[int, str]:
    """Amount and currency of what a visitor would pay: in theirs, else in the price's own."""
    amount = price.amount_in(currency)
    return (price.amount, price.currency) if amount is None else (amount, currency)


def _offer(plan: Plan, interval: str, access: Access | None, held: Held | None, wants: str | None) -> Offer:
    price = plan.price(interval) or next(iter(plan.prices), None)
    has_trial = bool(plan.trial_days) and (access is None or access.subscription is None)
    note = f"{plan.trial_days} days free" if has_trial else ""
    if has_trial and not plan.trial_requires_card:
        note += ", no card needed"
    if access is None:
        label = "Start for free" if plan.is_free else "Start free trial" if has_trial else f"Get {plan.name}"
        return Offer(plan, price, is_current=False, action="sign_up", label=label, note=note)
    if held is not None:
        return _subscribers_offer(plan, price, access, held)
    if plan.key == access.plan:
        return Offer(plan, price, is_current=True, action=None, label="Your plan", note="")
    if plan.is_free:
        return Offer(plan, price, is_current=False, action=None, label="Included", note="")
    label = (
        "Start free trial" if has_trial else f"Continue with {plan.name}" if wants == plan.key else f"Get {plan.name}"
    )
    return Offer(plan, price, is_current=False, action="checkout", label=label, note=note)


def _subscribers_offer(plan: Plan, price: PlanPrice | None, access: Access, held: Held) -> Offer:
    """A second Checkout would be a second subscription: whoever has one changes it."""
    is_held = plan.key == held.plan
    first = comes_first(access, held.planned)
    if access.subscription is not None and access.subscription.collection_method == "send_invoice":
        label = "Your plan" if is_held else "" if plan.is_free else "Write to us to switch"
        return Offer(plan, price, is_current=is_held, action=None, label=label, note="")
    if first is not None:
        return _offer_for_later(plan, price, access, held, first)
    if is_held and price is not None and price.interval != _interval(plan, access):
        label = f"Switch to {price.interval}ly"
        return Offer(plan, price, is_current=True, action="change", label=label, note="")
    if is_held:
        return Offer(plan, price, is_current=True, action="billing", label="Manage plan", note="")
    if plan.is_free:
        return Offer(plan, price, is_current=False, action="billing", label="Cancel plan", note="")
    return Offer(plan, price, is_current=False, action="change", label=f"Switch to {plan.name}", note="")


def _offer_for_later(plan: Plan, price: PlanPrice | None, access: Access, held: Held, first: str) -> Offer:
    """A change would be refused now: the visitor's own plan has the button that helps, the others say so."""
    planned = held.planned if first == "undo" else None
    if plan.key == held.plan:
        label = {"pay": "Pay now", "resume": f"Resume {held.name}", "undo": "Undo the planned change"}[first]
        note = f"Changes on {held.day(planned.effective_at)}" if planned else ""
        return Offer(plan, price, is_current=True, action=first, label=label, note=note)
    if planned is not None and plan.key == planned.after.plan:
        label = f"Yours from {held.day(planned.effective_at)}"
    elif plan.is_free:
        label = "" if access.is_paid else "What you have meanwhile"
    else:
        doing = {"pay": "Pay", "resume": f"Resume {held.name}", "undo": "Undo the change"}[first]
        label = f"{doing} first, then switch"
    return Offer(plan, price, is_current=False, action=None, label=label, note="")


def _interval(plan: Plan, access: Access) -> str | None:
    """How often the visitor pays for a plan; None when its price is not sold any more."""
    held = {item.lookup_key for item in access.subscription.items} if access.subscription else set()
    return next((each.interval for each in plan.prices if each.lookup_key in held), None)

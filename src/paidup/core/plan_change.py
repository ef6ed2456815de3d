"""
What a change of plan is: which item it is about, whether it goes up or down, and when it takes effect.

Up is at once, down when what is paid for is over: nobody gets more than was paid for, and nobody loses what was.
"""

from __future__ import annotations

from paidup.core.catalog import Catalog, Plan
from paidup.core.quote import Terms, When
from paidup.core.subscription import Subscription, SubscriptionItem

_INTERVALS = ("day", "week", "month", "year")


def plan_item(subscription: Subscription, catalog: Catalog, group: str) -> tuple[Plan, SubscriptionItem] | None:
    """
    The item of a subscription that is a plan of a group, and that plan; None without one.

    By lookup key, else by what paidup wrote on the price, never by position: add-ons stand beside it in any order.
    """
    found = [(plan, item) for item in subscription.items if (plan := _plan(item, catalog)) and plan.group == group]
    return max(found, key=lambda pair: (catalog.rank(pair[0].key), pair[1].id), default=None)


def timing(before: Terms, after: Terms, catalog: Catalog, *, trialing: bool = False) -> When:
    """
    When a change takes effect: at once, or at the end of the period for what is less in any way.

    Less is a lower plan, a shorter interval, or fewer seats or add-ons of the same plan. The plans file may say
    otherwise for a pair of plans. In a trial nothing is paid for yet, and every change is at once: see `ends_trial`.
    """
    if trialing:
        return "now"
    told = catalog.change_timing.get((before.plan, after.plan))
    if told is not None:
        return told
    lower = catalog.rank(after.plan) < catalog.rank(before.plan)
    shorter = _length(after.interval) < _length(before.interval)
    fewer = after.plan == before.plan and (
        after.seats < before.seats or any(after.addons.get(key, 0) < held for key, held in before.addons.items())
    )
    return "period_end" if lower or shorter or fewer else "now"


def ends_trial(before: Terms, after: Terms, catalog: Catalog) -> bool:
    """
    Does a change within a trial end it, and is paid for at once? One to another plan that has no trial of its own.

    Otherwise the trial of the cheapest plan would be one of the dearest.
    """
    return after.plan != before.plan and not catalog.plan(after.plan).trial_days


def needs_card(before: Terms, after: Terms, catalog: Catalog) -> bool:
    """Does a change within a trial need a card? If it ends the trial, or the other plan's own trial begins with one."""
    if after.plan == before.plan:
        return False
    if not catalog.has(after.plan):
        return True  # it was taken out of the file since it was quoted
    return catalog.plan(after.plan).trial_requires_card or ends_trial(before, after, catalog)


def seats_to_ask(plan: Plan, seats: int | None, current: int) -> int:
    """
    The number that is meant: what was asked for, else as many as there are, but no fewer than the plan's least.

    More than its most is left to be refused: seats in use are nobody's to take away unasked.
    """
    if seats is not None:
        return seats
    return max(plan.seats.min, current) if plan.seats else 1


def _plan(item: SubscriptionItem, catalog: Catalog) -> Plan | None:
    found = catalog.find_by_lookup_key(item.lookup_key) if item.lookup_key else None
    if found is not None:
        return found[0]
    return catalog.plan(item.plan_hint) if item.plan_hint and catalog.has(item.plan_hint) else None


def _length(interval: str) -> int:
    return _INTERVALS.index(interval) if interval in _INTERVALS else -1

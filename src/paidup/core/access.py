"""
Who may use what: the answer an app asks for on every request.

`decide` is pure: subscriptions, catalog, policy and the time go in, an `Access` comes out. It never guesses in the
owner's favour: an unknown status, price or plan grants nothing that was not already paid for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from paidup.core.addons import addons_held
from paidup.core.catalog import Addon, Catalog, Plan
from paidup.core.policy import AccessPolicy, Grants
from paidup.core.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Access:
    """
    What an owner may use now, and why.

    `status` is Stripe's status of the subscription that decided, None without one. `until` is when this answer may
    change by itself: the end of the period, of the trial, of the grace period; None when it holds for good.
    `action` is what the owner has to do: `update_payment_method`, `complete_payment`, `resume`, or None.
    `addons` is how many of each add-on they have, by key; what these include is in `features` and `limits`.
    """

    owner: str
    plan: str
    plan_name: str
    status: str | None
    features: frozenset[str]
    limits: Mapping[str, int | None]
    until: datetime | None
    action: str | None
    reason: str
    subscription: Subscription | None
    addons: Mapping[str, int] = field(default_factory=dict)

    def can(self, feature: str) -> bool:
        """Is the feature included?"""
        return feature in self.features

    def limit(self, name: str) -> int | None:
        """How much of it is included; None is unlimited, and a limit the plan does not name is 0."""
        return self.limits.get(name, 0)

    @property
    def is_paid(self) -> bool:
        """Does a subscription stand behind this, a trial included?"""
        return self.subscription is not None and self.reason in _GRANTING_REASONS

    @property
    def is_trialing(self) -> bool:
        """In a trial."""
        return self.subscription is not None and self.subscription.is_trialing

    @property
    def is_past_due(self) -> bool:
        """A payment failed and Stripe is still trying."""
        return self.subscription is not None and self.subscription.is_past_due

    @property
    def is_canceling(self) -> bool:
        """It will end and has not yet."""
        return self.subscription is not None and self.subscription.is_canceling


_GRANTING_REASONS = frozenset({"trialing", "active", "canceling", "past_due_grace"})

_SPEAKING = ("active", "trialing", "past_due", "unpaid", "paused", "incomplete")
"""Whose word counts first; then that of a status nobody knows yet; then that of what is over."""

_ACTIONS = {
    "past_due": "update_payment_method",
    "unpaid": "update_payment_method",
    "incomplete": "complete_payment",
    "paused": "resume",
}


def decide(
    owner: str,
    subscriptions: Iterable[Subscription],
    *,
    catalog: Catalog,
    policy: AccessPolicy,
    now: datetime,
) -> Access:
    """
    Decide what an owner may use.

    Every subscription of the owner goes in, in any order; `now` is aware UTC.
    An unknown status grants nothing: a status Stripe adds later must fail closed.
    See https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
    """
    everything = list(subscriptions)
    granting = [
        (plan, subscription)
        for subscription in everything
        if _grants(subscription, policy, now) and (plan := plan_of(subscription, catalog)) is not None
    ]
    if not granting:
        return _refused(owner, everything, catalog, policy)
    plan, subscription = max(granting, key=lambda pair: (catalog.rank(pair[0].key), pair[1].created, pair[1].id))
    included = [catalog.default, *(each for each, _ in granting)]
    addons = sum((Counter(addons_held(each, catalog)) for _, each in granting), Counter[str]())
    bought = [(addon, addons[addon.key]) for addon in catalog.addons if addons[addon.key]]
    return Access(
        owner=owner,
        plan=plan.key,
        plan_name=plan.name,
        status=subscription.status,
        features=frozenset().union(*(each.features for each in included), *(each.features for each, _ in bought)),
        limits=_extended(_most_generous(included), bought),
        until=_holds_until(subscription, policy),
        action=_ACTIONS.get(subscription.status),
        reason=_reason(subscription),
        subscription=subscription,
        addons={addon.key: quantity for addon, quantity in bought},
    )


def plan_of(subscription: Subscription, catalog: Catalog) -> Plan | None:
    """
    The plan a subscription is on, found by the catalog and never by an item's position.

    By lookup key; else by the plan that paidup wrote on the price (a price that was replaced loses its lookup key
    but keeps its subscribers); else the plan it was last seen on.
    """
    keys: list[str] = []
    for item in subscription.items:
        found = catalog.find_by_lookup_key(item.lookup_key) if item.lookup_key else None
        key = found[0].key if found else item.plan_hint
        if key is not None and catalog.has(key):
            keys.append(key)
    if not keys and subscription.plan is not None and catalog.has(subscription.plan):
        keys.append(subscription.plan)
    return catalog.plan(max(keys, key=catalog.rank)) if keys else None


def of_group(subscriptions: Iterable[Subscription], group: str, catalog: Catalog) -> list[Subscription]:
    """
    Those of a plan group.

    One on a plan that nobody knows may be of any group: it counts for each that has no running one of its own.
    """
    plans = [(each, plan_of(each, catalog)) for each in subscriptions]
    own = [each for each, plan in plans if plan is not None and plan.group == group]
    if any(not each.has_ended for each in own):
        return own
    return own + [each for each, plan in plans if plan is None]


def best(subscriptions: Iterable[Subscription], catalog: Catalog) -> Subscription | None:
    """
    The one that speaks for an owner: by its status, then the plan it is on, then the newest.

    Ended ones only when there is no other.
    """

    def worth(subscription: Subscription) -> tuple[int, int, datetime, str]:
        known = _SPEAKING.index(subscription.status) if subscription.status in _SPEAKING else len(_SPEAKING)
        plan = plan_of(subscription, catalog)
        return (
            -len(_SPEAKING) - 1 if subscription.has_ended else -known,
            catalog.rank(plan.key) if plan else -1,
            subscription.created,
            subscription.id,
        )

    return max(subscriptions, key=worth, default=None)


def _grants(subscription: Subscription, policy: AccessPolicy, now: datetime) -> bool:
    if subscription.awaits_first_payment:
        return False
    if subscription.paused_collection is not None and policy.of("paused") is not Grants.YES:
        return False
    if _reversal(subscription, policy) is not None:
        return False
    match policy.of(subscription.status):
        case Grants.YES:
            return True
        case Grants.GRACE:
            end = _grace_end(subscription, policy)
            return end is not None and now < end
        case _:
            return False


def _reversal(subscription: Subscription, policy: AccessPolicy) -> str | None:
    """Why nothing is granted for money that went back; None when it makes no difference."""
    if subscription.disputed and policy.disputed is not Grants.YES:
        return "disputed"
    if subscription.refunded and policy.refunded is not Grants.YES:
        return "refunded"
    return None


def _grace_end(subscription: Subscription, policy: AccessPolicy) -> datetime | None:
    """Counted from the first failed payment; without one on record, from the start of the unpaid period."""
    since = subscription.past_due_since or subscription.current_period_start
    return since + policy.past_due_grace if since is not None else None


def _holds_until(subscription: Subscription, policy: AccessPolicy) -> datetime | None:
    if policy.of(subscription.status) is Grants.GRACE:
        return _grace_end(subscription, policy)
    if subscription.is_canceling:
        return subscription.ends_at
    if subscription.is_trialing:
        return subscription.trial_end or subscription.current_period_end
    return subscription.current_period_end


def _reason(subscription: Subscription) -> str:
    match subscription.status:
        case "past_due":
            return "past_due_grace"
        case "active" if subscription.is_canceling:
            return "canceling"
        case "active" | "trialing" as status:
            return status
        case _:
            return "active"


def _refused(owner: str, subscriptions: list[Subscription], catalog: Catalog, policy: AccessPolicy) -> Access:
    """The default plan, with what stands in the way of more."""
    default = catalog.default
    speaking = best(subscriptions, catalog)
    reason = "no_subscription"
    if speaking is not None:
        reason = "paused" if speaking.is_paused else speaking.status
        if speaking.is_active and not speaking.is_paused:
            reason = "payment_pending" if speaking.awaits_first_payment else "unknown_price"
        if speaking.status in ("trialing", "active", "past_due") and not speaking.is_paused:
            reason = _reversal(speaking, policy) or reason
    return Access(
        owner=owner,
        plan=default.key,
        plan_name=default.name,
        status=speaking.status if speaking else None,
        features=default.features,
        limits=default.limits,
        until=None,
        action=_ACTIONS.get("paused" if speaking.is_paused else speaking.status) if speaking else None,
        reason=reason,
        subscription=speaking,
    )


def _most_generous(plans: Iterable[Plan]) -> Mapping[str, int | None]:
    limits: dict[str, int | None] = {}
    for plan in plans:
        for name, allowed in plan.limits.items():
            known = limits.get(name, 0)
            limits[name] = None if allowed is None or known is None else max(known, allowed)
    return limits


def _extended(limits: Mapping[str, int | None], bought: Iterable[tuple[Addon, int]]) -> Mapping[str, int | None]:
    """Each add-on adds to what the plans include, however many there are of it."""
    extended = dict(limits)
    for addon, quantity in bought:
        for name, more in addon.limits.items():
            known = extended.get(name, 0)
            extended[name] = None if more is None or known is None else known + more * quantity
    return extended

"""The gate: an Access that does not cover what is asked becomes a refusal that names the way on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paidup.core.access import Access, plan_of
from paidup.core.catalog import Addon, Catalog
from paidup.errors import (
    AccessRefused,
    FeatureNotInPlan,
    InsufficientCredits,
    LimitReached,
    NoSubscription,
    PaymentPastDue,
)


def check_paid(access: Access, catalog: Catalog) -> None:
    """Raise NoSubscription, or PaymentPastDue, unless a subscription stands behind the access."""
    if not access.is_paid:
        paid = tuple(each.key for each in catalog.plans if not each.is_free)
        raise _refused(NoSubscription, "a subscription is needed", access, catalog, plans=paid)


def check_feature(access: Access, catalog: Catalog, feature: str) -> None:
    """Raise FeatureNotInPlan, or PaymentPastDue, unless the feature is included. ValueError for an unknown one."""
    if feature not in catalog.features:
        raise ValueError(f"unknown feature {feature!r}; the plans file has: {', '.join(catalog.features)}")
    if not access.can(feature):
        plans = tuple(each.key for each in catalog.plans_with_feature(feature))
        addons = _addons(access, catalog, lambda each: feature in each.features)
        message = f"{catalog.features[feature].name} is not included in {access.plan_name}"
        raise _refused(FeatureNotInPlan, message, access, catalog, plans=plans, addons=addons, feature=feature)


def check_limit(access: Access, catalog: Catalog, limit: str, used: int) -> None:
    """Raise LimitReached, or PaymentPastDue, unless one more than `used` fits. ValueError for an unknown limit."""
    if limit not in catalog.limits:
        raise ValueError(f"unknown limit {limit!r}; the plans file has: {', '.join(catalog.limits)}")
    allowed = access.limit(limit)
    if allowed is not None and used >= allowed:
        plans = tuple(each.key for each in catalog.plans_with_limit_above(limit, used))
        addons = _addons(access, catalog, lambda each: each.limits.get(limit, 0) != 0)
        name = catalog.limits[limit].name.lower()
        what = f"{access.plan_name} with add-ons" if access.addons else access.plan_name
        message = f"{what} includes {allowed} {name} and {used} are in use"
        facts: dict[str, Any] = {"limit": limit, "allowed": allowed, "used": used}
        raise _refused(LimitReached, message, access, catalog, plans=plans, addons=addons, **facts)


def short_of_credits(access: Access, catalog: Catalog, credit: str, needed: int, balance: int) -> InsufficientCredits:
    """Why units cannot be spent, and which plans and add-ons bring more."""
    has, name = max(balance, 0), catalog.credits[credit].name.lower()
    debt = f", and {-balance} are owed" if balance < 0 else ""
    return InsufficientCredits(
        f"{needed} {name} are needed and {has} are left{debt}",
        owner=access.owner,
        plan=access.plan,
        credit=credit,
        needed=needed,
        balance=balance,
        plans=tuple(each.key for each in catalog.plans_with_credit(credit)),
        addons=_addons(access, catalog, lambda each: any(price.credits.get(credit) for price in each.prices)),
        remedy="wait for the next period, or buy more",
    )


def _addons(access: Access, catalog: Catalog, would_do: Callable[[Addon], bool]) -> tuple[str, ...]:
    """The add-ons of the owner's paid plan that would do and of which more can be bought."""
    if not access.is_paid:
        return ()
    offered = catalog.addons_of(access.plan)
    return tuple(each.key for each in offered if would_do(each) and access.addons.get(each.key, 0) < each.max)


def _refused(
    kind: type[AccessRefused], message: str, access: Access, catalog: Catalog, *, plans: tuple[str, ...], **facts: Any
) -> AccessRefused:
    """The refusal; that of a plan which would do, were it paid, says so instead of selling it once more."""
    remedy = "choose a plan"
    held = plan_of(access.subscription, catalog) if access.subscription else None
    if access.action == "update_payment_method" and held is not None and held.key in plans and not access.is_paid:
        kind, message = PaymentPastDue, f"{held.name} is paused because a payment failed"
        remedy = "update the payment method"
    return kind(message, owner=access.owner, plan=access.plan, plans=plans, remedy=remedy, **facts)

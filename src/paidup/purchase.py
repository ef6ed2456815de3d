"""
What may be bought: a plan, an interval and seats held against the plans file, and what Stripe is asked for.

Nothing here calls anybody. The browser names keys, an interval and numbers; everything else is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from paidup.core import parse
from paidup.core.catalog import Addon, Catalog, CheckoutTerms, Plan, PlanPrice
from paidup.core.subscription import Subscription
from paidup.errors import (
    CheckoutRefused,
    InvalidQuantity,
    InvalidSeats,
    PlanNotForSale,
    UnknownAddon,
    UnknownInterval,
    UnknownPlan,
)

_INCIDENTAL = ("client_reference_id", "metadata")


@dataclass(frozen=True, slots=True)
class Purchase:
    """
    What an owner wants to buy, as Stripe knows it.

    `discount` is an element of Stripe's `discounts`, `addons` are prices' ids with how many of each,
    `addon_counts` the same by the add-ons' keys.
    """

    owner: str
    customer_id: str
    plan: Plan
    interval: str
    seats: int
    price_id: str
    discount: Mapping[str, str] | None = None
    embedded: bool = False
    setup_fee_id: str | None = None
    addons: Sequence[tuple[str, int]] = ()
    addon_counts: Mapping[str, int] = field(default_factory=dict)
    currency: str = field(kw_only=True)
    """The one that all of it is billed in: without it, Stripe would choose one by where the buyer seems to be."""

    def params(
        self, intent_id: str, *, terms: CheckoutTerms, return_url: str, cancel_url: str, with_trial: bool
    ) -> dict[str, Any]:
        """What Stripe is asked for. The intent's id is on the session and on the subscription it makes."""
        plan = self.plan
        metadata = {parse.OWNER_KEY: self.owner, parse.INTENT_KEY: intent_id, parse.PLAN_KEY: plan.key}
        subscription_data: dict[str, Any] = {"metadata": metadata}
        params: dict[str, Any] = {
            "mode": "subscription",
            "customer": self.customer_id,
            "client_reference_id": intent_id,
            "currency": self.currency,
            "line_items": self._lines(),
            **self._addresses(return_url, cancel_url),
            "metadata": metadata,
            "subscription_data": subscription_data,
            **_asked_on_the_page(terms),
        }
        # Stripe takes one or the other: who comes with a discount types no code.
        if self.discount is not None:
            params["discounts"] = [dict(self.discount)]
        elif terms.promotion_codes:
            params["allow_promotion_codes"] = True
        if plan.trial_days and with_trial:
            subscription_data["trial_period_days"] = plan.trial_days
            subscription_data["trial_settings"] = {"end_behavior": {"missing_payment_method": "cancel"}}
            if not plan.trial_requires_card:
                params["payment_method_collection"] = "if_required"
        return params

    def _addresses(self, return_url: str, cancel_url: str) -> dict[str, str]:
        if self.embedded:
            return {"ui_mode": "embedded_page", "return_url": _with_session_id(return_url)}
        return {"success_url": _with_session_id(return_url), "cancel_url": cancel_url}

    def _lines(self) -> list[dict[str, Any]]:
        lines = [{"price": self.price_id, "quantity": self.seats}]
        lines += [{"price": price_id, "quantity": quantity} for price_id, quantity in self.addons]
        return [*lines, {"price": self.setup_fee_id, "quantity": 1}] if self.setup_fee_id else lines


def are_the_same(asked: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Do these parameters ask for the same page, whichever intent asks?"""
    return _wanted(asked) == _wanted(others)


def begins_trial(params: Mapping[str, Any]) -> bool:
    """Does a page that was asked for with these parameters begin a trial?"""
    return "trial_period_days" in params.get("subscription_data", {})


def _wanted(params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {name: value for name, value in params.items() if name not in _INCIDENTAL}
    terms = {name: value for name, value in params.get("subscription_data", {}).items() if name != "metadata"}
    return {**wanted, "subscription_data": terms}


def _asked_on_the_page(terms: CheckoutTerms) -> dict[str, Any]:
    """Tax needs an address and a name, and a customer who exists gets them only when that is said."""
    asked: dict[str, Any] = {}
    update: dict[str, str] = {}
    if terms.automatic_tax:
        asked["automatic_tax"] = {"enabled": True}
        update["address"] = "auto"
    if terms.tax_ids:
        asked["tax_id_collection"] = {"enabled": True}
        update["name"] = "auto"
    return asked | ({"customer_update": update} if update else {})


def choose(catalog: Catalog, plan_key: str, *, interval: str, seats: int) -> tuple[Plan, PlanPrice]:
    """The plan and price that are asked for. Raises UnknownPlan, PlanNotForSale, UnknownInterval, InvalidSeats."""
    if not catalog.has(plan_key):
        known = ", ".join(each.key for each in catalog.plans)
        raise UnknownPlan(f"there is no plan {plan_key!r}", remedy=f"choose one of: {known}")
    plan = catalog.plan(plan_key)
    if plan.is_free:
        raise PlanNotForSale(f"plan {plan_key!r} costs nothing", remedy="nobody needs a Checkout for it")
    price = plan.price(interval)
    if price is None:
        offered = ", ".join(each.interval for each in plan.prices)
        raise UnknownInterval(f"plan {plan_key!r} has no price per {interval!r}", remedy=f"choose one of: {offered}")
    low, high = (plan.seats.min, plan.seats.max) if plan.seats else (1, 1)
    if type(seats) is not int or not low <= seats <= high:
        raise InvalidSeats(f"{seats!r} seats of plan {plan_key!r} cannot be bought", remedy=f"{low} to {high}")
    return plan, price


def choose_addons(
    catalog: Catalog, plan: Plan, asked: Mapping[str, int] | None, *, interval: str
) -> list[tuple[Addon, PlanPrice, int]]:
    """
    The add-ons that are asked for beside a plan, with their prices, in the catalog's order; 0 of one is none.

    Raises UnknownAddon, InvalidQuantity.
    """
    asked = asked or {}
    if not isinstance(asked, Mapping):
        raise InvalidQuantity(f"addons is a {type(asked).__name__}", remedy="give how many of each, by key")
    offered = {each.key: (each, price) for each in catalog.addons_of(plan.key) if (price := each.price(interval))}
    for key, quantity in asked.items():
        addon = catalog.addon(key)
        if addon is None or (quantity and key not in offered):
            what = "there is no add-on" if addon is None else f"{plan.name} per {interval} is not sold with add-on"
            known = f"choose one of: {', '.join(offered)}" if offered else f"{plan.name} has none"
            raise UnknownAddon(f"{what} {key!r}", remedy=known)
        if type(quantity) is not int or not 0 <= quantity <= addon.max:
            raise InvalidQuantity(f"{quantity!r} of add-on {key!r} cannot be bought", remedy=f"0 to {addon.max}")
    return [(addon, price, asked[key]) for key, (addon, price) in offered.items() if asked.get(key)]


def refusal(current: Subscription, current_plan: Plan | None, wanted: Plan) -> CheckoutRefused:
    """Why somebody with a live subscription gets no Checkout, and what to do instead."""
    name = current_plan.name if current_plan else "a subscription"
    key = current_plan.key if current_plan else current.plan
    same = current_plan is not None and current_plan.key == wanted.key
    match current.status:
        case "past_due" | "unpaid" | "incomplete":
            message, action, remedy = f"{name} has a payment that failed", "fix_payment", "pay it first"
        case "paused":
            message, action, remedy = f"{name} is paused", "resume", "resume it"
        case "active" if current.awaits_first_payment:
            message, action, remedy = f"the payment for {name} is on its way", "pending", "wait for it to arrive"
        case _ if current.paused_collection is not None or (same and current.is_canceling):
            message, action, remedy = f"{name} is still running", "resume", "resume it"
        case _:
            message, action, remedy = f"{name} is running already", "change_plan", "change the plan instead"
    return CheckoutRefused(message, action=action, plan=key, remedy=remedy)


def _with_session_id(url: str) -> str:
    """Stripe fills the braces in; they must not be percent-encoded."""
    page, mark, place = url.partition("#")
    return f"{page}{'&' if urlsplit(page).query else '?'}session_id={{CHECKOUT_SESSION_ID}}{mark}{place}"

"""What is wrong with a plans file although each of its sections is right: everything at once, with the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from paidup.catalog.sections import AddonSection, FeeSection, PlanSection, PlansFile, PriceSection
from paidup.core.money import exponent
from paidup.errors import Problem

_KEY = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_INTERVALS = ("day", "week", "month", "year")


def problems_of(file: PlansFile) -> list[Problem]:
    """What only shows when the parts are seen together."""
    problems: list[Problem] = []
    if file.default_plan not in file.plans:
        problems.append(Problem("default_plan", f"there is no plan {file.default_plan!r}", "name one of the plans"))
    elif file.plans[file.default_plan].prices:
        problems.append(
            Problem("default_plan", f"plan {file.default_plan!r} has prices", "the default is what nobody pays for")
        )
    seen: dict[str, str] = {}
    sections: dict[str, Iterable[str]] = {
        "features": file.features,
        "limits": file.limits,
        "credits": file.credits,
        "plans": file.plans,
        "addons": file.addons,
    }
    for section, keys in sections.items():
        for key in keys:
            if _KEY.fullmatch(key) is None:
                where, remedy = f"{section}.{key}", "use a-z, 0-9, _ and -, beginning with a letter"
                problems.append(Problem(where, "is not a key", remedy))
    if file.portal.change_seats and not file.portal.change_plans:
        problems.append(
            Problem("portal.change_seats", "needs change_plans, which is false", "change both there, or neither")
        )
    for key, plan in file.plans.items():
        problems += _plan_problems(f"plans.{key}", plan, file)
    for key, addon in file.addons.items():
        problems += _addon_problems(f"addons.{key}", addon, file)
    for where, lookup_key in _lookup_keys(file):
        if lookup_key in seen:
            problems.append(
                Problem(where, f"lookup key {lookup_key!r} is that of {seen[lookup_key]} too", "give each its own")
            )
        seen[lookup_key] = where
    return problems + _change_problems(file)


def _lookup_keys(file: PlansFile) -> Iterator[tuple[str, str]]:
    """Of everything that is sold: where it stands, and its lookup key."""
    for key, plan in file.plans.items():
        for interval, price in plan.prices.items():
            yield f"plans.{key}.prices.{interval}", price.lookup_key or f"{key}_{interval}"
        if plan.setup_fee:
            yield f"plans.{key}.setup_fee", plan.setup_fee.lookup_key or f"{key}_setup_fee"
    for key, addon in file.addons.items():
        for interval, price in addon.prices.items():
            yield f"addons.{key}.prices.{interval}", price.lookup_key or f"{key}_{interval}"


def _addon_problems(where: str, addon: AddonSection, file: PlansFile) -> list[Problem]:
    """Stripe bills what stands in one subscription at once: an add-on has a price for each interval of its plans."""
    problems = _included_problems(where, addon, file) + _interval_problems(where, addon)
    problems += _price_problems(f"{where}.prices", addon.prices, file)
    for key in addon.plans or ():
        if key not in file.plans or not file.plans[key].prices:
            problems.append(Problem(f"{where}.plans", f"there is no plan {key!r} with prices", "name one that is sold"))
    for key in plans_of(addon, file):
        for interval, price in file.plans[key].prices.items():
            own = addon.prices.get(interval)
            if own is None:
                remedy = f"add [{where}.prices.{interval}], or name the plans it is sold with"
                problems.append(Problem(f"{where}.prices", f"plan {key!r} is sold per {interval}, this is not", remedy))
            else:
                problems += _beside(f"{where}.prices.{interval}", own, price, file, plan=key)
    return problems


def plans_of(addon: AddonSection, file: PlansFile) -> list[str]:
    """The plans an add-on is sold with, as far as they are sold."""
    named = list(file.plans) if addon.plans is None else addon.plans
    return [key for key in named if key in file.plans and file.plans[key].prices]


def _change_problems(file: PlansFile) -> list[Problem]:
    problems: list[Problem] = []
    pairs = [(each.before, each.after) for each in file.changes]
    for number, pair in enumerate(pairs):
        where = f"changes.{number}"
        problems += [
            Problem(where, f"there is no plan {key!r} with prices", "name one that is sold")
            for key in dict.fromkeys(pair)
            if key not in file.plans or not file.plans[key].prices
        ]
        if pair in pairs[:number]:
            problems.append(Problem(where, f"{pair[0]!r} to {pair[1]!r} stands there twice", "keep one of them"))
    return problems


def _included_problems(where: str, sold: PlanSection | AddonSection, file: PlansFile) -> list[Problem]:
    problems = [
        Problem(f"{where}.features", f"there is no feature {each!r}", f"add [features.{each}], or remove it")
        for each in sold.features
        if each not in file.features
    ]
    problems += [
        Problem(f"{where}.limits", f"there is no limit {each!r}", f"add [limits.{each}], or remove it")
        for each in sold.limits
        if each not in file.limits
    ]
    problems += [
        Problem(
            f"{where}.prices.{interval}.credits", f"there is no credit {each!r}", f"add [credits.{each}], or remove it"
        )
        for interval, price in sold.prices.items()
        for each in price.credits
        if each not in file.credits
    ]
    return problems


def _interval_problems(where: str, sold: PlanSection | AddonSection) -> list[Problem]:
    return [
        Problem(f"{where}.prices", f"{each!r} is not an interval", f"use one of: {', '.join(_INTERVALS)}")
        for each in sold.prices
        if each not in _INTERVALS
    ]


def _plan_problems(where: str, plan: PlanSection, file: PlansFile) -> list[Problem]:
    problems = _included_problems(where, plan, file) + _interval_problems(where, plan)
    if plan.seats and plan.seats.min > plan.seats.max:
        problems.append(Problem(f"{where}.seats", "min is above max", "correct one of them"))
    problems += _price_problems(f"{where}.prices", plan.prices, file)
    problems += _agreement_problems(f"{where}.prices", plan, file)
    if plan.setup_fee:
        problems += _amount_problems(f"{where}.setup_fee", plan.setup_fee, file)
        problems += _fee_problems(f"{where}.setup_fee", plan.setup_fee, plan, file)
    if not plan.prices and plan.trial_days:
        problems.append(
            Problem(f"{where}.trial_days", "a plan without prices has no trial", "remove it, or add prices")
        )
    if not plan.trial_requires_card and not plan.trial_days:
        problems.append(Problem(f"{where}.trial_requires_card", "there is no trial", "add trial_days, or remove it"))
    return problems


# currencies: whoever is billed in one meets no hole


def _price_problems(where: str, prices: Mapping[str, PriceSection], file: PlansFile) -> list[Problem]:
    return [
        problem
        for interval, price in prices.items()
        for problem in _amount_problems(f"{where}.{interval}", price, file)
    ]


def _amount_problems(where: str, price: PriceSection | FeeSection, file: PlansFile) -> list[Problem]:
    """
    Three decimals are two at Stripe: the last digit of an amount is 0.

    See https://docs.stripe.com/currencies#three-decimal
    """
    own = _own_currency(price, file)
    problems = []
    if own in price.currencies:
        remedy = "its amount stands at `amount`: remove this one"
        problems.append(Problem(f"{where}.currencies.{own}", "is the price's own currency", remedy))
    named = [(f"{where}.amount", own, price.amount)]
    named += [(f"{where}.currencies.{code}", code, amount) for code, amount in price.currencies.items()]
    return problems + [
        Problem(place, f"{amount} {code} is more exact than Stripe is", "let the last of its digits be 0")
        for place, code, amount in named
        if exponent(code) == 3 and amount % 10
    ]


def _agreement_problems(where: str, plan: PlanSection, file: PlansFile) -> list[Problem]:
    """All prices of a plan name the same currencies, the same one first."""
    intervals = list(plan.prices)
    named = {interval: _currencies(price, file) for interval, price in plan.prices.items()}
    return [
        Problem(
            f"{where}.{interval}",
            f"is sold in {_told(named[interval])}, per {intervals[0]} in {_told(named[intervals[0]])}",
            "name the same currencies for both",
        )
        for interval in intervals[1:]
        if (named[interval][0], set(named[interval])) != (named[intervals[0]][0], set(named[intervals[0]]))
    ]


def _fee_problems(where: str, fee: FeeSection, plan: PlanSection, file: PlansFile) -> list[Problem]:
    if {_own_currency(each, file) for each in plan.prices.values()} != {file.currency}:
        return [Problem(where, "needs prices in the file's currency", "remove it, or add them")]
    missing = {code for price in plan.prices.values() for code in price.currencies} - {*_currencies(fee, file)}
    return [_missing(where, code, "the plan") for code in sorted(missing)]


def _beside(where: str, own: PriceSection, price: PriceSection, file: PlansFile, *, plan: str) -> list[Problem]:
    """What an add-on's price lacks beside a plan's; it may be sold in more currencies, as with another plan."""
    if _own_currency(own, file) != _own_currency(price, file):
        return [Problem(where, f"plan {plan!r} is sold in another currency", "use one currency for both")]
    missing = {*price.currencies} - {*_currencies(own, file)}
    return [_missing(where, code, f"plan {plan!r}") for code in sorted(missing)]


def _missing(where: str, code: str, what: str) -> Problem:
    return Problem(f"{where}.currencies", f"{what} is sold in {code}, this is not", f"add {code}, or take it off there")


def _own_currency(price: PriceSection | FeeSection, file: PlansFile) -> str:
    return (price.currency if isinstance(price, PriceSection) else None) or file.currency


def _currencies(price: PriceSection | FeeSection, file: PlansFile) -> list[str]:
    return list(dict.fromkeys([_own_currency(price, file), *price.currencies]))


def _told(currencies: Iterable[str]) -> str:
    return ", ".join(currencies)

"""
Reads `plans.toml`. Every problem in it is reported at once, with the key it stands at and the remedy.

```toml
currency = "usd"
default_plan = "free"

[checkout]                         # all of it may be left out
promotion_codes = true             # buyers may type one
automatic_tax = true               # by Stripe Tax
tax_ids = true                     # businesses may give theirs
repeated_trial = "cancel"          # or "bill", or "keep"; with PAIDUP_TRIAL_KEY

[portal]
change_plans = false               # only in your own pages, by quotes; the default is true

[features.reports]
name = "Reports"

[limits.projects]
name = "Projects"

[plans.free]
name = "Free"
limits = { projects = 2 }

[plans.pro]
name = "Pro"
features = ["reports"]
limits = { projects = "unlimited" }
trial_days = 14

[plans.pro.prices.month]
amount = 2900                      # minor units
lookup_key = "pro_month"           # the default

[plans.pro.setup_fee]
amount = 9900                      # once, with the first invoice

[plans.pro.prices.year]
amount = 29000

[[changes]]                        # more is at once, less at the period's end, unless it is told for a pair of plans
from = "pro"
to = "pro"
when = "now"                       # or "period_end"
```

Plans are ranked by their order in the file, lowest first.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paidup.core.catalog import Catalog, CheckoutTerms, Feature, LimitName, Plan, PlanPrice, PortalTerms, SeatBounds
from paidup.errors import CatalogError, Problem

_KEY = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_INTERVALS = ("day", "week", "month", "year")

Currency = Annotated[str, Field(pattern=r"^[a-z]{3}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Named(_Strict):
    name: str = Field(min_length=1, max_length=80)


class _Feature(_Named):
    description: str = ""


class _Price(_Strict):
    amount: int = Field(ge=1, le=99_999_999)
    currency: Currency | None = None
    lookup_key: str | None = Field(default=None, min_length=1, max_length=200)


class _Fee(_Strict):
    amount: int = Field(ge=1, le=99_999_999)
    lookup_key: str | None = Field(default=None, min_length=1, max_length=200)


class _Seats(_Strict):
    min: int = Field(default=1, ge=1)
    max: int = Field(ge=1, le=100_000)


class _Plan(_Named):
    description: str = ""
    group: str = Field(default="default", min_length=1, max_length=40)
    features: list[str] = []
    limits: dict[str, Annotated[int, Field(ge=0)] | Literal["unlimited"]] = {}
    trial_days: int | None = Field(default=None, ge=1, le=730)
    trial_requires_card: bool = True
    seats: _Seats | None = None
    highlights: list[str] = []
    prices: dict[str, _Price] = {}
    setup_fee: _Fee | None = None


class _Change(_Strict):
    before: str = Field(alias="from")
    after: str = Field(alias="to")
    when: Literal["now", "period_end"]


class _Checkout(_Strict):
    promotion_codes: bool = False
    automatic_tax: bool = False
    tax_ids: bool = False
    repeated_trial: Literal["cancel", "bill", "keep"] = "cancel"


class _Portal(_Strict):
    change_plans: bool = True


class _File(_Strict):
    currency: Currency = "usd"
    default_plan: str
    features: dict[str, _Feature] = {}
    limits: dict[str, _Named] = {}
    checkout: _Checkout = _Checkout()
    portal: _Portal = _Portal()
    plans: dict[str, _Plan] = Field(min_length=1)
    changes: list[_Change] = []


def load(path: Path | str) -> Catalog:
    """The catalog in a file. Raises CatalogError with every problem in it."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise CatalogError(
            [Problem(str(path), f"cannot be read: {reason}", "create it, or set PAIDUP_PLANS to its path")]
        ) from error
    return loads(text, name=str(path))


def loads(text: str, *, name: str = "plans.toml") -> Catalog:
    """The catalog in a text. Raises CatalogError with every problem in it."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError([Problem(name, f"is not TOML: {error}", "correct the line named")]) from error
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise CatalogError([_problem(each) for each in error.errors(include_url=False)]) from error
    problems = _problems(file)
    if problems:
        raise CatalogError(problems)
    return _catalog(file)


def _problem(error: Any) -> Problem:
    key = ".".join(str(part) for part in error["loc"] if part not in ("int", "constrained-int", "literal['unlimited']"))
    if error["type"] == "extra_forbidden":
        return Problem(key, "is not a known key", "remove it, or correct its spelling")
    if error["type"] == "missing":
        return Problem(key, "is missing", "add it")
    return Problem(key, error["msg"][0].lower() + error["msg"][1:], "correct the value")


def _problems(file: _File) -> list[Problem]:
    """What only shows when the parts are seen together."""
    problems: list[Problem] = []
    if file.default_plan not in file.plans:
        problems.append(Problem("default_plan", f"there is no plan {file.default_plan!r}", "name one of the plans"))
    elif file.plans[file.default_plan].prices:
        problems.append(
            Problem("default_plan", f"plan {file.default_plan!r} has prices", "the default is what nobody pays for")
        )
    seen: dict[str, str] = {}
    for section, keys in (("features", file.features), ("limits", file.limits), ("plans", file.plans)):
        for key in keys:
            if _KEY.fullmatch(key) is None:
                where, remedy = f"{section}.{key}", "use a-z, 0-9, _ and -, beginning with a letter"
                problems.append(Problem(where, "is not a key", remedy))
    for key, plan in file.plans.items():
        problems += _plan_problems(f"plans.{key}", plan, file)
        sold = [(f"plans.{key}.prices.{each}", price.lookup_key, each) for each, price in plan.prices.items()]
        if plan.setup_fee:
            sold.append((f"plans.{key}.setup_fee", plan.setup_fee.lookup_key, "setup_fee"))
        for where, chosen, default in sold:
            lookup_key = chosen or f"{key}_{default}"
            if lookup_key in seen:
                problems.append(
                    Problem(where, f"lookup key {lookup_key!r} is that of {seen[lookup_key]} too", "give each its own")
                )
            seen[lookup_key] = where
    return problems + _change_problems(file)


def _change_problems(file: _File) -> list[Problem]:
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


def _plan_problems(where: str, plan: _Plan, file: _File) -> list[Problem]:
    problems = [
        Problem(f"{where}.features", f"there is no feature {each!r}", f"add [features.{each}], or remove it")
        for each in plan.features
        if each not in file.features
    ]
    problems += [
        Problem(f"{where}.limits", f"there is no limit {each!r}", f"add [limits.{each}], or remove it")
        for each in plan.limits
        if each not in file.limits
    ]
    problems += [
        Problem(f"{where}.prices", f"{each!r} is not an interval", f"use one of: {', '.join(_INTERVALS)}")
        for each in plan.prices
        if each not in _INTERVALS
    ]
    if plan.seats and plan.seats.min > plan.seats.max:
        problems.append(Problem(f"{where}.seats", "min is above max", "correct one of them"))
    if plan.setup_fee and {each.currency or file.currency for each in plan.prices.values()} != {file.currency}:
        problems.append(Problem(f"{where}.setup_fee", "needs prices in the file's currency", "remove it, or add them"))
    if not plan.prices and plan.trial_days:
        problems.append(
            Problem(f"{where}.trial_days", "a plan without prices has no trial", "remove it, or add prices")
        )
    if not plan.trial_requires_card and not plan.trial_days:
        problems.append(Problem(f"{where}.trial_requires_card", "there is no trial", "add trial_days, or remove it"))
    return problems


def _catalog(file: _File) -> Catalog:
    return Catalog(
        plans=tuple(_plan(key, plan, file.currency) for key, plan in file.plans.items()),
        features={key: Feature(key, each.name, each.description) for key, each in file.features.items()},
        limits={key: LimitName(key, each.name) for key, each in file.limits.items()},
        default_plan=file.default_plan,
        currency=file.currency,
        change_timing={(each.before, each.after): each.when for each in file.changes},
        checkout=CheckoutTerms(**file.checkout.model_dump()),
        portal=PortalTerms(**file.portal.model_dump()),
    )


def _plan(key: str, plan: _Plan, currency: str) -> Plan:
    return Plan(
        key=key,
        name=plan.name,
        description=plan.description,
        group=plan.group,
        features=frozenset(plan.features),
        limits={name: None if allowed == "unlimited" else allowed for name, allowed in plan.limits.items()},
        prices=tuple(
            PlanPrice(interval, each.amount, each.currency or currency, each.lookup_key or f"{key}_{interval}")
            for interval, each in plan.prices.items()
        ),
        setup_fee=_setup_fee(key, plan.setup_fee, currency) if plan.setup_fee else None,
        trial_days=plan.trial_days,
        trial_requires_card=plan.trial_requires_card,
        seats=SeatBounds(plan.seats.min, plan.seats.max) if plan.seats else None,
        highlights=tuple(plan.highlights),
    )


def _setup_fee(key: str, fee: _Fee, currency: str) -> PlanPrice:
    return PlanPrice("once", fee.amount, currency, fee.lookup_key or f"{key}_setup_fee")

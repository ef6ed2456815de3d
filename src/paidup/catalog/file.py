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
change_plans = true                # false: only in your own pages, by quotes
change_seats = false               # with change_plans, within the plans' bounds
pause = false                      # until somebody resumes it

[features.reports]
name = "Reports"

[limits.projects]
name = "Projects"

[credits.tokens]                   # paid for in advance, spent by the unit
name = "Tokens"

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
credits = { tokens = 1000 }        # what a paid month brings, per seat
currencies = { eur = 2700, jpy = 4200 }  # and what it costs in further ones, in minor units of each

[plans.pro.setup_fee]
amount = 9900                      # once, with the first invoice
currencies = { eur = 8900, jpy = 14000 }

[plans.pro.prices.year]
amount = 29000
currencies = { eur = 27000, jpy = 42000 }

[addons.ten_projects]              # sold beside a plan, billed with it
name = "Ten more projects"
limits = { projects = 10 }         # what each one adds; features as well
max = 5                            # how many can be bought; the default is 1
plans = ["pro"]                    # the plans it is sold with; all that have prices if left out, none any more with []

[addons.ten_projects.prices.month] # a price for every interval of those plans
amount = 500
currencies = { eur = 450, jpy = 700 }

[addons.ten_projects.prices.year]
amount = 5000
currencies = { eur = 4500, jpy = 7000 }

[[changes]]                        # more is at once, less at the period's end, unless it is told for a pair of plans
from = "pro"
to = "pro"
when = "now"                       # or "period_end"
```

Plans are ranked by their order in the file, lowest first.

The prices of a plan name the same currencies, the same one first. What is sold with it, its fee and its add-ons, has an
amount in each of them: whoever is billed in one meets no hole, whatever the interval. Plans may differ from another.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paidup.catalog.problems import plans_of, problems_of
from paidup.catalog.sections import AddonSection, FeeSection, PlanSection, PlansFile
from paidup.core.catalog import (
    Addon,
    Catalog,
    CheckoutTerms,
    CreditName,
    Feature,
    LimitName,
    Plan,
    PlanPrice,
    PortalTerms,
    SeatBounds,
)
from paidup.errors import CatalogError, Problem


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
        file = PlansFile.model_validate(raw)
    except ValidationError as error:
        raise CatalogError([_problem(each) for each in error.errors(include_url=False)]) from error
    problems = problems_of(file)
    if problems:
        raise CatalogError(problems)
    return _catalog(file)


def _problem(error: Any) -> Problem:
    key = ".".join(
        str(part) for part in error["loc"] if part not in ("int", "constrained-int", "literal['unlimited']", "[key]")
    )
    if error["type"] == "extra_forbidden":
        return Problem(key, "is not a known key", "remove it, or correct its spelling")
    if error["type"] == "missing":
        return Problem(key, "is missing", "add it")
    return Problem(key, error["msg"][0].lower() + error["msg"][1:], "correct the value")


def _catalog(file: PlansFile) -> Catalog:
    return Catalog(
        plans=tuple(_plan(key, plan, file.currency) for key, plan in file.plans.items()),
        features={key: Feature(key, each.name, each.description) for key, each in file.features.items()},
        limits={key: LimitName(key, each.name) for key, each in file.limits.items()},
        default_plan=file.default_plan,
        currency=file.currency,
        change_timing={(each.before, each.after): each.when for each in file.changes},
        checkout=CheckoutTerms(**file.checkout.model_dump()),
        portal=PortalTerms(**file.portal.model_dump()),
        credits={key: CreditName(key, each.name) for key, each in file.credits.items()},
        addons=tuple(_addon(key, addon, file) for key, addon in file.addons.items()),
    )


def _plan(key: str, plan: PlanSection, currency: str) -> Plan:
    return Plan(
        key=key,
        name=plan.name,
        description=plan.description,
        group=plan.group,
        features=frozenset(plan.features),
        limits=_limits(plan),
        prices=_prices(key, plan, currency),
        setup_fee=_setup_fee(key, plan.setup_fee, currency) if plan.setup_fee else None,
        trial_days=plan.trial_days,
        trial_requires_card=plan.trial_requires_card,
        seats=SeatBounds(plan.seats.min, plan.seats.max) if plan.seats else None,
        highlights=tuple(plan.highlights),
    )


def _addon(key: str, addon: AddonSection, file: PlansFile) -> Addon:
    return Addon(
        key=key,
        name=addon.name,
        description=addon.description,
        features=frozenset(addon.features),
        limits=_limits(addon),
        prices=_prices(key, addon, file.currency),
        plans=frozenset(plans_of(addon, file)),
        max=addon.max,
    )


def _limits(sold: PlanSection | AddonSection) -> dict[str, int | None]:
    return {name: None if allowed == "unlimited" else allowed for name, allowed in sold.limits.items()}


def _prices(key: str, sold: PlanSection | AddonSection, currency: str) -> tuple[PlanPrice, ...]:
    return tuple(
        PlanPrice(
            interval,
            each.amount,
            each.currency or currency,
            each.lookup_key or f"{key}_{interval}",
            credits=dict(each.credits),
            currencies=each.currencies,
        )
        for interval, each in sold.prices.items()
    )


def _setup_fee(key: str, fee: FeeSection, currency: str) -> PlanPrice:
    lookup_key = fee.lookup_key or f"{key}_setup_fee"
    return PlanPrice("once", fee.amount, currency, lookup_key, currencies=fee.currencies)

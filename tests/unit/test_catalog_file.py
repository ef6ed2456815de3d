"""The plans file: what it means, and that everything wrong with it is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from paidup.catalog import file
from paidup.errors import CatalogError

GOOD = """
currency = "eur"
default_plan = "free"
[features.reports]
name = "Reports"
[limits.projects]
name = "Projects"
[plans.free]
name = "Free"
limits = { projects = 2 }
[plans.pro]
name = "Pro"
group = "main"
features = ["reports"]
limits = { projects = "unlimited" }
trial_days = 14
trial_requires_card = false
seats = { min = 2, max = 50 }
highlights = ["Everything"]
[plans.pro.prices.month]
amount = 2900
currency = "usd"
currencies = { gbp = 2300, jpy = 4200 }
[plans.pro.prices.year]
amount = 29000
currency = "usd"
currencies = { jpy = 42000, gbp = 23000 }
lookup_key = "pro_yearly_2026"
"""


def problems_of(text: str) -> dict[str, str]:
    with pytest.raises(CatalogError) as error:
        file.loads(text)
    assert all(each.remedy for each in error.value.problems)
    return {each.key: each.message for each in error.value.problems}


def test_a_plan_has_what_the_file_says() -> None:
    catalog = file.loads(GOOD)
    pro = catalog.plan("pro")
    assert [plan.key for plan in catalog.plans] == ["free", "pro"]
    assert (pro.features, pro.limits, pro.trial_days, pro.trial_requires_card) == (
        frozenset({"reports"}),
        {"projects": None},
        14,
        False,
    )
    assert [(p.interval, p.amount, p.currency, p.lookup_key) for p in pro.prices] == [
        ("month", 2900, "usd", "pro_month"),
        ("year", 29000, "usd", "pro_yearly_2026"),
    ]
    assert [(p.amount_in("usd"), p.amount_in("jpy"), p.amount_in("eur")) for p in pro.prices] == [
        (2900, 4200, None),
        (29000, 42000, None),
    ]
    assert list(pro.prices[1].amounts.items()) == [("usd", 29000), ("jpy", 42000), ("gbp", 23000)]
    assert catalog.default.is_free


def test_every_mistake_of_form_is_told_at_once() -> None:
    text = GOOD.replace('name = "Pro"', "").replace("amount = 2900\n", 'amount = "29"\n') + "\nfoo = 1\n"
    found = problems_of(text)
    assert found["plans.pro.name"] == "is missing"
    assert found["plans.pro.prices.year.foo"] == "is not a known key"
    assert "plans.pro.prices.month.amount" in found


def test_every_contradiction_is_told_at_once() -> None:
    text = (
        GOOD.replace('default_plan = "free"', 'default_plan = "pro"')
        .replace('features = ["reports"]', 'features = ["charts"]')
        .replace("min = 2, max = 50", "min = 9, max = 3")
        .replace('lookup_key = "pro_yearly_2026"', 'lookup_key = "pro_month"')
        .replace("limits = { projects = 2 }", "limits = { seats = 2 }\ntrial_days = 3")
        .replace("[plans.pro.prices.month]", "[plans.pro.prices.fortnight]\namount = 1\n[plans.pro.prices.month]")
    )
    assert set(problems_of(text)) == {
        "default_plan",
        "plans.pro.features",
        "plans.pro.seats",
        "plans.pro.prices.month",
        "plans.pro.prices.year",
        "plans.pro.prices",
        "plans.free.limits",
        "plans.free.trial_days",
    }


def test_seats_are_not_changed_where_plans_are_not() -> None:
    text = GOOD + "\n[portal]\nchange_plans = false\nchange_seats = true\n"
    assert set(problems_of(text)) == {"portal.change_seats"}


@pytest.mark.hazard(60)
@pytest.mark.parametrize("amount", ["0", "-1", "29.5", "true", "100000000"])
def test_an_amount_is_a_positive_whole_number_of_minor_units(amount: str) -> None:
    assert "plans.pro.prices.month.amount" in problems_of(GOOD.replace("amount = 2900\n", f"amount = {amount}\n"))


@pytest.mark.hazard(62)
@pytest.mark.parametrize("days", ["0", "-1", "1.5", "731"])
def test_a_trial_that_stripe_would_refuse_is_refused_here(days: str) -> None:
    """A trial is told to Stripe in days, from one on: its two days' notice is for a trial's end told as a moment."""
    assert "plans.pro.trial_days" in problems_of(GOOD.replace("trial_days = 14", f"trial_days = {days}"))


def test_a_file_that_is_not_toml_names_its_line() -> None:
    assert "line 2" in problems_of("a = 1\nb = = 2")["plans.toml"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.toml"
    with pytest.raises(CatalogError, match=r"nowhere\.toml"):
        file.load(missing)


def test_the_example_in_the_documentation_is_valid() -> None:
    assert file.__doc__ is not None
    example = file.__doc__.split("```toml")[1].split("```")[0]
    assert file.loads(example).plan("pro").limits == {"projects": None}


SOLD = """
currency = "usd"
default_plan = "free"
[plans.free]
name = "Free"
[plans.pro]
name = "Pro"
[plans.pro.prices.month]
amount = 2900
currencies = { eur = 2700, kwd = 8900 }
[plans.pro.prices.year]
amount = 29000
currencies = { eur = 27000, kwd = 89000 }
[plans.pro.setup_fee]
amount = 9900
currencies = { eur = 8900, kwd = 30000 }
[addons.pack]
name = "Pack"
[addons.pack.prices.month]
amount = 500
currencies = { eur = 450, kwd = 1500, gbp = 400 }
[addons.pack.prices.year]
amount = 5000
currencies = { eur = 4500, kwd = 15000, gbp = 4000 }
"""


def test_an_addon_may_be_sold_in_more_currencies_than_a_plan() -> None:
    addon, plan = file.loads(SOLD).addon("pack"), file.loads(SOLD).plan("pro")
    assert addon is not None
    assert [list(each.prices[0].amounts) for each in (addon, plan)] == [
        ["usd", "eur", "kwd", "gbp"],
        ["usd", "eur", "kwd"],
    ]
    assert plan.setup_fee is not None
    assert plan.setup_fee.amounts == {"usd": 9900, "eur": 8900, "kwd": 30000}


def test_currencies_of_the_wrong_form_are_told_at_once() -> None:
    text = (
        SOLD.replace("eur = 2700,", "EUR = 2700,")
        .replace("eur = 27000", "eur = 0")
        .replace("kwd = 30000", "kwd = 99999999999")
    )
    assert set(problems_of(text)) == {
        "plans.pro.prices.month.currencies.EUR",
        "plans.pro.prices.year.currencies.eur",
        "plans.pro.setup_fee.currencies.kwd",
    }


def test_every_hole_between_currencies_is_told_at_once() -> None:
    """H59: whoever is billed in a currency of a plan can buy and change all of it."""
    text = (
        SOLD.replace("kwd = 8900 }", "usd = 2900 }")
        .replace("eur = 8900, ", "")
        .replace("eur = 4500, ", "")
        .replace("kwd = 1500,", "kwd = 1505,")
    )
    assert problems_of(text) == {
        "plans.pro.prices.month.currencies.usd": "is the price's own currency",
        "plans.pro.prices.year": "is sold in usd, eur, kwd, per month in usd, eur",
        "plans.pro.setup_fee.currencies": "the plan is sold in eur, this is not",
        "addons.pack.prices.month.currencies.kwd": "1505 kwd is more exact than Stripe is",
        "addons.pack.prices.year.currencies": "plan 'pro' is sold in eur, this is not",
    }


def test_prices_of_one_plan_begin_with_the_same_currency() -> None:
    """H59: Stripe combines prices of one default currency only."""
    text = SOLD.replace(
        "amount = 29000\ncurrencies = { eur = 27000,", 'amount = 27000\ncurrency = "eur"\ncurrencies = { usd = 29000,'
    )
    assert problems_of(text)["plans.pro.prices.year"] == "is sold in eur, usd, kwd, per month in usd, eur, kwd"


def test_three_decimals_are_as_exact_as_stripe_is() -> None:
    """H60: Stripe takes thousandths of a dinar in tens."""
    assert problems_of(SOLD.replace("kwd = 8900", "kwd = 8905")) == {
        "plans.pro.prices.month.currencies.kwd": "8905 kwd is more exact than Stripe is"
    }
    assert "plans.pro.prices.month.amount" in problems_of(
        GOOD.replace('amount = 2900\ncurrency = "usd"', 'amount = 2905\ncurrency = "bhd"')
    )

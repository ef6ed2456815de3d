"""A price that is charged once, beside a plan's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from paidup import Billing, PlanPrice
from paidup.catalog.apply import preview
from paidup.catalog.file import loads
from paidup.core.catalog import Catalog
from paidup.errors import CatalogError
from stripe_emulator import Emulator
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def billing(make_billing: Callable[..., Billing]) -> Billing:
    """Every plan that is sold begins with a fee of $99."""
    found = make_billing(catalog=with_fees(make_billing().catalog, 9900))
    found.push_catalog()
    return found


def with_fees(catalog: Catalog, amount: int) -> Catalog:
    plans = tuple(
        each if each.is_free else replace(each, setup_fee=PlanPrice("once", amount, "usd", f"{each.key}_fee"))
        for each in catalog.plans
    )
    return replace(catalog, plans=plans)


def paid(stripe: Emulator) -> list[int]:
    return [event["data"]["object"]["amount_paid"] for event in stripe.events("invoice.paid")]


def test_the_first_invoice_has_the_fee_and_the_next_has_not(billing: Billing, stripe: Emulator) -> None:
    checkout = billing.checkout(OWNER, "team", seats=3)
    assert billing.checkout(OWNER, "team", seats=3).url == checkout.url
    pay(str(checkout.url))
    assert paid(stripe) == [9900 + 3 * 1500]
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "team"
    stripe.advance(days=32)
    assert paid(stripe)[1:] == [3 * 1500]


def test_a_fee_stands_at_stripe_as_the_file_says(billing: Billing, make_billing: Callable[..., Billing]) -> None:
    """H58: another amount takes the key over, once."""
    assert preview(billing.catalog, billing.gateway) == []
    dearer = make_billing(catalog=with_fees(billing.catalog, 12_000))
    assert {step.action for step in dearer.push_catalog() if step.kind == "price"} == {"replace"}
    assert preview(dearer.catalog, dearer.gateway) == []


def test_a_fee_in_another_currency_than_the_prices_is_told() -> None:
    """H59: Stripe sells nothing in two currencies at once."""
    text = """
default_plan = "free"
[plans.free]
name = "Free"
[plans.pro]
name = "Pro"
prices.month = { amount = 2900, currency = "eur" }
setup_fee.amount = 9900
"""
    with pytest.raises(CatalogError, match=r"plans\.pro\.setup_fee"):
        loads(text)
    plan = loads(text.replace(', currency = "eur"', "")).plan("pro")
    assert plan.setup_fee == PlanPrice("once", 9900, "usd", "pro_setup_fee")

"""What changes cost, against arithmetic by hand: the part of a second that is left of a period, in whole numbers."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import stripe as sdk

from paidup import Billing, Quote
from paidup.catalog import file
from paidup.core.quote import When
from stripe_emulator import Emulator
from tests.conftest import PLANS, MakeBilling
from tests.support.databases import SqliteDatabases
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def databases(sqlite_databases: SqliteDatabases) -> SqliteDatabases:
    """One kind will do: the money comes from Stripe, and `test_changing` stores quotes in both."""
    return sqlite_databases


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it, to compare with."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


def item_of(billing: Billing) -> Any:
    found = billing.subscription(OWNER)
    assert found is not None
    [item] = found.items
    return item


def share(amount: int, left: timedelta, whole: timedelta) -> int:
    """Of an amount for a whole period, that for what is left; half a unit is rounded up."""
    numerator, denominator = amount * int(left.total_seconds()), int(whole.total_seconds())
    quotient, rest = divmod(numerator, denominator)
    return quotient + (1 if rest * 2 >= denominator else 0)


def computed_to(quote: Quote) -> datetime:
    """The moment from which on the new terms are charged."""
    return quote.lines[-1].period_start


def a_year_before(end: datetime) -> datetime:
    return end.replace(year=end.year - 1)


@pytest.mark.parametrize(
    ("start", "after", "old", "new", "seconds", "currency"),
    [
        (("pro", 1, "month"), ("team", 3, "month"), 2900, 4500, 864_000, "usd"),
        (("pro", 1, "month"), ("team", 2, "month"), 2900, 3000, 1_234_567, "jpy"),
        (("pro", 1, "month"), ("team", 2, "month"), 2900, 3000, 1_234_567, "kwd"),
        (("team", 2, "month"), ("team", 7, "month"), 3000, 10_500, 77_777, "usd"),
        (("team", 3, "year"), ("team", 11, "year"), 45_000, 165_000, 8_765_432, "usd"),
        (("pro", 1, "month"), ("team", 50, "month"), 2900, 75_000, 3, "usd"),
    ],
)
def test_the_rest_of_the_old_is_given_back_and_the_rest_of_the_new_is_charged(
    make_billing: MakeBilling,
    stripe: Emulator,
    client: sdk.StripeClient,
    start: tuple[str, int, str],
    after: tuple[str, int, str],
    old: int,
    new: int,
    seconds: int,
    currency: str,
) -> None:
    """H60, H86: the same whole numbers in yen, which have no hundredths, and dinars, which have thousandths."""
    billing = make_billing(catalog=file.loads(PLANS.read_text().replace('"usd"', f'"{currency}"')))
    billing.push_catalog()
    buy(billing, *start)
    stripe.advance(seconds=seconds)
    quote = billing.preview_change(OWNER, after[0], seats=after[1], interval=after[2])
    item = item_of(billing)
    whole = item.current_period_end - item.current_period_start
    left = item.current_period_end - computed_to(quote)
    expected = share(new, left, whole) - share(old, left, whole)
    assert (quote.credit, quote.due_now, quote.currency) == (share(old, left, whole), expected, currency)
    assert (quote.next_amount, quote.next_at) == (new, item.current_period_end)
    billing.change_plan(OWNER, quote.id)
    assert charged(billing, client) == [old, expected]
    assert item_of(billing).current_period_end == item.current_period_end


def test_a_month_becomes_a_year_on_the_same_day_of_the_month(
    billing: Billing, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H86: what is left of the month is given back, and of the year that began with it the rest is charged."""
    buy(billing, "pro", 1, "month")
    stripe.advance(seconds=1_000_000)
    quote = billing.preview_change(OWNER, "pro", interval="year")
    month = item_of(billing)
    billing.change_plan(OWNER, quote.id)
    year = item_of(billing)
    began = a_year_before(year.current_period_end)
    assert began == month.current_period_start
    at = computed_to(quote)
    credit = share(2900, month.current_period_end - at, month.current_period_end - month.current_period_start)
    debit = share(29_000, year.current_period_end - at, year.current_period_end - began)
    assert (quote.credit, quote.due_now) == (credit, debit - credit)
    assert charged(billing, client) == [2900, debit - credit]


def test_discounts_and_tax_are_in_the_quote(billing: Billing, stripe: Emulator, client: sdk.StripeClient) -> None:
    """H86: a quarter off, then a fifth on top."""
    buy(billing, "pro", 1, "month")
    found = billing.subscription(OWNER)
    assert found is not None
    coupon = client.v1.coupons.create({"percent_off": 25, "duration": "forever"})
    rate = client.v1.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": False})
    client.v1.subscriptions.update(found.id, {"discounts": [{"coupon": coupon.id}], "default_tax_rates": [rate.id]})
    quote = billing.preview_change(OWNER, "team", seats=4)
    item = item_of(billing)
    left, whole = item.current_period_end - computed_to(quote), item.current_period_end - item.current_period_start
    net = share(4500, left, whole) - share(2900, left, whole)  # 6000 less a quarter; the 2900 were paid in full
    assert quote.total == quote.due_now == (net * 6 + 2) // 5
    assert quote.next_amount == 5400
    billing.change_plan(OWNER, quote.id)
    assert charged(billing, client) == [2900, quote.due_now]


def test_a_balance_of_the_customer_is_used_first(billing: Billing, client: sdk.StripeClient) -> None:
    buy(billing, "pro", 1, "month")
    found = billing.subscription(OWNER)
    assert found is not None
    client.v1.customers.balance_transactions.create(found.customer, {"amount": -1000, "currency": "usd"})
    quote = billing.preview_change(OWNER, "team", seats=4)
    assert quote.total - quote.due_now == 1000
    billing.change_plan(OWNER, quote.id)
    assert charged(billing, client) == [2900, quote.due_now]


def test_up_and_down_twenty_times_earns_nothing(
    make_billing: MakeBilling, stripe: Emulator, client: sdk.StripeClient
) -> None:
    """H87: whatever is paid and credited on the way, it is never less than what is had costs."""
    pairs: dict[tuple[str, str], When] = {
        (a, b): "now" for a in ("basic", "pro", "team") for b in ("basic", "pro", "team")
    }
    catalog = replace(file.load(PLANS), change_timing=pairs)
    billing = make_billing(catalog=catalog)
    billing.push_catalog()
    buy(billing, "pro", 1, "month")
    chance = random.Random(87)
    costs = {"basic": 900, "pro": 2900, "team": 1500}
    plan, seats = "pro", 1
    for _ in range(20):
        plan = chance.choice([each for each in costs if each != plan or each == "team"])
        seats = chance.choice([each for each in range(2, 9) if each != seats]) if plan == "team" else 1
        billing.change_plan(OWNER, billing.preview_change(OWNER, plan, seats=seats).id)
    found = billing.subscription(OWNER)
    assert found is not None
    balance = client.v1.customers.retrieve(found.customer).balance or 0
    item = item_of(billing)
    whole, left = item.current_period_end - item.current_period_start, item.current_period_end - stripe.now
    unused = share(costs[plan] * seats, left, whole)
    assert sum(charged(billing, client)) + balance >= unused - 20  # a rounded unit a change


def buy(billing: Billing, plan: str, seats: int, interval: str) -> None:
    """The owner subscribes."""
    pay(str(billing.checkout(OWNER, plan, seats=seats, interval=interval).url))
    billing.sync(OWNER)


def charged(billing: Billing, client: sdk.StripeClient) -> list[int]:
    """What the owner's card was charged, oldest first."""
    found = billing.subscription(OWNER)
    assert found is not None
    charges = client.v1.charges.list({"customer": found.customer, "limit": 100}).data
    return [each.amount for each in charges if each.status == "succeeded"][::-1]

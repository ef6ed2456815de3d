"""Credits follow what is paid for, by time, and go with money that went back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paidup.catalog import file
from paidup.core import parse
from paidup.core.catalog import Catalog, PlanPrice
from paidup.core.credits import Brought, brought_by, sold_as, taken_along
from paidup.core.invoice import BilledLine, SoldPrice
from paidup.errors import CatalogError

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
HALF = MARCH + (APRIL - MARCH) / 2

PLANS = """
default_plan = "free"

[credits.tokens]
name = "Tokens"

[credits.exports]
name = "Exports"

[plans.free]
name = "Free"

[plans.pro]
name = "Pro"

[plans.pro.prices.month]
amount = 2900
credits = { tokens = 1000, exports = 7 }

[plans.pro.prices.year]
amount = 29000
credits = { tokens = 12000 }

[addons.pack]
name = "Pack"

[addons.pack.prices.month]
amount = 500
credits = { tokens = 100 }

[addons.pack.prices.year]
amount = 5000
"""

SOLD = {
    "pro": PlanPrice("month", 2900, "usd", "pro_month", {"tokens": 1000, "exports": 7}),
    "team": PlanPrice("month", 1500, "usd", "team_month", {"tokens": 333}),
    "year": PlanPrice("year", 29000, "usd", "pro_year", {"tokens": 12000}),
    "plain": PlanPrice("month", 900, "usd", "basic_month"),
}


def a_line(
    price: str | None = "pro",
    *,
    id: str = "il_1",
    amount: int = 2900,
    quantity: int = 1,
    start: datetime = MARCH,
    end: datetime = APRIL,
    is_proration: bool = False,
    credited: tuple[str, ...] = (),
) -> BilledLine:
    return BilledLine(id, price, amount, quantity, start, end, is_proration, credited)


def units(found: list[Brought]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in found:
        total[each.credit] = total.get(each.credit, 0) + each.units
    return total


def brought(*lines: BilledLine, before: tuple[Brought, ...] = (), periods: object = None) -> dict[str, int]:
    known = [(MARCH, APRIL)] if periods is None else []
    return units(brought_by(lines, SOLD, before=before, periods=known))


FULL = (Brought("il_0", "pro", "tokens", 1000, MARCH, APRIL), Brought("il_0", "pro", "exports", 7, MARCH, APRIL))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (a_line(), {"tokens": 1000, "exports": 7}),
        (a_line(quantity=3, amount=8700), {"tokens": 3000, "exports": 21}),
        (a_line(amount=0), {}),
        (a_line("plain"), {}),
        (a_line("unknown"), {}),
        (a_line(None), {}),
        (a_line(amount=1450, start=HALF, is_proration=True), {"tokens": 500, "exports": 3}),
        (a_line(amount=-500), {}),
    ],
    ids=["a month", "seats", "a trial", "none", "unknown", "no price", "half a month", "a credit of another kind"],
)
def test_what_a_line_brings(line: BilledLine, expected: Mapping[str, int]) -> None:
    assert brought(line) == expected


def test_what_is_given_back_takes_along_its_part() -> None:
    assert brought(a_line(amount=-1450, start=HALF, is_proration=True), before=FULL) == {"tokens": -500, "exports": -4}


def test_nothing_is_taken_along_of_what_brought_nothing() -> None:
    """As of a subscription from before the plans file had credits."""
    assert brought(a_line(amount=-1450, start=HALF, is_proration=True)) == {}


def test_a_discount_takes_nothing_off_what_is_taken_along() -> None:
    """H87: Stripe gives back less of what was bought with a coupon, the credits go all the same."""
    assert brought(a_line(amount=-1, start=HALF, is_proration=True), before=FULL)["tokens"] == -500
    free = a_line(amount=0, start=HALF, is_proration=True, credited=("il_0",))
    assert brought(free, before=FULL)["tokens"] == -500


def test_the_line_that_stripe_names_is_the_one_that_is_taken_from() -> None:
    again = (*FULL, Brought("il_5", "pro", "tokens", 400, MARCH + timedelta(days=9), APRIL))
    back = a_line(amount=-1450, start=HALF, is_proration=True)
    assert brought(replace(back, credited=("il_0",)), before=again)["tokens"] == -500
    assert brought(back, before=again)["tokens"] == -math.ceil(400 * 15.5 / 22)


def test_a_change_in_one_invoice_goes_both_ways() -> None:
    lines = (
        a_line("team", id="il_2", amount=2250, quantity=3, start=HALF, is_proration=True),
        a_line("pro", id="il_1", amount=-1450, start=HALF, is_proration=True),
    )
    assert brought(*lines, before=FULL) == {"tokens": -500 + 499, "exports": -4}


@pytest.mark.parametrize("interval", ["day", "week", "month", "year"])
def test_a_part_of_a_period_that_nobody_knows_is_measured_by_the_calendar(interval: str) -> None:
    begins = {"day": 31, "week": 25, "month": 1, "year": 1}[interval]
    start = APRIL - timedelta(days=1) if interval == "day" else APRIL - timedelta(weeks=1)
    if interval in ("month", "year"):
        start = MARCH if interval == "month" else APRIL.replace(year=2025)
    assert interval == "year" or start.day == begins
    sold = {"p": PlanPrice(interval, 100, "usd", "p", {"tokens": 1000})}
    half = a_line("p", amount=50, start=start + (APRIL - start) / 2, is_proration=True)
    assert units(brought_by([half], sold, before=(), periods=())) == {"tokens": 500}


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 31 * 24 * 3600), st.sampled_from(["pro", "team", "plain"]), st.integers(1, 9)),
        max_size=12,
    )
)
def test_no_sequence_of_changes_brings_more_than_was_subscribed_to(changes: list[tuple[int, str, int]]) -> None:
    """H87: after any ups and downs within a period there is at most what was had for each moment of it, together."""
    whole = int((APRIL - MARCH).total_seconds())
    known = brought_by([a_line("pro", id="il_0")], SOLD, before=(), periods=[(MARCH, APRIL)])
    current, seats, since, most = "pro", 1, 0, Fraction(0)
    for number, (moment, plan, quantity) in enumerate(sorted(changes)):
        at = min(moment, whole)
        most += Fraction(SOLD[current].credits.get("tokens", 0) * seats * (at - since), whole)
        start = MARCH + timedelta(seconds=at)
        lines = [
            a_line(current, id=f"a{number}", amount=-1, quantity=seats, start=start, is_proration=True),
            a_line(plan, id=f"b{number}", amount=1, quantity=quantity, start=start, is_proration=True),
        ]
        known += brought_by(lines, SOLD, before=known, periods=[(MARCH, APRIL)])
        current, seats, since = plan, quantity, at
    most += Fraction(SOLD[current].credits.get("tokens", 0) * seats * (whole - since), whole)
    assert units(known).get("tokens", 0) <= most
    assert units(known).get("tokens", 0) > most - 2 * len(changes) - 1


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0, 0), (1, 0), (29, 10), (1450, 500), (2899, 999), (2900, 1000), (5000, 1000), (-5, 0)],
)
def test_what_goes_with_money_that_went_back_is_the_same_part(amount: int, expected: int) -> None:
    """H101: of dollars and credits, neither is taken for the other."""
    assert taken_along(1000, reversed_amount=amount, total=2900) == expected


def test_what_an_invoice_took_along_itself_is_not_taken_again() -> None:
    assert taken_along(-500, reversed_amount=100, total=100) == 0


def a_catalog() -> Catalog:
    return file.loads(PLANS)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (SoldPrice("p", "pro_month", None, None, "month"), {"tokens": 1000, "exports": 7}),
        (SoldPrice("p", None, "pro", None, "month"), {"tokens": 1000, "exports": 7}),
        (SoldPrice("p", None, "pro", None, "year"), {"tokens": 12000}),
        (SoldPrice("p", None, None, "pack", "month"), {"tokens": 100}),
        (SoldPrice("p", None, "pro", None, None), None),
        (SoldPrice("p", None, "gone", None, "month"), None),
        (SoldPrice("p", "else", None, "gone", "month"), None),
    ],
)
def test_a_price_is_told_by_its_key_else_by_what_was_written_on_it(
    price: SoldPrice, expected: Mapping[str, int] | None
) -> None:
    sold = sold_as(price, a_catalog())
    assert (dict(sold.credits) if sold else None) == expected


def test_the_plans_file_tells_credits_that_it_does_not_name() -> None:
    with pytest.raises(CatalogError) as refused:
        file.loads(PLANS.replace("[credits.exports]", "[credits.expurts]").replace("tokens = 100 }", "token = 100 }"))
    assert [each.key for each in refused.value.problems] == [
        "plans.pro.prices.month.credits",
        "addons.pack.prices.month.credits",
    ]


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", '"many"'])
def test_the_plans_file_takes_whole_numbers_of_credits(wrong: str) -> None:
    with pytest.raises(CatalogError):
        file.loads(PLANS.replace("tokens = 12000", f"tokens = {wrong}"))


def test_a_line_is_read_in_the_shapes_of_old_and_new_releases() -> None:
    """H73: the price of a line has moved."""
    period = {"start": int(MARCH.timestamp()), "end": int(APRIL.timestamp())}
    shared = {"id": "il_1", "amount": -5, "quantity": 2, "period": period}
    credited = {"credited_items": {"invoice": "in_0", "invoice_line_items": ["il_0"]}}
    details = {"proration": True, "proration_details": credited}
    new = {
        **shared,
        "pricing": {"price_details": {"price": "price_1"}, "type": "price_details"},
        "parent": {"type": "subscription_item_details", "subscription_item_details": details},
    }
    old = {**shared, "price": {"id": "price_1"}, **details}
    expected = BilledLine("il_1", "price_1", -5, 2, MARCH, APRIL, True, ("il_0",))
    assert parse.billed_lines([new, old]) == [expected, expected]

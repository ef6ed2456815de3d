"""Which item a change is about, and when it takes effect."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from paidup.catalog import file
from paidup.core import change_state
from paidup.core.plan_change import ends_trial, needs_card, plan_item, seats_to_ask, timing
from paidup.core.quote import Quote, Terms, When
from tests.conftest import PLANS
from tests.unit.test_access import a_subscription, an_item

CATALOG = file.load(PLANS)
BASIC, BASIC_YEARLY = Terms("basic", "month", 1), Terms("basic", "year", 1)
PRO, PRO_YEARLY = Terms("pro", "month", 1), Terms("pro", "year", 1)
TEAM, BIG_TEAM, BIG_TEAM_YEARLY = Terms("team", "month", 2), Terms("team", "month", 9), Terms("team", "year", 9)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (BASIC, PRO, "now"),
        (PRO, BASIC, "period_end"),
        (PRO, PRO_YEARLY, "now"),
        (PRO_YEARLY, PRO, "period_end"),
        (TEAM, BIG_TEAM, "now"),
        (BIG_TEAM, TEAM, "period_end"),
        (PRO_YEARLY, TEAM, "period_end"),
        (PRO, BASIC_YEARLY, "period_end"),
        (TEAM, BIG_TEAM_YEARLY, "now"),
        (BIG_TEAM, replace(TEAM, interval="year"), "period_end"),
        (BIG_TEAM_YEARLY, replace(BIG_TEAM, seats=20), "period_end"),
    ],
)
def test_more_is_at_once_and_less_in_any_way_is_at_the_periods_end(before: Terms, after: Terms, expected: When) -> None:
    assert timing(before, after, CATALOG) == expected
    assert timing(before, after, CATALOG, trialing=True) == "now"


def test_the_plans_file_may_say_otherwise_for_a_pair_of_plans() -> None:
    told = """
    changes = [{ from = "pro", to = "basic", when = "now" }, { from = "pro", to = "pro", when = "period_end" }]
    """
    catalog = file.loads(told + PLANS.read_text())
    assert timing(PRO, BASIC, catalog) == "now"
    assert timing(PRO, PRO_YEARLY, catalog) == "period_end"
    assert timing(BASIC, PRO, catalog) == "now"


@pytest.mark.parametrize(
    ("trial_days", "requires_card", "ends", "needs"),
    [(None, True, True, True), (14, True, False, True), (14, False, False, False)],
)
def test_within_a_trial_another_plan_is_as_it_would_be_from_checkout(
    trial_days: int | None, requires_card: bool, ends: bool, needs: bool
) -> None:
    pro = replace(CATALOG.plan("pro"), trial_days=trial_days, trial_requires_card=requires_card)
    catalog = replace(CATALOG, plans=tuple(pro if each.key == "pro" else each for each in CATALOG.plans))
    assert (ends_trial(BASIC, PRO, catalog), needs_card(BASIC, PRO, catalog)) == (ends, needs)
    assert (ends_trial(PRO, PRO_YEARLY, catalog), needs_card(PRO, PRO_YEARLY, catalog)) == (False, False)


def test_a_plan_that_was_taken_out_of_the_file_is_not_had_in_a_trial_without_a_card() -> None:
    assert needs_card(BASIC, Terms("gone", "month", 1), CATALOG)


def test_the_plan_is_found_wherever_its_item_stands() -> None:
    """H92: add-ons and meters stand before or after it."""
    items = (
        an_item("meter", id="si_1"),
        an_item(None, id="si_2", plan_hint="an_addon"),
        an_item("pro_month", id="si_3"),
        an_item(None, id="si_4"),
    )
    for order in itertools.permutations(items):
        found = plan_item(a_subscription(items=order), CATALOG, "main")
        assert found is not None
        assert (found[0].key, found[1].id) == ("pro", "si_3")
    assert plan_item(a_subscription(items=items[:2]), CATALOG, "main") is None
    assert plan_item(a_subscription(items=items), CATALOG, "another") is None


def test_a_price_that_was_replaced_is_still_its_plans() -> None:
    """H58: it lost its lookup key and keeps its subscribers."""
    found = plan_item(a_subscription(items=(an_item(None, plan_hint="pro"),)), CATALOG, "main")
    assert found is not None
    assert found[0].key == "pro"


@pytest.mark.parametrize(
    ("plan", "asked", "current", "expected"),
    [("team", None, 5, 5), ("team", None, 1, 2), ("team", None, 60, 60), ("team", 7, 5, 7), ("pro", None, 5, 1)],
)
def test_seats_stay_as_they_are_unless_the_plan_wants_more(
    plan: str, asked: int | None, current: int, expected: int
) -> None:
    assert seats_to_ask(CATALOG.plan(plan), asked, current) == expected


def test_a_quote_survives_being_stored() -> None:
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    more = replace(TEAM, addons={"pack": 2})
    quote = Quote("q", "user:1", "sub_1", PRO, more, "now", None, "usd", 5, 5, 0, (), None, None, moment)
    assert Quote.from_dict(quote.as_dict()) == quote
    stored = quote.as_dict()
    del stored["before"]["addons"], stored["ends_trial"]
    assert Quote.from_dict(stored) == quote, "one that was stored before there were add-ons, or ends of trials"


def a_body(**fields: Any) -> dict[str, Any]:
    item = {"id": "si_1", "price": {"id": "price_1"}, "quantity": 1, "current_period_end": 9, "discounts": ["di_1"]}
    return {"status": "active", "items": {"data": [item]}, "discounts": [], "currency": "usd", **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "past_due"},
        {"discounts": ["di_2"]},
        {"cancel_at": 5},
        {"default_tax_rates": [{"id": "txr_1"}]},
        {"items": {"data": [{"id": "si_1", "price": {"id": "price_1"}, "quantity": 2}]}},
    ],
)
def test_whatever_a_quote_depends_on_is_in_its_fingerprint(fields: dict[str, Any]) -> None:
    """H86."""
    assert change_state.fingerprint(a_body()) == change_state.fingerprint(a_body(latest_invoice="in_2", metadata={}))
    assert change_state.fingerprint(a_body(**fields)) != change_state.fingerprint(a_body())


@pytest.mark.parametrize("order", [1, -1])
def test_the_payment_of_an_invoice_is_its_default_one_wherever_it_stands(order: int) -> None:
    """H74: an invoice names no payment intent any more; it has a list of payments, in no order."""
    payments = [
        {"is_default": is_default, "payment": {"type": "payment_intent", "payment_intent": {"id": intent}}}
        for is_default, intent in ((False, "pi_old"), (True, "pi_now"))
    ]
    assert change_state.payment_of({"payments": {"data": payments[::order]}})["id"] == "pi_now"
    assert change_state.payment_of({"payments": {"data": []}}) == {}

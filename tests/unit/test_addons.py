"""What is sold beside a plan: its part of the plans file, what it includes, and what becomes of it in a change."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from paidup.catalog import diff, file
from paidup.core.access import Access, decide, plan_of
from paidup.core.addons import addons_held, addons_to_have
from paidup.core.catalog import Addon, Plan
from paidup.core.item_changes import item_changes, prices_of, wanted
from paidup.core.plan_change import timing
from paidup.core.quote import Terms, When
from paidup.core.subscription import Subscription, SubscriptionItem
from paidup.errors import CatalogError
from tests.conftest import PLANS
from tests.unit.test_access import NOW, POLICY, a_subscription, an_item

CATALOG = file.load(PLANS)
PLAN = an_item("pro_month", id="si_plan")


def an_addon(lookup_key: str | None = "pack_month", quantity: int = 1, *, id: str = "si_addon") -> SubscriptionItem:
    return replace(an_item(lookup_key, id=id), quantity=quantity)


def access_of(*subscriptions: Subscription) -> Access:
    return decide("user:1", subscriptions, catalog=CATALOG, policy=POLICY, now=NOW)


def problems_of(text: str) -> dict[str, str]:
    with pytest.raises(CatalogError) as error:
        file.loads(PLANS.read_text() + text)
    return {each.key: each.message for each in error.value.problems}


# the plans file


def test_an_addon_has_what_the_file_says() -> None:
    pack, sso = CATALOG.addons
    assert (pack.name, dict(pack.limits), pack.max, pack.plans) == (
        "Ten more projects",
        {"projects": 10},
        5,
        frozenset({"basic", "pro", "team"}),
    )
    assert (sso.features, sso.max, sso.plans) == (frozenset({"sso"}), 1, frozenset({"pro"}))
    assert [each.lookup_key for each in (*pack.prices, *sso.prices)] == [
        "pack_month",
        "pack_year",
        "sso_month",
        "single_sign_on_year",
    ]
    assert [each.key for each in CATALOG.addons_of("pro")] == ["pack", "single_sign_on"]
    assert [each.key for each in CATALOG.addons_of("free")] == []


def test_everything_wrong_with_addons_is_told_at_once() -> None:
    found = problems_of("""
[addons.Bad]
name = "Bad"
features = ["charts"]
limits = { seats = 1 }
plans = ["free", "gold", "pro"]
prices.month = { amount = 100, currency = "eur" }
prices.fortnight = { amount = 100, lookup_key = "pro_month" }

[addons.all]
name = "All"
prices.month = { amount = 1 }
""")
    assert found.keys() == {
        "addons.Bad",
        "addons.Bad.features",
        "addons.Bad.limits",
        "addons.Bad.plans",
        "addons.Bad.prices",
        "addons.Bad.prices.month",
        "addons.Bad.prices.fortnight",
        "addons.all.prices",
    }
    assert found["addons.all.prices"] == "plan 'team' is sold per year, this is not"


@pytest.mark.parametrize("line", ["max = 0", "max = 1.5", "plans = 'pro'", "seats = 3"])
def test_nonsense_in_an_addon_is_told_with_its_key(line: str) -> None:
    text = f"[addons.x]\nname = 'X'\n{line}\nprices.month = {{ amount = 1 }}\nprices.year = {{ amount = 1 }}\n"
    assert list(problems_of(text)) == [f"addons.x.{line.split()[0]}"]


def test_an_addon_without_a_price_is_told() -> None:
    assert list(problems_of("[addons.x]\nname = 'X'\n")) == ["addons.x.prices"]


def test_a_plan_and_an_addon_of_one_name_are_two_products() -> None:
    names = [diff.product_id(each) for each in (Plan("x", "X"), Addon("x", "X"), Plan("addon_x", "X"))]
    assert len(set(names)) == 3


# access


@pytest.mark.parametrize(("quantity", "allowed"), [(1, 60), (5, 100)])
def test_each_one_adds_to_what_the_plan_includes(quantity: int, allowed: int) -> None:
    """H92: wherever the items stand."""
    items = (PLAN, an_addon(quantity=quantity), an_addon("sso_month", id="si_sso"), an_item("meter", id="si_meter"))
    for order in itertools.permutations(items):
        access = access_of(a_subscription(items=order))
        assert (access.plan, access.limit("projects"), access.can("sso")) == ("pro", allowed, True)
        assert access.addons == {"pack": quantity, "single_sign_on": 1}


def test_without_a_limit_more_of_it_is_still_without() -> None:
    access = access_of(a_subscription(items=(an_item("team_month", id="si_plan"), an_addon())))
    assert access.limit("projects") is None


def test_addons_of_what_is_not_paid_are_not_had() -> None:
    for status in ("unpaid", "canceled", "incomplete", "paused", "unheard_of"):
        access = access_of(a_subscription(status, items=(PLAN, an_addon(), an_addon("sso_month", id="si_sso"))))
        assert (access.addons, access.limit("projects"), access.can("sso")) == ({}, 2, False)


def test_an_addon_alone_is_no_plan_and_includes_nothing() -> None:
    alone = a_subscription(items=(an_addon(),))
    assert plan_of(alone, CATALOG) is None
    assert (access_of(alone).plan, access_of(alone).addons) == ("free", {})


def test_addons_of_several_subscriptions_count_together() -> None:
    first = a_subscription(items=(PLAN, an_addon(quantity=2)))
    second = a_subscription(items=(an_item("basic_month", id="si_b"), an_addon(quantity=1, id="si_c")), id="sub_2")
    assert access_of(first, second).addons == {"pack": 3}
    assert access_of(first, second).limit("projects") == 50 + 30


def test_an_addon_is_known_by_what_paidup_wrote_on_its_price() -> None:
    """H58: a price that was replaced lost its lookup key."""
    old = replace(an_addon(None, 2), addon_hint="pack")
    assert addons_held(a_subscription(items=(PLAN, old)), CATALOG) == {"pack": 2}
    assert addons_held(a_subscription(items=(PLAN, replace(old, addon_hint="gone"))), CATALOG) == {}


# changes


@pytest.mark.parametrize(
    ("held", "asked", "plan", "interval", "changes_plan", "expected"),
    [
        ({"pack": 2}, {}, "pro", "month", False, {"pack": 2}),
        ({"pack": 2}, {"pack": 0}, "pro", "month", False, {}),
        ({"pack": 2}, {"single_sign_on": 1}, "pro", "month", False, {"pack": 2, "single_sign_on": 1}),
        ({"pack": 2, "single_sign_on": 1}, {}, "team", "month", True, {"pack": 2}),
        ({"single_sign_on": 1}, {}, "team", "month", False, {"single_sign_on": 1}),
        ({"pack": 2}, {}, "pro", "week", False, {}),
    ],
)
def test_what_is_left_out_stays_where_it_can(
    held: dict[str, int],
    asked: dict[str, int],
    plan: str,
    interval: str,
    changes_plan: bool,
    expected: dict[str, int],
) -> None:
    found = addons_to_have(held, asked, CATALOG, plan=plan, interval=interval, changes_plan=changes_plan)
    assert found == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (("pro", {}), ("pro", {"pack": 1}), "now"),
        (("pro", {"pack": 2}), ("pro", {"pack": 1}), "period_end"),
        (("pro", {"pack": 2}), ("pro", {"single_sign_on": 1}), "period_end"),
        (("pro", {"single_sign_on": 1}), ("team", {}), "now"),
        (("team", {}), ("pro", {"pack": 5}), "period_end"),
    ],
)
def test_fewer_addons_of_the_same_plan_are_later(
    before: tuple[str, dict[str, int]], after: tuple[str, dict[str, int]], expected: When
) -> None:
    was, then = (Terms(plan, "month", 1, addons) for plan, addons in (before, after))
    assert timing(was, then, CATALOG) == expected
    assert timing(was, then, CATALOG, trialing=True) == "now"


def changes_of(items: tuple[SubscriptionItem, ...], after: Terms) -> list[dict[str, object]]:
    subscription = a_subscription(items=items)
    before = Terms("pro", "month", 1, addons_held(subscription, CATALOG))
    meant = wanted(subscription, items[0], before, after, CATALOG)
    return item_changes(meant, {each.lookup_key: f"price_of_{each.lookup_key}" for each in prices_of(meant)})


def test_only_what_becomes_different_is_asked_for() -> None:
    items = (PLAN, an_addon(quantity=2), an_item("meter", id="si_meter"))
    assert changes_of(items, Terms("pro", "month", 1, {"pack": 3})) == [{"id": "si_addon", "quantity": 3}]
    assert changes_of(items, Terms("pro", "month", 1, {"pack": 2, "single_sign_on": 1})) == [
        {"price": "price_of_sso_month", "quantity": 1}
    ]
    assert changes_of(items, Terms("team", "month", 3)) == [
        {"id": "si_plan", "price": "price_of_team_month", "quantity": 3},
        {"id": "si_addon", "deleted": True},
    ]
    assert changes_of(items, Terms("pro", "year", 1, {"pack": 2})) == [
        {"id": "si_plan", "price": "price_of_pro_year", "quantity": 1},
        {"id": "si_addon", "price": "price_of_pack_year", "quantity": 2},
    ]


def test_twins_become_one() -> None:
    items = (PLAN, an_addon(quantity=2), an_addon(quantity=1, id="si_twin"))
    assert changes_of(items, Terms("pro", "month", 1, {"pack": 4})) == [
        {"id": "si_addon", "quantity": 4},
        {"id": "si_twin", "deleted": True},
    ]

"""What a push of the plans file would do, from what Stripe has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from paidup.catalog import diff
from paidup.catalog.diff import Step
from paidup.core.catalog import Catalog, Plan, PlanPrice, PortalTerms

FREE = Plan("free", "Free")
MARK = {"paidup_plan": "pro"}


def a_plan(key: str = "pro", *, amount: int = 2900, group: str = "main") -> Plan:
    prices = (PlanPrice("month", amount, "usd", f"{key}_month"),)
    return Plan(key, key.title(), description="For people.", group=group, prices=prices)


def a_catalog(*plans: Plan) -> Catalog:
    return Catalog(plans=(FREE, *plans), features={}, limits={}, default_plan="free", currency="usd")


def a_product(**changes: Any) -> dict[str, Any]:
    product = {"id": "paidup_pro", "name": "Pro", "description": "For people.", "active": True, "metadata": MARK}
    return product | changes


def a_price(**changes: Any) -> dict[str, Any]:
    price = {
        "id": "price_1",
        "active": True,
        "lookup_key": "pro_month",
        "unit_amount": 2900,
        "currency": "usd",
        "recurring": {"interval": "month", "interval_count": 1},
        "product": "paidup_pro",
        "metadata": MARK,
    }
    return price | changes


def summary(steps: list[Step]) -> list[tuple[str, str, str | None]]:
    return [(each.action, each.subject, each.object_id) for each in steps]


def products(existing: Mapping[str, Any] | None) -> list[Step]:
    return diff.products(a_catalog(a_plan()), {"paidup_pro": existing})


def prices(*existing: Mapping[str, Any], amount: int = 2900) -> list[Step]:
    return diff.prices(a_catalog(a_plan(amount=amount)), existing)


def test_a_free_plan_does_not_exist_at_stripe() -> None:
    assert diff.products(a_catalog(), {}) == []
    assert diff.prices(a_catalog(), []) == []


def test_a_product_gets_an_id_that_cannot_be_made_twice() -> None:
    (step,) = products(None)
    assert (step.action, step.params["id"], step.params["metadata"]) == ("create", "paidup_pro", MARK)


def test_nothing_is_done_where_everything_is_right() -> None:
    assert products(a_product()) == []
    assert prices(a_price()) == []


@pytest.mark.parametrize(
    ("found", "changed"),
    [
        ({"name": "Professional"}, {"name": "Pro"}),
        ({"description": None}, {"description": "For people."}),
        ({"active": False}, {"active": True}),
        ({"metadata": {}}, {"metadata": MARK}),
        ({"metadata": {"paidup_plan": "other"}}, {"metadata": MARK}),
    ],
)
def test_only_what_differs_of_a_product_is_sent(found: dict[str, Any], changed: dict[str, Any]) -> None:
    (step,) = products(a_product(**found))
    assert (step.action, step.object_id, step.params) == ("update", "paidup_pro", changed)


@pytest.mark.hazard(58)
@pytest.mark.parametrize(
    "found",
    [
        {"unit_amount": 1900},
        {"unit_amount": None},
        {"currency": "eur"},
        {"recurring": {"interval": "year", "interval_count": 1}},
        {"recurring": {"interval": "month", "interval_count": 3}},
        {"recurring": None},
        {"product": "prod_made_by_hand"},
    ],
)
def test_a_price_that_differs_is_replaced_by_one_that_takes_its_key_over(found: dict[str, Any]) -> None:
    (step,) = prices(a_price(**found))
    assert (step.action, step.object_id) == ("replace", "price_1")
    assert (step.params["unit_amount"], step.params["transfer_lookup_key"]) == (2900, True)


@pytest.mark.hazard(58)
def test_a_price_without_the_plans_mark_is_marked_before_it_loses_its_key() -> None:
    steps = prices(a_price(metadata={}, product={"id": "prod_made_by_hand"}))
    assert [(each.action, each.object_id) for each in steps] == [("update", "price_1"), ("replace", "price_1")]
    assert steps[0].params == {"metadata": MARK}


@pytest.mark.hazard(57)
def test_an_archived_price_that_is_still_right_is_put_on_sale_again() -> None:
    (step,) = prices(a_price(active=False))
    assert (step.action, step.params) == ("update", {"active": True})


def test_an_archived_price_that_differs_is_replaced() -> None:
    assert summary(prices(a_price(active=False, unit_amount=1900))) == [("replace", "pro_month", "price_1")]


@pytest.mark.hazard(56)
@pytest.mark.parametrize("lookup_key", [None, "pro_week"])
def test_a_price_of_ours_that_is_not_in_the_file_goes_off_sale(lookup_key: str | None) -> None:
    (step,) = prices(a_price(), a_price(id="price_0", lookup_key=lookup_key))
    assert (step.action, step.object_id, step.params) == ("archive", "price_0", {"active": False})


@pytest.mark.parametrize("other", [{"metadata": {}}, {"product": "prod_other"}, {"active": False}])
def test_a_price_of_somebody_else_is_left_alone(other: dict[str, Any]) -> None:
    assert prices(a_price(), a_price(id="price_0", lookup_key=None, **other)) == []


def portal(*plans: Plan, existing: Mapping[str, Any] | None = None) -> list[Step]:
    return diff.portal(a_catalog(*plans), existing, {"pro_month": "price_1", "max_month": "price_2"})


def as_stripe_tells(step: Step, **features: Any) -> dict[str, Any]:
    """The configuration that a step makes, with what Stripe adds."""
    told = {**step.params["features"], "subscription_pause": {"enabled": False}, **features}
    return {"id": "bpc_1", "metadata": step.params["metadata"], "features": told}


def test_a_portal_configuration_is_known_by_its_metadata() -> None:
    (step,) = portal(a_plan())
    assert (step.action, step.params["metadata"]["paidup"]) == ("create", "portal")
    assert step.params["features"]["subscription_cancel"]["mode"] == "at_period_end"


def test_a_portal_that_is_right_is_left_alone() -> None:
    plans = (a_plan(), a_plan("max"))
    (step,) = portal(*plans)
    assert portal(*plans, existing=as_stripe_tells(step)) == []


def test_a_portal_whose_products_stripe_does_not_tell_is_left_alone() -> None:
    plans = (a_plan(), a_plan("max"))
    (step,) = portal(*plans)
    untold = {**step.params["features"]["subscription_update"], "products": None}
    assert portal(*plans, existing=as_stripe_tells(step, subscription_update=untold)) == []
    (changed,) = portal(a_plan(), a_plan("max"), existing=as_stripe_tells(portal(a_plan())[0]))
    assert changed.action == "update"


def test_a_portal_that_was_changed_by_hand_is_put_right() -> None:
    (step,) = portal(a_plan())
    off = as_stripe_tells(step, invoice_history={"enabled": False})
    assert summary(portal(a_plan(), existing=off)) == [("update", "configuration", "bpc_1")]


def test_the_portal_offers_a_change_between_plans_of_one_group() -> None:
    (step,) = portal(a_plan(), a_plan("max"))
    update = step.params["features"]["subscription_update"]
    assert [each["prices"] for each in update["products"]] == [["price_1"], ["price_2"]]


def test_the_portal_has_what_the_plans_file_switches_on() -> None:
    def features(**terms: bool) -> Any:
        catalog = replace(a_catalog(a_plan(), a_plan("max")), portal=PortalTerms(**terms))
        (step,) = diff.portal(catalog, None, {"pro_month": "price_1", "max_month": "price_2"})
        return step.params["features"]

    assert features()["subscription_pause"] == {"enabled": False}
    assert features(pause=True)["subscription_pause"] == {"enabled": True, "duration": {"type": "indefinite"}}
    assert features()["subscription_update"]["default_allowed_updates"] == ["price"]
    assert features(change_seats=True)["subscription_update"]["default_allowed_updates"] == ["price", "quantity"]
    assert features(change_plans=False)["subscription_update"] == {"enabled": False}


@pytest.mark.parametrize("plans", [(a_plan(),), (a_plan(), a_plan("max", group="addons"))])
def test_the_portal_offers_no_change_where_there_is_no_other_plan_of_the_group(plans: tuple[Plan, ...]) -> None:
    (step,) = portal(*plans)
    assert step.params["features"]["subscription_update"] == {"enabled": False}


IN_SEVERAL = Plan(
    "pro",
    "Pro",
    description="For people.",
    prices=(PlanPrice("month", 2900, "usd", "pro_month", currencies={"eur": 2700, "jpy": 4200}),),
)
OPTIONS = {"usd": {"unit_amount": 2900}, "eur": {"unit_amount": 2700}, "jpy": {"unit_amount": 4200}}


def in_several(*existing: Mapping[str, Any]) -> list[Step]:
    return diff.prices(a_catalog(IN_SEVERAL), existing)


@pytest.mark.hazard(59)
def test_a_price_in_several_currencies_is_one_price_with_options() -> None:
    (step,) = in_several()
    assert (step.action, step.params["currency"], step.params["unit_amount"]) == ("create", "usd", 2900)
    assert step.params["currency_options"] == {"eur": {"unit_amount": 2700}, "jpy": {"unit_amount": 4200}}
    assert step.detail == "2900 usd, 2700 eur, 4200 jpy per month"
    assert in_several(a_price(currency_options=OPTIONS)) == []
    assert "currency_options" not in prices()[0].params


def test_a_currency_that_a_price_lacks_is_added_to_it() -> None:
    has = {code: OPTIONS[code] for code in ("usd", "jpy")}
    (step,) = in_several(a_price(currency_options=has))
    assert (step.action, step.object_id) == ("update", "price_1")
    assert step.params == {"currency_options": {"eur": {"unit_amount": 2700}}}


@pytest.mark.hazard(58)
@pytest.mark.parametrize(
    "other", [{"eur": {"unit_amount": 2500}}, {"gbp": {"unit_amount": 2300}}, {"eur": {"unit_amount": None}}]
)
def test_a_price_with_another_amount_or_a_currency_too_many_is_replaced(other: dict[str, Any]) -> None:
    """Its subscribers go on paying what they pay, in the currency they pay in."""
    (step,) = in_several(a_price(currency_options={**OPTIONS, **other}))
    assert (step.action, step.object_id, step.params["transfer_lookup_key"]) == ("replace", "price_1", True)
    (code,) = other
    assert f"{other[code]['unit_amount']} {code}" in step.detail

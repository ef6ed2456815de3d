"""The plans file at Stripe: pushed once, finished after a crash, and never at a subscriber's cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paidup.catalog.apply import preview, push
from paidup.catalog.file import load
from paidup.core.catalog import Catalog, Plan
from paidup.errors import StripeUnavailable
from paidup.stripe_api.gateway import Gateway
from stripe_emulator import Emulator
from tests.conftest import PLANS, SECRET_KEY, MakeBilling
from tests.support.paying import pay

OWNER = "user:1"


@pytest.fixture
def catalog() -> Catalog:
    return load(PLANS)


@pytest.fixture
def gateway(stripe: Emulator) -> Gateway:
    return Gateway(SECRET_KEY, api_base=stripe.url)


def changed(catalog: Catalog, key: str, **changes: Any) -> Catalog:
    return replace(
        catalog, plans=tuple(replace(each, **changes) if each.key == key else each for each in catalog.plans)
    )


def priced(plan: Plan, amount: int) -> dict[str, Any]:
    return {"prices": tuple(replace(each, amount=amount) for each in plan.prices if each.interval == "month")}


def on_sale(gateway: Gateway, plan: str = "pro") -> dict[str | None, int]:
    found = gateway.list_prices(product=f"paidup_{plan}", active=True)
    return {each["lookup_key"]: each["unit_amount"] for each in found}


def nothing_is_written(stripe: Emulator) -> None:
    stripe.fail_next("/v1/*", method="POST", status=500, times=1000)


def test_a_second_push_writes_nothing(catalog: Catalog, gateway: Gateway, stripe: Emulator) -> None:
    assert [step.kind for step in push(catalog, gateway)] == ["product"] * 5 + ["price"] * 10 + ["portal"]
    nothing_is_written(stripe)
    assert push(catalog, gateway) == []


def test_a_preview_writes_nothing_and_tells_what_a_push_does(
    catalog: Catalog, gateway: Gateway, stripe: Emulator
) -> None:
    nothing_is_written(stripe)
    told = preview(catalog, gateway)
    stripe.clear_faults()
    done = push(catalog, gateway)
    assert [(each.action, each.subject) for each in told] == [(each.action, each.subject) for each in done]
    assert preview(catalog, gateway) == []


@pytest.mark.parametrize("after_work", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize("call", [1, 3, 4, 7, 10])
def test_a_push_that_was_cut_off_is_finished_by_the_next(
    catalog: Catalog, gateway: Gateway, stripe: Emulator, call: int, after_work: bool
) -> None:
    stripe.fail_next("/v1/*", method="POST", status=500, nth=call, times=1000, after_work=after_work)
    with pytest.raises(StripeUnavailable):
        push(catalog, gateway)
    stripe.clear_faults()
    push(catalog, gateway)
    assert on_sale(gateway) == {"pro_month": 2900, "pro_year": 29000}
    assert len(gateway.list_prices()) == 10
    assert len(gateway.list_products()) == 5
    assert preview(catalog, gateway) == []


@pytest.mark.hazard(58)
def test_a_new_amount_takes_the_lookup_key_and_the_old_price_goes_off_sale(catalog: Catalog, gateway: Gateway) -> None:
    push(catalog, gateway)
    dearer = changed(catalog, "pro", **priced(catalog.plan("pro"), 3900))
    push(dearer, gateway)
    assert on_sale(gateway) == {"pro_month": 3900}
    assert preview(dearer, gateway) == []


@pytest.mark.hazard(58)
def test_going_back_and_forth_between_amounts_ends_where_the_file_says(catalog: Catalog, gateway: Gateway) -> None:
    for amount in (2900, 3900, 2900, 3900, 2900):
        wanted = changed(catalog, "pro", **priced(catalog.plan("pro"), amount))
        push(wanted, gateway)
        assert on_sale(gateway) == {"pro_month": amount}
        assert preview(wanted, gateway) == []


@pytest.mark.hazard(58)
def test_a_replacement_that_was_cut_off_leaves_no_second_price_on_sale(
    catalog: Catalog, gateway: Gateway, stripe: Emulator
) -> None:
    push(catalog, gateway)
    dearer = changed(catalog, "pro", prices=tuple(replace(each, amount=99) for each in catalog.plan("pro").prices))
    stripe.fail_next("/v1/prices/*", method="POST", status=500, times=3)  # the archiving, and its repetitions
    with pytest.raises(StripeUnavailable):
        push(dearer, gateway)
    stripe.clear_faults()
    push(dearer, gateway)
    assert on_sale(gateway) == {"pro_month": 99, "pro_year": 99}


@pytest.mark.hazard(57)
def test_a_price_that_comes_back_into_the_file_is_sold_again(catalog: Catalog, gateway: Gateway) -> None:
    push(catalog, gateway)
    push(changed(catalog, "pro", **priced(catalog.plan("pro"), 2900)), gateway)
    assert on_sale(gateway) == {"pro_month": 2900}
    push(catalog, gateway)
    assert on_sale(gateway) == {"pro_month": 2900, "pro_year": 29000}
    assert len(gateway.list_prices()) == 10


@pytest.mark.hazard(58)
def test_subscribers_of_an_old_price_stay_on_their_plan(make_billing: MakeBilling, catalog: Catalog) -> None:
    billing = make_billing()
    billing.push_catalog()
    subscribe(billing)
    dearer = make_billing(catalog=changed(catalog, "pro", **priced(catalog.plan("pro"), 3900)))
    dearer.push_catalog()
    dearer.sync(OWNER)
    assert dearer.access(OWNER).plan == "pro"


@pytest.mark.hazard(58)
def test_a_price_made_by_hand_is_replaced_without_a_loss_to_its_subscribers(
    make_billing: MakeBilling, gateway: Gateway
) -> None:
    product = gateway.create_product({"name": "Pro"}, idempotency_key="by-hand-1")
    by_hand = {
        "product": product["id"],
        "currency": "usd",
        "unit_amount": 1900,
        "recurring": {"interval": "month"},
        "lookup_key": "pro_month",
    }
    old = gateway.create_price(by_hand, idempotency_key="by-hand-2")
    billing = make_billing()
    billing.push_catalog()
    assert on_sale(gateway)["pro_month"] == 2900
    kept = gateway.retrieve_price(old["id"])
    assert (kept["active"], kept["lookup_key"], kept["metadata"]) == (False, None, {"paidup_plan": "pro"})


@pytest.mark.hazard(119)
def test_what_was_changed_by_hand_is_found_and_put_right(catalog: Catalog, gateway: Gateway) -> None:
    push(catalog, gateway)
    gateway.update_product("paidup_pro", {"name": "Professional", "metadata": {"paidup_plan": ""}})
    (price,) = gateway.list_prices(lookup_keys=["pro_month"])
    gateway.update_price(price["id"], {"active": False})
    found = {(each.action, each.kind, each.subject): each.detail for each in preview(catalog, gateway)}
    assert found == {
        ("update", "product", "pro"): "metadata, name",
        ("update", "price", "pro_month"): "active",
    }
    push(catalog, gateway)
    assert gateway.retrieve_product("paidup_pro")["name"] == "Pro"
    assert preview(catalog, gateway) == []


def subscribe(billing: Any) -> None:
    checkout = billing.checkout(OWNER, "pro")
    pay(checkout.url)
    billing.finish_checkout(OWNER, checkout.session_id)
    assert billing.access(OWNER).plan == "pro"

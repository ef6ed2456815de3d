"""What a quantity costs: tiers, packages, and units of less than a cent."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop

TIERS: Any = [
    {"up_to": 5, "unit_amount": 700},
    {"up_to": 10, "unit_amount": 650, "flat_amount": 1000},
    {"up_to": "inf", "unit_amount": 600},
]


def a_price(shop: Shop, **terms: Any) -> stripe.Price:
    product = shop.api.products.create({"name": "Seats"}).id
    sent: Any = {"currency": "usd", "product": product, "recurring": {"interval": "month"}, **terms}
    return shop.api.prices.create(sent)


def tiered(shop: Shop, mode: Any) -> stripe.Price:
    return a_price(shop, billing_scheme="tiered", tiers_mode=mode, tiers=TIERS)


def invoiced(shop: Shop, price: stripe.Price, quantity: int) -> int:
    subscription = shop.subscribe(shop.customer().id, price.id, quantity=quantity)
    return shop.api.invoices.retrieve(str(subscription.latest_invoice)).total


@pytest.mark.parametrize(
    ("mode", "quantity", "total"),
    [
        ("graduated", 1, 700),
        ("graduated", 5, 3500),
        ("graduated", 6, 3500 + 650 + 1000),
        ("graduated", 20, 3500 + 5 * 650 + 1000 + 10 * 600),
        ("volume", 5, 3500),
        ("volume", 6, 6 * 650 + 1000),
        ("volume", 20, 12_000),
    ],
)
def test_tiers_by_hand(shop: Shop, mode: str, quantity: int, total: int) -> None:
    """[DOC products-prices/pricing-models#graduated-pricing and #volume-pricing]"""
    assert invoiced(shop, tiered(shop, mode), quantity) == total


def test_tiers_are_shown_when_they_are_expanded(shop: Shop) -> None:
    """[DOC api/prices/object: `tiers` is included by expanding it]"""
    price = tiered(shop, "graduated")
    assert (price.billing_scheme, price.tiers_mode, price.unit_amount) == ("tiered", "graduated", None)
    assert "tiers" not in price
    shown = shop.api.prices.retrieve(price.id, {"expand": ["tiers"]}).tiers
    assert shown is not None
    assert [(tier.up_to, tier.unit_amount, tier.flat_amount) for tier in shown] == [
        (5, 700, None),
        (10, 650, 1000),
        (None, 600, None),
    ]
    [listed] = shop.api.prices.list({"expand": ["data.tiers"]}).data
    assert listed.tiers is not None


def test_a_price_per_unit_has_no_tiers(shop: Shop) -> None:
    assert shop.api.prices.retrieve(shop.price().id, {"expand": ["tiers"]}).tiers is None


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ({"billing_scheme": "tiered", "tiers_mode": "volume"}, "tiers"),
        ({"billing_scheme": "tiered", "tiers": TIERS}, "tiers_mode"),
        ({"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": TIERS, "unit_amount": 5}, "unit_amount"),
        ({"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": TIERS[:2]}, "tiers"),
        ({"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": [TIERS[1], *TIERS]}, "tiers"),
        ({"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": [{"up_to": "inf"}]}, "tiers[0][unit_amount]"),
        ({"tiers": TIERS, "tiers_mode": "volume", "unit_amount": 5}, "billing_scheme"),
    ],
)
def test_tiers_that_make_no_sense_are_refused(shop: Shop, terms: Any, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        a_price(shop, **terms)
    assert caught.value.param == param


def test_more_seats_of_a_tiered_price_are_prorated_as_a_whole(shop: Shop) -> None:
    """[DOC billing/subscriptions/prorations] The old configuration is credited, the new one debited."""
    price = tiered(shop, "graduated")
    subscription = shop.subscribe(shop.customer().id, price.id, quantity=5)
    item = subscription["items"].data[0]
    change: Any = {"items": [{"id": item.id, "quantity": 6}], "proration_behavior": "always_invoice"}
    updated = shop.api.subscriptions.update(subscription.id, change)
    invoice = shop.api.invoices.retrieve(str(updated.latest_invoice))
    assert [line.amount for line in invoice.lines.data] == [-3500, 5150]


@pytest.mark.parametrize(("round", "quantity", "total"), [("up", 11, 2000), ("down", 19, 1000), ("up", 10, 1000)])
def test_packages_are_rounded_as_the_price_says(shop: Shop, round: str, quantity: int, total: int) -> None:
    """[DOC products-prices/pricing-models#package-pricing]"""
    price = a_price(shop, unit_amount=1000, transform_quantity={"divide_by": 10, "round": round})
    assert invoiced(shop, price, quantity) == total


@pytest.mark.parametrize(("quantity", "total"), [(1, 1), (3, 2), (1000, 500)])
def test_a_unit_may_cost_less_than_a_cent(shop: Shop, quantity: int, total: int) -> None:
    """[DOC products-prices/how-products-and-prices-work] `unit_amount_decimal`; the line is rounded."""
    price = a_price(shop, unit_amount_decimal="0.5")
    assert (price.unit_amount, str(price.unit_amount_decimal)) == (None, "0.5")
    line = shop.api.invoices.create_preview(
        {
            "customer": shop.customer().id,
            "subscription_details": {"items": [{"price": price.id, "quantity": quantity}]},
        }
    ).lines.data[0]
    assert line.amount == total


def test_checkout_sells_tiers(shop: Shop) -> None:
    session = shop.api.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": tiered(shop, "volume").id, "quantity": 6}],
            "success_url": "https://shop.test/done",
        }
    )
    assert session.amount_total == 4900
    page = shop.pages.get(str(session.url).replace("https://", "http://")).text
    assert "$49.00" in page

"""
Entitlements.

[DOC] docs.stripe.com/billing/entitlements: features are attached to products; a subscription grants its products'
features, and every change of what a customer has is told in one summary.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop

SUMMARY = "entitlements.active_entitlement_summary.updated"


def a_feature(shop: Shop, key: str, product: Any = None) -> str:
    feature = shop.api.entitlements.features.create({"lookup_key": key, "name": key.title()})
    if product is not None:
        shop.api.products.features.create(product, {"entitlement_feature": feature.id})
    return feature.id


def keys(shop: Shop, customer: str) -> set[str]:
    found = shop.api.entitlements.active_entitlements.list({"customer": customer}).data
    return {entitlement.lookup_key for entitlement in found}


def test_a_subscription_grants_and_its_end_withdraws(shop: Shop) -> None:
    """docs.stripe.com/billing/entitlements#event: the summary holds what there is now."""
    price = shop.price()
    feature = a_feature(shop, "sso", price.product)
    customer = shop.customer().id
    seen = shop.seen()
    subscription = shop.subscribe(customer, price.id)
    assert shop.types_since(seen).count(SUMMARY) == 1
    event = shop.last_event(SUMMARY)["data"]
    assert event["object"]["customer"] == customer
    assert [entry["lookup_key"] for entry in event["object"]["entitlements"]["data"]] == ["sso"]
    assert event["previous_attributes"]["entitlements"]["data"] == []
    (held,) = shop.api.entitlements.active_entitlements.list({"customer": customer, "expand": ["data.feature"]}).data
    assert isinstance(held.feature, stripe.entitlements.Feature)
    assert (held.feature.id, held.feature.name) == (feature, "Sso")
    assert shop.api.entitlements.active_entitlements.retrieve(held.id).lookup_key == "sso"
    shop.api.subscriptions.cancel(subscription.id)
    assert keys(shop, customer) == set()
    assert shop.last_event(SUMMARY)["data"]["object"]["entitlements"]["data"] == []


def test_a_plan_change_swaps_features_and_keeps_the_shared(shop: Shop) -> None:
    pro, business = shop.price(3000), shop.price(9000, name="Business")
    shared = a_feature(shop, "api", pro.product)
    assert isinstance(business.product, str)
    shop.api.products.features.create(business.product, {"entitlement_feature": shared})
    a_feature(shop, "chat", pro.product)
    a_feature(shop, "sso", business.product)
    customer = shop.customer().id
    subscription = shop.subscribe(customer, pro.id)
    assert keys(shop, customer) == {"api", "chat"}
    item = subscription["items"].data[0].id
    shop.api.subscriptions.update(subscription.id, {"items": [{"id": item, "price": business.id}]})
    assert keys(shop, customer) == {"api", "sso"}


def test_nothing_is_granted_before_the_first_payment(shop: Shop) -> None:
    """[INF] trialing, active and past due entitle; incomplete does not."""
    price = shop.price()
    a_feature(shop, "sso", price.product)
    customer = shop.customer("pm_card_chargeCustomerFail").id
    assert shop.subscribe(customer, price.id).status == "incomplete"
    assert keys(shop, customer) == set()
    trying = shop.customer(card=None).id
    shop.subscribe(trying, price.id, trial_period_days=14)
    assert keys(shop, trying) == {"sso"}


def test_no_more_than_ten_are_in_the_summary(shop: Shop) -> None:
    """docs.stripe.com/billing/entitlements: the event's list holds ten; the rest is listed."""
    price = shop.price()
    for number in range(12):
        a_feature(shop, f"feature-{number}", price.product)
    customer = shop.customer().id
    shop.subscribe(customer, price.id)
    summed = shop.last_event(SUMMARY)["data"]["object"]["entitlements"]
    assert (len(summed["data"]), summed["has_more"]) == (10, True)
    assert len(list(shop.api.entitlements.active_entitlements.list({"customer": customer}).auto_paging_iter())) == 12


def test_features_are_unique_archived_attached_once_and_detached(shop: Shop) -> None:
    """docs.stripe.com/api/entitlements/feature; docs.stripe.com/api/product-feature."""
    price = shop.price()
    assert isinstance(price.product, str)
    feature = a_feature(shop, "sso")
    attached = shop.api.products.features.create(price.product, {"entitlement_feature": feature})
    assert attached.entitlement_feature.lookup_key == "sso"
    assert [found.id for found in shop.api.products.features.list(price.product).data] == [attached.id]
    for again in (
        lambda: a_feature(shop, "sso"),
        lambda: shop.api.products.features.create(price.product, {"entitlement_feature": feature}),
    ):
        with pytest.raises(stripe.InvalidRequestError):
            again()
    assert shop.api.products.features.delete(price.product, attached.id).deleted
    assert shop.api.products.features.list(price.product).data == []
    shop.api.entitlements.features.update(feature, {"active": False, "name": "Single sign-on"})
    assert shop.api.entitlements.features.list().data == []
    (archived,) = shop.api.entitlements.features.list({"archived": True, "lookup_key": "sso"}).data
    assert archived.name == "Single sign-on"
    with pytest.raises(stripe.InvalidRequestError, match="archived"):
        shop.api.products.features.create(price.product, {"entitlement_feature": feature})

"""
What a customer is entitled to: the features of the products they are subscribed to.

Looked at again whenever one of their subscriptions changes. See https://docs.stripe.com/billing/entitlements
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.events import follow
from stripe_emulator.ids import new_id
from stripe_emulator.rendering import as_list, public
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

ENTITLEMENT = "entitlements.active_entitlement"
ENTITLING = ("trialing", "active", "past_due")
MOST_IN_SUMMARY = 10


def active(engine: Engine, customer: str) -> list[Json]:
    """A customer's active entitlements, newest first."""
    return [found for found in engine.store.scan(ENTITLEMENT) if found["_customer"] == customer]


def review(engine: Engine, subscription: Json) -> None:
    """Grant and withdraw what a change of a subscription grants and withdraws, and say so in one summary."""
    customer = subscription["customer"]
    before = active(engine, customer)
    wanted = _wanted(engine, customer)
    held = {entitlement["feature"] for entitlement in before}
    if held == set(wanted):
        return
    for entitlement in before:
        if entitlement["feature"] not in wanted:
            engine.store.remove(entitlement["id"])
    for feature in wanted:
        if feature not in held:
            engine.store.add(
                {
                    "id": new_id("ent_test"),
                    "object": ENTITLEMENT,
                    "feature": feature,
                    "livemode": False,
                    "lookup_key": engine.find("entitlements.feature", feature)["lookup_key"],
                    "_customer": customer,
                }
            )
    summary: Json = {
        "object": "entitlements.active_entitlement_summary",
        "customer": customer,
        "entitlements": _summed(customer, active(engine, customer)),
        "livemode": False,
        "_clock": subscription["test_clock"],
    }
    engine.emit("entitlements.active_entitlement_summary.updated", summary, {"entitlements": _summed(customer, before)})


def _wanted(engine: Engine, customer: str) -> list[str]:
    products = {
        engine.find("price", item["price"])["product"]
        for subscription in engine.store.of_customer("subscription", customer)
        if subscription["status"] in ENTITLING
        for item in subscription["items"]
    }
    attached = [found for found in engine.store.scan("product_feature") if found["_product"] in products]
    return list(dict.fromkeys(found["_feature"] for found in reversed(attached)))


def _summed(customer: str, entitlements: list[Json]) -> Json:
    shown = [public(entitlement) for entitlement in entitlements[:MOST_IN_SUMMARY]]
    return as_list(shown, f"/v1/customer/{customer}/entitlements", has_more=len(entitlements) > MOST_IN_SUMMARY)


follow("customer.subscription.", review)

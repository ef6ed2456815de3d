"""
Plans: the old name of recurring prices.

A plan and its price are one object under one id. See https://docs.stripe.com/api/plans
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import show
from stripe_emulator.resources import prices, products
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A plan of a product, existing or described; its price comes with it."""
    product = params.get("product")
    if isinstance(product, Params):
        product = products.make(engine, product)["id"]
    elif product is None or engine.store.get(product, "product") is None:
        raise no_such("product", str(product), param="product")
    recurring = {
        name: params[name]
        for name in ("interval", "interval_count", "trial_period_days", "usage_type")
        if name in params
    }
    amount = {f"unit_{name}": params[name] for name in ("amount", "amount_decimal") if name in params}
    described = {name: params[name] for name in ("currency", "active", "metadata", "nickname") if name in params}
    price = prices.make(engine, Params({**described, **amount, "recurring": Params(recurring)}), str(product))
    plan = prices.plan_of(price)
    engine.emit("plan.created", plan)
    return plan


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One plan."""
    return prices.plan_of(_price(engine, ids[0]))


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its activity, nickname and metadata."""
    price = _price(engine, ids[0])
    before = show(engine, prices.plan_of(price))
    with engine.changing(price, "price.updated"):
        if "active" in params:
            price["active"] = params["active"]
        if "nickname" in params:
            price["nickname"] = params["nickname"] or None
        price["metadata"] = merged(price["metadata"], params)
    plan = prices.plan_of(price)
    previous = {name: before[name] for name in before if before[name] != plan[name]}
    if previous:
        engine.emit("plan.updated", plan, previous)
    return plan


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Nobody can subscribe to it any more; who does stays. Its price is archived."""
    price = _price(engine, ids[0])
    engine.emit("plan.deleted", prices.plan_of(price))
    with engine.changing(price, "price.updated"):
        price["active"] = False
        price["_plan_deleted"] = True
    return {"id": price["id"], "object": "plan", "deleted": True}


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Plans by product and activity."""
    product, active = params.get("product"), params.get("active")
    return [
        prices.plan_of(price)
        for price in engine.store.scan("price")
        if _has_plan(price) and product in (None, price["product"]) and active in (None, price["active"])
    ]


def _price(engine: Engine, id: str) -> Json:
    price = engine.store.get(id, "price")
    if price is None or not _has_plan(price):
        raise no_such("plan", id, param="plan")
    return price


def _has_plan(price: Json) -> bool:
    return price["recurring"] is not None and not price.get("_plan_deleted")


ROUTES = [
    Route("POST", "/v1/plans", create, "PlanCreateParams"),
    Route("GET", "/v1/plans", listing, "PlanListParams"),
    Route("GET", "/v1/plans/{id}", retrieve, "PlanRetrieveParams"),
    Route("POST", "/v1/plans/{id}", update, "PlanUpdateParams"),
    Route("DELETE", "/v1/plans/{id}", delete, "PlanDeleteParams"),
]

"""Coupons: what is taken off and for how long. Promotion codes hand them out; discounts are their use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing.discounts import is_valid
from stripe_emulator.ids import token
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import includes, public, renders
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

MAX_NAME = 40


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A coupon of a percentage or of an amount, for once, for some months or forever."""
    id = params.get("id") or token(8)
    old = engine.store.get(id)
    if old is not None and not (old["object"] == "coupon" and old.get("_deleted")):
        raise invalid("Coupon already exists.", param="id", code="resource_already_exists")
    amount, percent = _value(params)
    duration = params.get("duration", "once")
    currency = params.get("currency")
    coupon: Json = {
        **nulls("coupon"),
        "id": id,
        "object": "coupon",
        "amount_off": amount,
        "created": engine.now(),
        "currency": currency.lower() if currency and amount is not None else None,
        "duration": duration,
        "duration_in_months": _months(params, duration),
        "livemode": False,
        "max_redemptions": _at_least_one(params, "max_redemptions"),
        "metadata": params.get("metadata") or {},
        "name": _name(params),
        "percent_off": percent,
        "redeem_by": _future(engine, params, "redeem_by"),
        "times_redeemed": 0,
        "valid": True,
        "_applies_to": _applies_to(engine, params),
        "_currency_options": params.plain("currency_options"),
    }
    if old is None:
        engine.store.add(coupon)
    else:
        old.clear()
        old.update(coupon)
    engine.emit("coupon.created", coupon)
    return coupon


def find(engine: Engine, id: str, *, param: str = "id") -> Json:
    """A coupon that has not been deleted, or Stripe's answer that there is none."""
    coupon = engine.store.get(id, "coupon")
    if coupon is None or coupon.get("_deleted"):
        raise no_such("coupon", id, param=param)
    return coupon


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One coupon."""
    return find(engine, ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its name, its metadata and its amounts in further currencies; nothing else ever changes."""
    coupon = find(engine, ids[0])
    with engine.changing(coupon, "coupon.updated"):
        if "name" in params:
            coupon["name"] = _name(params)
        if "currency_options" in params:
            coupon["_currency_options"] = {
                **(coupon["_currency_options"] or {}),
                **(params.plain("currency_options") or {}),
            }
        coupon["metadata"] = merged(coupon["metadata"], params)
    return coupon


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Nobody can redeem it any more; discounts made of it stay."""
    coupon = find(engine, ids[0])
    engine.emit("coupon.deleted", coupon)
    coupon["_deleted"] = True
    return {"id": coupon["id"], "object": "coupon", "deleted": True}


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Every coupon that has not been deleted."""
    return [coupon for coupon in engine.store.scan("coupon") if not coupon.get("_deleted")]


def _value(params: Params) -> tuple[int | None, float | None]:
    amount, percent = params.get("amount_off"), params.get("percent_off")
    if (amount is None) == (percent is None):
        raise invalid("You must pass exactly one of percent_off and amount_off.", param="percent_off")
    if amount is not None:
        if "currency" not in params:
            raise invalid("You must pass currency when passing amount_off.", param="currency", code="parameter_missing")
        if amount < 1:
            raise invalid("This value must be greater than or equal to 1.", param="amount_off")
        return int(amount), None
    if not 0 < percent <= 100:
        raise invalid("Invalid decimal: must be between 0.01 and 100", param="percent_off")
    return None, float(percent)


def _months(params: Params, duration: str) -> int | None:
    months = params.get("duration_in_months")
    if duration == "repeating":
        if months is None:
            raise invalid(
                "You must pass duration_in_months when duration is repeating.",
                param="duration_in_months",
                code="parameter_missing",
            )
        return _at_least_one(params, "duration_in_months")
    if months is not None:
        raise invalid("You can't pass duration_in_months unless duration is repeating.", param="duration_in_months")
    return None


def _at_least_one(params: Params, name: str) -> int | None:
    value = params.get(name)
    if value is not None and value < 1:
        raise invalid("This value must be greater than or equal to 1.", param=name)
    return None if value is None else int(value)


def _future(engine: Engine, params: Params, name: str) -> int | None:
    moment = params.get(name)
    if moment is not None and moment <= engine.now():
        raise invalid("Timestamp must be in the future.", param=name)
    return None if moment is None else int(moment)


def _name(params: Params) -> str | None:
    name = params.get("name") or None
    if name is not None and len(name) > MAX_NAME:
        raise invalid(f"Invalid string: must be at most {MAX_NAME} characters", param="name")
    return name


def _applies_to(engine: Engine, params: Params) -> Json | None:
    sent = params.at("applies_to")
    products = sent.get("products")
    if not products:
        return None
    for position, product in enumerate(products):
        if engine.store.get(product, "product") is None:
            raise no_such("product", product, param=f"applies_to[products][{position}]")
    return {"products": list(products)}


@renders("coupon")
def show_coupon(engine: Engine, coupon: Json) -> Json:
    """With what its redemptions and the time have made of its validity."""
    if coupon.get("deleted"):
        return coupon
    return {**public(coupon), "valid": is_valid(engine, coupon)}


@includes("coupon", "applies_to")
def show_applies_to(engine: Engine, coupon: Json) -> Json | None:
    """The products it is for; null when for all."""
    return public(coupon["_applies_to"]) if coupon["_applies_to"] else None


@includes("coupon", "currency_options")
def show_currency_options(engine: Engine, coupon: Json) -> Json | None:
    """What it takes off in further currencies."""
    return public(coupon["_currency_options"]) if coupon["_currency_options"] else None


ROUTES = [
    Route("POST", "/v1/coupons", create, "CouponCreateParams"),
    Route("GET", "/v1/coupons", listing, "CouponListParams"),
    Route("GET", "/v1/coupons/{id}", retrieve, "CouponRetrieveParams"),
    Route("POST", "/v1/coupons/{id}", update, "CouponUpdateParams"),
    Route("DELETE", "/v1/coupons/{id}", delete, "CouponDeleteParams"),
]

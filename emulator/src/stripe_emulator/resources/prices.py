"""Prices: fixed once made, found by lookup key, archived rather than deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources.metadata import merged
from stripe_emulator.resources.price_currencies import read_options
from stripe_emulator.resources.price_tiers import amount_in, read_tiers
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A price of a product, existing or described in `product_data`."""
    product = _product(engine, params)
    return make(engine, params, product)


def make(engine: Engine, params: Params, product: str, *, active: bool | None = None) -> Json:
    """Store a price as described, also one from a `price_data`."""
    scheme, tiers = params.get("billing_scheme", "per_unit"), read_tiers(params)
    amount, decimal = amount_in(params) if scheme == "per_unit" else (None, None)
    recurring = _recurring(params)
    if recurring is not None and recurring["meter"] is not None:
        engine.find("billing.meter", recurring["meter"], param="recurring[meter]")
    price: Json = {
        **nulls("price"),
        "id": new_id("price"),
        "object": "price",
        "active": params.get("active", True) if active is None else active,
        "billing_scheme": scheme,
        "created": engine.now(),
        "currency": params["currency"].lower(),
        "livemode": False,
        "metadata": params.get("metadata") or {},
        "nickname": params.get("nickname"),
        "product": product,
        "recurring": recurring,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": params.get("tiers_mode"),
        "transform_quantity": params.plain("transform_quantity"),
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": decimal,
        "_tiers": tiers,
        "_currency_options": read_options(params, currency=params["currency"].lower(), scheme=scheme),
    }
    key = params.get("lookup_key")
    if key is not None:
        _take_lookup_key(engine, key, transfer=params.get("transfer_lookup_key", False))
        price["lookup_key"] = key
    else:
        params.ignore("transfer_lookup_key")
    engine.store.add(price)
    engine.emit("price.created", price)
    return price


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One price."""
    return engine.find("price", ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Everything but its amount, currency and interval; further currencies can be added, and change."""
    price = engine.find("price", ids[0])
    with engine.changing(price, "price.updated"):
        for name in ("active", "tax_behavior"):
            if name in params:
                price[name] = params[name]
        if "nickname" in params:
            price["nickname"] = params["nickname"] or None
        price["metadata"] = merged(price["metadata"], params)
        if "lookup_key" in params:
            key = params["lookup_key"] or None
            if key is not None and key != price["lookup_key"]:
                _take_lookup_key(engine, key, transfer=params.get("transfer_lookup_key", False))
            price["lookup_key"] = key
        params.ignore("transfer_lookup_key")
    sent = read_options(params, currency=price["currency"], scheme=price["billing_scheme"])
    if sent:
        price["_currency_options"] = {**(price.get("_currency_options") or {}), **sent}
        engine.emit("price.updated", price)  # which shows nothing of it: expanding does
    return price


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Prices by product, activity, currency, type and lookup keys."""
    keys = params.get("lookup_keys")
    if keys is not None and len(keys) > 10:
        raise invalid("You may specify at most 10 lookup_keys.", param="lookup_keys")
    interval_wanted = params.at("recurring").get("interval")
    wanted = {name: params.get(name) for name in ("active", "product", "currency", "type")}
    found = []
    for price in engine.store.scan("price"):
        interval = (price["recurring"] or {}).get("interval")
        if (
            all(value in (None, price[name]) for name, value in wanted.items())
            and (keys is None or price["lookup_key"] in keys)
            and interval_wanted in (None, interval)
        ):
            found.append(price)
    return found


def usable(engine: Engine, id: str, *, param: str, recurring: bool | None = None) -> Json:
    """A price that may be sold: it exists and is active."""
    price = engine.store.get(id, "price")
    if price is None:
        raise no_such("price", id, param=param)
    if not price["active"]:
        raise invalid("The price specified is inactive. This field only accepts active prices.", param=param)
    if recurring and price["recurring"] is None:
        raise invalid(
            "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.",
            param=param,
        )
    return price


def from_data(engine: Engine, data: Params) -> Json:
    """The inactive, unlisted price an inline `price_data` makes."""
    return make(engine, data, _product(engine, data), active=False)


def plan_of(price: Json) -> Json:
    """The old form of a recurring price, which subscription items still carry."""
    recurring = price["recurring"]
    return {
        **nulls("plan"),
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "usage_type": recurring["usage_type"],
    }


def _product(engine: Engine, params: Params) -> str:
    product = params.get("product")
    data = params.at("product_data")
    if product is not None:
        found = engine.store.get(product, "product")
        if found is None:
            raise no_such("product", product, param=params.name_of("product"))
        return str(product)
    if not data:
        raise invalid(
            "You must specify either `product` or `product_data` when creating a price.",
            param=params.name_of("product"),
            code="parameter_missing",
        )
    from stripe_emulator.resources.products import make as make_product

    return str(make_product(engine, data)["id"])


def _recurring(params: Params) -> Json | None:
    sent = params.at("recurring")
    if not sent:
        return None
    usage, meter = sent.get("usage_type", "licensed"), sent.get("meter")
    if (usage == "metered") != (meter is not None):
        raise invalid(
            "You must specify a meter for a price with usage_type=metered, and only for one.",
            param=sent.name_of("meter"),
        )
    return {
        "interval": sent["interval"],
        "interval_count": sent.get("interval_count", 1),
        "meter": meter,
        "trial_period_days": sent.get("trial_period_days"),
        "usage_type": usage,
    }


def _take_lookup_key(engine: Engine, key: str, *, transfer: bool) -> None:
    holder = next((price for price in engine.store.scan("price") if price["lookup_key"] == key), None)
    if holder is None:
        return
    if not transfer:
        raise invalid(
            f"A price (`{holder['id']}`) already uses that lookup key. "
            "You may set `transfer_lookup_key=true` to transfer it to the new price.",
            param="lookup_key",
        )
    with engine.changing(engine.find("price", holder["id"]), "price.updated") as loser:
        loser["lookup_key"] = None


ROUTES = [
    Route("POST", "/v1/prices", create, "PriceCreateParams"),
    Route("GET", "/v1/prices", listing, "PriceListParams"),
    Route("GET", "/v1/prices/{id}", retrieve, "PriceRetrieveParams"),
    Route("POST", "/v1/prices/{id}", update, "PriceUpdateParams"),
]

"""Products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import prices
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A product, with `default_price_data` also its price."""
    product = make(engine, params)
    data = params.at("default_price_data")
    if data:
        product["default_price"] = prices.make(engine, data, product["id"])["id"]
    return product


def make(engine: Engine, params: Params) -> Json:
    """Store a product as described, also one from a `product_data`."""
    id = params.get("id") or new_id("prod")
    if engine.store.get(id) is not None:
        raise invalid("Product already exists.", param="id", code="resource_already_exists")
    product: Json = {
        **nulls("product"),
        "id": id,
        "object": "product",
        "active": params.get("active", True),
        "created": engine.now(),
        "description": params.get("description") or None,
        "images": params.get("images") or [],
        "livemode": False,
        "marketing_features": params.plain("marketing_features") or [],
        "metadata": params.get("metadata") or {},
        "name": params["name"],
        "package_dimensions": params.plain("package_dimensions"),
        "shippable": params.get("shippable"),
        "statement_descriptor": params.get("statement_descriptor"),
        "tax_code": params.get("tax_code"),
        "type": params.get("type", "service"),
        "unit_label": params.get("unit_label"),
        "updated": engine.now(),
        "url": params.get("url"),
    }
    engine.store.add(product)
    engine.emit("product.created", product)
    return product


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One product."""
    return engine.find("product", ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Any of its fields."""
    product = engine.find("product", ids[0])
    with engine.changing(product, "product.updated"):
        for name in ("active", "name", "shippable"):
            if name in params:
                product[name] = params[name]
        for name in ("description", "statement_descriptor", "tax_code", "unit_label", "url"):
            if name in params:
                product[name] = params[name] or None
        for name in ("images", "marketing_features"):
            if name in params:
                product[name] = params.plain(name) or []
        if "default_price" in params:
            price = engine.store.get(params["default_price"], "price")
            if price is None or price["product"] != product["id"]:
                raise no_such("price", params["default_price"], param="default_price")
            product["default_price"] = price["id"]
        product["metadata"] = merged(product["metadata"], params)
        product["updated"] = engine.now()
    return product


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Gone, unless it has prices."""
    product = engine.find("product", ids[0])
    if any(price["product"] == product["id"] for price in engine.store.scan("price")):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    engine.emit("product.deleted", product)
    engine.store.remove(product["id"])
    return {"id": product["id"], "object": "product", "deleted": True}


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Products by activity, ids, shippability and url."""
    ids_wanted = params.get("ids")
    wanted = {name: params.get(name) for name in ("active", "shippable", "url")}
    return [
        product
        for product in engine.store.scan("product")
        if (ids_wanted is None or product["id"] in ids_wanted)
        and all(value in (None, product[name]) for name, value in wanted.items())
    ]


ROUTES = [
    Route("POST", "/v1/products", create, "ProductCreateParams"),
    Route("GET", "/v1/products", listing, "ProductListParams"),
    Route("GET", "/v1/products/{id}", retrieve, "ProductRetrieveParams"),
    Route("POST", "/v1/products/{id}", update, "ProductUpdateParams"),
    Route("DELETE", "/v1/products/{id}", delete, "ProductDeleteParams"),
]

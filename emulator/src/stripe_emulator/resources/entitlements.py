"""Entitlements: features, the products they are attached to, and what a customer is entitled to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing.entitlements import active
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import public, renders, show
from stripe_emulator.resources import customers
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

FEATURE = "entitlements.feature"
MAX_LENGTH = 80


def create_feature(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A feature; its lookup key is its own for good."""
    key, name = params["lookup_key"], params["name"]
    for field, value in (("lookup_key", key), ("name", name)):
        if len(value) > MAX_LENGTH:
            raise invalid(f"Invalid string: must be at most {MAX_LENGTH} characters", param=field)
    if any(feature["lookup_key"] == key for feature in engine.store.scan(FEATURE)):
        raise invalid(
            f"A feature with the lookup key `{key}` already exists.",
            param="lookup_key",
            code="resource_already_exists",
        )
    return engine.store.add(
        {
            "id": new_id("feat_test"),
            "object": FEATURE,
            "active": True,
            "livemode": False,
            "lookup_key": key,
            "metadata": params.get("metadata") or {},
            "name": name,
        }
    )


def retrieve_feature(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One feature."""
    return engine.find(FEATURE, ids[0])


def update_feature(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its name and metadata; an archived one can't be attached any more."""
    feature = engine.find(FEATURE, ids[0])
    for name in ("active", "name"):
        if name in params:
            feature[name] = params[name]
    feature["metadata"] = merged(feature["metadata"], params)
    return feature


def list_features(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Features by lookup key; archived ones only when asked for."""
    archived, key = params.get("archived", False), params.get("lookup_key")
    return [
        feature
        for feature in engine.store.scan(FEATURE)
        if feature["active"] is not archived and key in (None, feature["lookup_key"])
    ]


def attach(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Put a feature into a product; who has the product gets it with their subscription's next change."""
    product = engine.find("product", ids[0])
    feature = engine.store.get(params["entitlement_feature"], FEATURE)
    if feature is None:
        raise no_such("feature", params["entitlement_feature"], param="entitlement_feature")
    if not feature["active"]:
        raise invalid("An archived feature can't be attached to a product.", param="entitlement_feature")
    if any(found["_feature"] == feature["id"] for found in _attached(engine, product["id"])):
        raise invalid("This feature is already attached to the product.", param="entitlement_feature")
    return engine.store.add(
        {
            "id": new_id("prodft"),
            "object": "product_feature",
            "livemode": False,
            "_feature": feature["id"],
            "_product": product["id"],
        }
    )


def retrieve_attached(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One feature of a product."""
    return _find_attached(engine, ids)


def list_attached(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A product's features."""
    return _attached(engine, engine.find("product", ids[0])["id"])


def detach(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Take a feature out of a product."""
    found = _find_attached(engine, ids)
    engine.store.remove(found["id"])
    return {"id": found["id"], "object": "product_feature", "deleted": True}


def list_active(engine: Engine, ids: list[str], params: Params) -> Reply:
    """What a customer is entitled to."""
    return active(engine, customers.existing(engine, params["customer"], param="customer")["id"])


def retrieve_active(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One active entitlement."""
    return engine.find("entitlements.active_entitlement", ids[0])


def _attached(engine: Engine, product: str) -> list[Json]:
    return [found for found in engine.store.scan("product_feature") if found["_product"] == product]


def _find_attached(engine: Engine, ids: list[str]) -> Json:
    found = engine.store.get(ids[1], "product_feature")
    if found is None or found["_product"] != ids[0]:
        raise no_such("product feature", ids[1])
    return found


@renders("product_feature")
def show_product_feature(engine: Engine, attached: Json) -> Json:
    """With its feature in full."""
    if attached.get("deleted"):
        return attached
    return {**public(attached), "entitlement_feature": show(engine, engine.find(FEATURE, attached["_feature"]))}


ROUTES = [
    Route("POST", "/v1/entitlements/features", create_feature, "entitlements.FeatureCreateParams"),
    Route("GET", "/v1/entitlements/features", list_features, "entitlements.FeatureListParams"),
    Route("GET", "/v1/entitlements/features/{id}", retrieve_feature, "entitlements.FeatureRetrieveParams"),
    Route("POST", "/v1/entitlements/features/{id}", update_feature, "entitlements.FeatureUpdateParams"),
    Route("GET", "/v1/entitlements/active_entitlements", list_active, "entitlements.ActiveEntitlementListParams"),
    Route(
        "GET",
        "/v1/entitlements/active_entitlements/{id}",
        retrieve_active,
        "entitlements.ActiveEntitlementRetrieveParams",
    ),
    Route("POST", "/v1/products/{id}/features", attach, "ProductFeatureCreateParams"),
    Route("GET", "/v1/products/{id}/features", list_attached, "ProductFeatureListParams"),
    Route("GET", "/v1/products/{id}/features/{feature}", retrieve_attached, "ProductFeatureRetrieveParams"),
    Route("DELETE", "/v1/products/{id}/features/{feature}", detach, "ProductFeatureDeleteParams"),
]

"""Billing portal configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

OFF: Json = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "feedback_options": None, "options": []},
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_pause": {
        "duration": {"interval_options": [{"interval": "month", "interval_count": 1}], "type": "interval_options"},
        "enabled": False,
    },
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": [],
        "enabled": False,
        "products": None,
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}

DASHBOARD: Json = {
    "customer_update": {"allowed_updates": ["name", "email", "address", "phone", "tax_id"], "enabled": True},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True},
}
"""What the Dashboard has switched on when the settings are first saved."""


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A configuration; features not named are off."""
    configuration = _new(engine)
    _apply(engine, configuration, params)
    engine.store.add(configuration)
    engine.emit("billing_portal.configuration.created", configuration)
    return configuration


def save_default(engine: Engine) -> Json:
    """The account's default one, as saving the portal's settings in the Dashboard makes it. There is only one."""
    for configuration in engine.store.scan("billing_portal.configuration"):
        if configuration["is_default"]:
            return configuration
    configuration = _new(engine)
    configuration["is_default"] = True
    configuration["features"] = _merge(OFF, DASHBOARD)
    engine.store.add(configuration)
    engine.emit("billing_portal.configuration.created", configuration)
    return configuration


def _new(engine: Engine) -> Json:
    now = engine.now()
    return {
        **nulls("billing_portal.configuration"),
        "id": new_id("bpc"),
        "object": "billing_portal.configuration",
        "active": True,
        "business_profile": {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        "created": now,
        "features": _merge(OFF, {}),
        "is_default": False,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": {},
        "updated": now,
    }


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One configuration."""
    return find(engine, ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Any of it; features are merged."""
    configuration = find(engine, ids[0])
    with engine.changing(configuration, "billing_portal.configuration.updated"):
        if "active" in params:
            configuration["active"] = params["active"]
        _apply(engine, configuration, params)
        configuration["updated"] = engine.now()
    return configuration


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Configurations by activity and whether they are the default."""
    wanted = {name: params.get(name) for name in ("active", "is_default")}
    return [
        configuration
        for configuration in engine.store.scan("billing_portal.configuration")
        if all(value in (None, configuration[name]) for name, value in wanted.items())
    ]


def find(engine: Engine, id: str, *, param: str = "id") -> Json:
    """The configuration, or Stripe's answer that there is none."""
    return engine.find("billing_portal.configuration", id, noun="configuration", param=param)


def _apply(engine: Engine, configuration: Json, params: Params) -> None:
    if "features" in params:
        _check_features(engine, params.at("features"))
        merged_features = _merge(configuration["features"], params.plain("features") or {})
        configuration["features"] = {**merged_features, "subscription_pause": _pause(merged_features)}
    profile = params.plain("business_profile")
    if profile:
        for name, value in profile.items():
            configuration["business_profile"][name] = value or None
    for name in ("default_return_url", "name"):
        if name in params:
            configuration[name] = params[name] or None
    login = params.at("login_page")
    if "enabled" in login:
        configuration["login_page"] = {
            "enabled": login["enabled"],
            "url": f"{engine.base_url}/p/login/{configuration['id']}" if login["enabled"] else None,
        }
    configuration["metadata"] = merged(configuration["metadata"], params)


def _pause(features: Json) -> Json:
    """
    The feature `subscription_pause`: a choice of durations has some, an indefinite pause has none.

    Nothing is known of what Stripe does when a duration chosen in the portal is over, so it is not offered here.
    """
    pause: Json = features["subscription_pause"]
    if pause["duration"]["type"] == "indefinite":
        return {**pause, "duration": {"interval_options": [], "type": "indefinite"}}
    param = "features[subscription_pause][duration][interval_options]"
    options = [{"interval_count": 1, **each} for each in pause["duration"]["interval_options"]]
    if not options:
        raise invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
    if pause["enabled"]:
        raise invalid("stripe_emulator has no portal pauses but indefinite ones", param=param)
    return {**pause, "duration": {"interval_options": options, "type": "interval_options"}}


def _check_features(engine: Engine, features: Params) -> None:
    products = features.at("subscription_update").get("products") or []
    for product in products if isinstance(products, list) else []:
        if engine.store.get(product["product"], "product") is None:
            raise no_such("product", product["product"], param=product.name_of("product"))
        seen: set[tuple[str, int]] = set()
        for id in product["prices"]:
            price = engine.store.get(id, "price")
            if price is None or price["product"] != product["product"]:
                raise no_such("price", id, param=product.name_of("prices"))
            interval = (price["recurring"]["interval"], price["recurring"]["interval_count"])
            if interval in seen:
                raise invalid(
                    "You can't have two prices of one product with the same interval in the portal.",
                    param=product.name_of("prices"),
                )
            seen.add(interval)


def _merge(current: Json, sent: Json) -> Json:
    """Objects are merged, everything else is replaced; '' and nothing are null; the SDK's own keys only."""
    both: dict[str, Any] = {}
    for key in {**current, **sent}:
        old, new = current.get(key), sent.get(key, current.get(key))
        if isinstance(old, dict) and isinstance(new, dict):
            both[key] = _merge(old, new)
        elif key == "products" and isinstance(new, list):
            both[key] = [_product(product) for product in new]
        elif isinstance(old, list) and new in (None, ""):
            both[key] = []
        else:
            both[key] = None if new == "" else new
    return both


def _product(product: Json) -> Json:
    adjustable = product.get("adjustable_quantity") or {}
    return {
        "adjustable_quantity": {
            "enabled": adjustable.get("enabled", False),
            "maximum": adjustable.get("maximum"),
            "minimum": adjustable.get("minimum", 1),
        },
        "prices": product["prices"],
        "product": product["product"],
    }


ROUTES = [
    Route("POST", "/v1/billing_portal/configurations", create, "billing_portal.ConfigurationCreateParams"),
    Route("GET", "/v1/billing_portal/configurations", listing, "billing_portal.ConfigurationListParams"),
    Route("GET", "/v1/billing_portal/configurations/{id}", retrieve, "billing_portal.ConfigurationRetrieveParams"),
    Route("POST", "/v1/billing_portal/configurations/{id}", update, "billing_portal.ConfigurationUpdateParams"),
]

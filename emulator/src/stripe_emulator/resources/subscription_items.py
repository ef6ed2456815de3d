"""
Subscription items on their own: each call is the update of its subscription by another name.

See https://docs.stripe.com/api/subscription_items
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources import subscription_updates
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

OF_THE_ITEM = ("price", "price_data", "quantity", "metadata", "discounts")
OF_THE_UPDATE = ("payment_behavior", "proration_behavior", "proration_date")


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Another item, debited for the rest of the period."""
    subscription = engine.find("subscription", params["subscription"], param="subscription")
    before = {item["id"] for item in subscription["items"]}
    _update(engine, subscription, _taken(params, OF_THE_ITEM), params)
    made: Json | None = next((item for item in subscription["items"] if item["id"] not in before), None)
    if made is None:
        raise invalid(
            "stripe_emulator can't say which item this makes while the subscription waits for its payment; update "
            "the subscription instead.",
            code="emulator_unsupported",
        )
    return made


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """The items of a subscription, in its order."""
    subscription = engine.find("subscription", params["subscription"], param="subscription")
    return list(reversed(subscription["items"]))


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One item."""
    return _find(engine, ids[0])[1]


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its price, quantity, discounts and metadata, prorated."""
    subscription, _ = _find(engine, ids[0])
    params.ignore("off_session")
    _update(engine, subscription, {"id": ids[0], **_taken(params, OF_THE_ITEM)}, params)
    return _find(engine, ids[0])[1]


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Take it off its subscription; the time that is left is credited. The last one can't go."""
    subscription, _ = _find(engine, ids[0])
    params.ignore("clear_usage")
    _update(engine, subscription, {"id": ids[0], "deleted": True}, params)
    return {"id": ids[0], "object": "subscription_item", "deleted": True}


def _update(engine: Engine, subscription: Json, item: dict[str, Any], params: Params) -> None:
    sent = {"items": [Params(item)], **_taken(params, OF_THE_UPDATE)}
    subscription_updates.update(engine, [subscription["id"]], Params(sent))


def _taken(params: Params, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: params[name] for name in names if name in params}


def _find(engine: Engine, id: str) -> tuple[Json, Json]:
    for found in engine.store.scan("subscription"):
        if any(item["id"] == id for item in found["items"]):
            subscription = engine.find("subscription", found["id"])
            return subscription, next(item for item in subscription["items"] if item["id"] == id)
    raise no_such("subscription_item", id)


ROUTES = [
    Route("POST", "/v1/subscription_items", create, "SubscriptionItemCreateParams"),
    Route("GET", "/v1/subscription_items", listing, "SubscriptionItemListParams"),
    Route("GET", "/v1/subscription_items/{id}", retrieve, "SubscriptionItemRetrieveParams"),
    Route("POST", "/v1/subscription_items/{id}", update, "SubscriptionItemUpdateParams"),
    Route("DELETE", "/v1/subscription_items/{id}", delete, "SubscriptionItemDeleteParams", shown=True),
]

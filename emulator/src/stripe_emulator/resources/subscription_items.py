"""Subscription items on their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import no_such
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """The items of a subscription, in its order."""
    subscription = engine.find("subscription", params["subscription"], param="subscription")
    return list(reversed(subscription["items"]))


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One item."""
    return _find(engine, ids[0])


def _find(engine: Engine, id: str) -> Json:
    for subscription in engine.store.scan("subscription"):
        for item in subscription["items"]:
            if item["id"] == id:
                found: Json = item
                return found
    raise no_such("subscription_item", id)


ROUTES = [
    Route("GET", "/v1/subscription_items", listing, "SubscriptionItemListParams"),
    Route("GET", "/v1/subscription_items/{id}", retrieve, "SubscriptionItemRetrieveParams"),
]

"""Webhook endpoints; the secret is shown once, when one is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import public
from stripe_emulator.resources.metadata import merged
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

MAX_ENDPOINTS = 16


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """An endpoint and its secret."""
    version = params.get("api_version", engine.api_version)
    if version != engine.api_version:
        raise invalid(f"stripe_emulator sends {engine.api_version} only", param="api_version")
    params.ignore("connect", "expand")
    endpoint = make(
        engine, params["url"], enabled_events=params["enabled_events"], api_version=params.get("api_version")
    )
    endpoint["description"] = params.get("description") or None
    endpoint["metadata"] = params.get("metadata") or {}
    return {**public(endpoint), "secret": endpoint["_secrets"][0]}


def make(
    engine: Engine,
    url: str,
    *,
    secret: str | None = None,
    enabled_events: list[str] | None = None,
    api_version: str | None = None,
) -> Json:
    """Store an endpoint."""
    if not url.startswith(("http://", "https://")):
        raise invalid(
            "Invalid URL: An explicit scheme (such as https) must be provided.", param="url", code="url_invalid"
        )
    if engine.store.count("webhook_endpoint") >= MAX_ENDPOINTS:
        raise invalid(f"You have reached the maximum of {MAX_ENDPOINTS} test webhook endpoints.")
    return engine.store.add(
        {
            **nulls("webhook_endpoint"),
            "id": new_id("we"),
            "object": "webhook_endpoint",
            "api_version": api_version,
            "created": engine.now(),
            "enabled_events": enabled_events or ["*"],
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": url,
            "_secrets": [secret or new_id("whsec")],
        }
    )


def find_endpoint(engine: Engine, name: str) -> Json:
    """An endpoint by its id or its URL."""
    named = (one["id"] for one in engine.store.scan("webhook_endpoint") if name in (one["id"], one["url"]))
    return engine.find("webhook_endpoint", next(named, name))


def roll(engine: Engine, endpoint: Json, *, secret: str | None = None, expires_in: int = 0) -> str:
    """
    Give an endpoint a new secret; the one it had signs as well for so many seconds.

    Stripe has it in the Dashboard alone: at once, or after up to 24 hours. See
    https://docs.stripe.com/webhooks#roll-endpoint-secrets
    """
    former = {"secret": endpoint["_secrets"][0], "expires_at": engine.now() + expires_in}
    endpoint["_rolled"] = [former, *endpoint.get("_rolled", [])]
    endpoint["_secrets"] = [secret or new_id("whsec")]
    return str(endpoint["_secrets"][0])


def active_secrets(engine: Engine, endpoint: Json) -> list[str]:
    """Its secret and those before it that have not expired by the global clock, newest first."""
    now = engine.now()
    former = [one["secret"] for one in endpoint.get("_rolled", []) if one["expires_at"] > now]
    return [*endpoint["_secrets"], *former]


def former_secret(endpoint: Json) -> str | None:
    """The one before its secret, if it was ever rolled."""
    rolled = endpoint.get("_rolled", [])
    return rolled[0]["secret"] if rolled else None


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One endpoint, without its secret."""
    return engine.find("webhook_endpoint", ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its URL, events and whether it is disabled."""
    endpoint = engine.find("webhook_endpoint", ids[0])
    if "url" in params:
        endpoint["url"] = params["url"]
    if "enabled_events" in params:
        endpoint["enabled_events"] = params["enabled_events"]
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    if "description" in params:
        endpoint["description"] = params["description"] or None
    endpoint["metadata"] = merged(endpoint["metadata"], params)
    return endpoint


def delete(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Gone; what it has not taken is not sent any more."""
    endpoint = engine.find("webhook_endpoint", ids[0])
    engine.store.remove(endpoint["id"])
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Every endpoint."""
    return list(engine.store.scan("webhook_endpoint"))


ROUTES = [
    Route("POST", "/v1/webhook_endpoints", create, "WebhookEndpointCreateParams", shown=True),
    Route("GET", "/v1/webhook_endpoints", listing, "WebhookEndpointListParams"),
    Route("GET", "/v1/webhook_endpoints/{id}", retrieve, "WebhookEndpointRetrieveParams"),
    Route("POST", "/v1/webhook_endpoints/{id}", update, "WebhookEndpointUpdateParams"),
    Route("DELETE", "/v1/webhook_endpoints/{id}", delete, "WebhookEndpointDeleteParams"),
]

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

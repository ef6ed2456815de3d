"""What at Stripe is done in the Dashboard: webhook endpoints with their secrets, the portal's settings."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator.control.answers import engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.rendering import show
from stripe_emulator.resources import portal_configurations, webhook_endpoints
from stripe_emulator.state import Json


async def add_endpoint(request: Request, sent: Sent) -> Json:
    """A webhook endpoint with a secret of one's choice; one at the same `url` is replaced."""
    engine = engine_of(request)
    url, secret, enabled = sent.needed("url"), sent.text("secret"), sent.words("enabled_events") or ["*"]
    sent.refuse_unread()
    with engine.transaction():
        found = next((one for one in engine.store.scan("webhook_endpoint") if one["url"] == url), None)
        if found is None:
            endpoint = webhook_endpoints.make(engine, url, secret=secret, enabled_events=enabled)
        else:
            endpoint = engine.find("webhook_endpoint", found["id"])
            endpoint["enabled_events"] = enabled
            endpoint["_secrets"] = [secret] if secret else endpoint["_secrets"]
    return {"id": endpoint["id"], "url": endpoint["url"], "secret": endpoint["_secrets"][0]}


async def save_portal_default(request: Request, sent: Sent) -> Json:
    """Save the portal's settings; from then on sessions need no configuration."""
    engine = engine_of(request)
    sent.refuse_unread()
    with engine.transaction():
        configuration = portal_configurations.save_default(engine)
    return show(engine, configuration)


ROUTES = [
    route("POST", "endpoints", add_endpoint),
    route("POST", "portal/default", save_portal_default),
]

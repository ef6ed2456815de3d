"""What at Stripe is done in the Dashboard: webhook endpoints with their secrets, the portal's settings."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator.control.answers import engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.rendering import show
from stripe_emulator.resources import portal_configurations, webhook_endpoints
from stripe_emulator.settings import DAY
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
            if secret is not None:
                endpoint.update(_secrets=[secret], _rolled=[])
    return {"id": endpoint["id"], "url": endpoint["url"], "secret": endpoint["_secrets"][0]}


async def roll_secret(request: Request, sent: Sent) -> Json:
    """Give an endpoint a new `secret`; the one it had signs as well for `expires_in` seconds, at most a day."""
    engine = engine_of(request)
    secret, expires_in = sent.text("secret"), sent.whole("expires_in", 0, least=0, most=DAY)
    sent.refuse_unread()
    if secret is not None and not secret.startswith("whsec_"):
        raise invalid("A signing secret begins with whsec_.", param="secret")
    with engine.transaction():
        endpoint = webhook_endpoints.find_endpoint(engine, request.path_params["id"])
        webhook_endpoints.roll(engine, endpoint, secret=secret, expires_in=expires_in)
        active = webhook_endpoints.active_secrets(engine, endpoint)
    return {"id": endpoint["id"], "url": endpoint["url"], "secret": active[0], "active_secrets": len(active)}


async def save_portal_default(request: Request, sent: Sent) -> Json:
    """Save the portal's settings; from then on sessions need no configuration."""
    engine = engine_of(request)
    sent.refuse_unread()
    with engine.transaction():
        configuration = portal_configurations.save_default(engine)
    return show(engine, configuration)


ROUTES = [
    route("POST", "endpoints", add_endpoint),
    route("POST", "endpoints/{id:path}/roll", roll_secret),
    route("POST", "portal/default", save_portal_default),
]

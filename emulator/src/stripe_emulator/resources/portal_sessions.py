"""Billing portal sessions. What their page does is in `portal_page`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.clock import real_time
from stripe_emulator.ids import new_id, token
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import public, renders
from stripe_emulator.resources import customers, portal_configurations, portal_flows
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

UNUSED_FOR, IDLE_FOR = 300, 3600


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """
    A short-lived way into the portal for one customer.

    Without `configuration` the account's default one is used, which Stripe does not create by itself.
    """
    params.ignore("locale", "expand")
    if "customer" not in params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = customers.existing(engine, params["customer"], param="customer")
    configuration = _configuration(engine, params)
    session: Json = {
        **nulls("billing_portal.session"),
        "id": new_id("bps"),
        "object": "billing_portal.session",
        "configuration": configuration["id"],
        "created": engine.now(customer["test_clock"]),
        "customer": customer["id"],
        "flow": portal_flows.read(engine, params.at("flow_data"), configuration, customer),
        "livemode": False,
        "return_url": params.get("return_url") or configuration["default_return_url"],
        "url": "",
        "_secret": token(40),
        "_seen": real_time(),
        "_used": False,
        "_clock": customer["test_clock"],
    }
    engine.store.add(session)
    engine.emit("billing_portal.session.created", session)
    return session


def is_usable(session: Json) -> bool:
    """The address dies five minutes after it was made if nobody used it, else an hour after its last use."""
    return real_time() - int(session["_seen"]) <= (IDLE_FOR if session["_used"] else UNUSED_FOR)


def _configuration(engine: Engine, params: Params) -> Json:
    wanted = params.get("configuration")
    if wanted is not None:
        configuration = portal_configurations.find(engine, wanted, param="configuration")
        if not configuration["active"]:
            raise invalid("The configuration is not active.", param="configuration")
        return configuration
    for configuration in engine.store.scan("billing_portal.configuration"):
        if configuration["is_default"] and configuration["active"]:
            return configuration
    raise invalid(
        "No configuration provided and your test mode default configuration has not been created. Provide a "
        "configuration or create your default by saving your customer portal settings in test mode at "
        "https://dashboard.stripe.com/test/settings/billing/portal.",
    )


@renders("billing_portal.session")
def show_session(engine: Engine, session: Json) -> Json:
    """With its address."""
    return {**public(session), "url": f"{engine.base_url}/p/session/{session['_secret']}"}


ROUTES = [Route("POST", "/v1/billing_portal/sessions", create, "billing_portal.SessionCreateParams")]

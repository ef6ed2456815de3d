"""Tax rates: made, renamed, archived. What they add to what is in `billing/taxes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.resources.metadata import merged
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

TEXTS = ("country", "description", "jurisdiction", "state", "tax_type")


def create(engine: Engine, ids: list[str], params: Params) -> Reply:
    """A rate; its percentage and whether prices include it never change."""
    percentage = params["percentage"]
    if not 0 <= percentage <= 100:
        raise invalid("Invalid decimal: must be between 0 and 100", param="percentage")
    rate = engine.store.add(
        {
            **nulls("tax_rate"),
            "id": new_id("txr"),
            "object": "tax_rate",
            "active": params.get("active", True),
            "created": engine.now(),
            "display_name": params["display_name"],
            "inclusive": params["inclusive"],
            "livemode": False,
            "metadata": params.get("metadata") or {},
            "percentage": percentage,
            "rate_type": "percentage",
            **{name: params.get(name) or None for name in TEXTS},
        }
    )
    engine.emit("tax_rate.created", rate)
    return rate


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """One rate."""
    return engine.find("tax_rate", ids[0])


def update(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Its words, its metadata, and whether it may still be used."""
    rate = engine.find("tax_rate", ids[0])
    with engine.changing(rate, "tax_rate.updated"):
        for name in ("active", "display_name"):
            if name in params:
                rate[name] = params[name]
        for name in TEXTS:
            if name in params:
                rate[name] = params[name] or None
        rate["metadata"] = merged(rate["metadata"], params)
    return rate


def listing(engine: Engine, ids: list[str], params: Params) -> Reply:
    """Rates by activity and by whether prices include them."""
    wanted = {name: params.get(name) for name in ("active", "inclusive")}
    return [
        rate
        for rate in engine.store.scan("tax_rate")
        if all(value in (None, rate[name]) for name, value in wanted.items())
    ]


ROUTES = [
    Route("POST", "/v1/tax_rates", create, "TaxRateCreateParams"),
    Route("GET", "/v1/tax_rates", listing, "TaxRateListParams"),
    Route("GET", "/v1/tax_rates/{id}", retrieve, "TaxRateRetrieveParams"),
    Route("POST", "/v1/tax_rates/{id}", update, "TaxRateUpdateParams"),
]

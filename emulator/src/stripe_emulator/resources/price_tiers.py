"""
The tiers of a price: read, checked, and shown when they are expanded.

See https://docs.stripe.com/products-prices/pricing-models#tiered-pricing
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import invalid
from stripe_emulator.rendering import includes
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def read_tiers(params: Params) -> list[Json]:
    """The tiers that were sent, in order; none for a price per unit."""
    sent = params.list_of("tiers")
    if params.get("billing_scheme", "per_unit") != "tiered":
        if sent or params.get("tiers_mode") is not None:
            raise invalid("You must set billing_scheme=tiered to use tiers.", param=params.name_of("billing_scheme"))
        return []
    if sent and params.get("tiers_mode") is None:
        raise _missing(params, "tiers_mode")
    for name in ("unit_amount", "unit_amount_decimal", "transform_quantity"):
        if name in params:
            raise invalid(f"{name} cannot be used with billing_scheme=tiered.", param=params.name_of(name))
    return in_order(params)


def in_order(params: Params) -> list[Json]:
    """The tiers that were sent, of a price or of one of its currencies."""
    sent = params.list_of("tiers")
    if not sent:
        raise _missing(params, "tiers")
    tiers = [_tier(each) for each in sent]
    _check_bounds(tiers, params)
    return tiers


def amount_in(params: Params) -> tuple[int | None, str]:
    """In whole minor units if it is, and exactly."""
    amount, decimal = params.get("unit_amount"), params.get("unit_amount_decimal")
    if amount is None and decimal is None:
        raise invalid(
            "Missing required param: unit_amount.", param=params.name_of("unit_amount"), code="parameter_missing"
        )
    if amount is not None and decimal is not None:
        raise invalid("You may only specify one of these parameters: unit_amount, unit_amount_decimal.")
    return exactly(params, "unit_amount")


def exactly(params: Params, name: str) -> tuple[int | None, str]:
    """An amount by its two names: in minor units (None when it isn't a whole number of them), and exactly."""
    whole, decimal = params.get(name), params.get(f"{name}_decimal")
    exact = Decimal(decimal if decimal is not None else whole)
    if exact < 0:
        raise invalid("Invalid non-negative integer", param=params.name_of(name), code="parameter_invalid_integer")
    return (int(exact), str(int(exact))) if exact == exact.to_integral_value() else (None, str(exact.normalize()))


@includes("price", "tiers")
def show_tiers(engine: Engine, price: Json) -> list[Json] | None:
    """A tiered price's tiers; null for any other."""
    return [dict(tier) for tier in price["_tiers"]] or None


def _tier(sent: Params) -> Json:
    tier: Json = {"up_to": None if sent["up_to"] == "inf" else sent["up_to"]}
    for name in ("unit_amount", "flat_amount"):
        given = sent.get(name) is not None or sent.get(f"{name}_decimal") is not None
        tier[name], tier[f"{name}_decimal"] = exactly(sent, name) if given else (None, None)
    if tier["unit_amount_decimal"] is None and tier["flat_amount_decimal"] is None:
        raise _missing(sent, "unit_amount")
    return tier


def _check_bounds(tiers: list[Json], params: Params) -> None:
    bounds = [tier["up_to"] for tier in tiers]
    place = params.name_of("tiers")
    if bounds[-1] is not None or None in bounds[:-1]:
        raise invalid("The last tier, and only the last, must have `up_to` of `inf`.", param=place)
    if any(upper <= lower for lower, upper in zip([0, *bounds], bounds[:-1], strict=False)):
        raise invalid("Tiers must be in ascending order of `up_to`.", param=place)


def _missing(params: Params, name: str) -> Exception:
    return invalid(f"Missing required param: {name}.", param=params.name_of(name), code="parameter_missing")

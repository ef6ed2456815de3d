"""
What a quantity of a price costs: per unit, by tiers, of packages, and of units smaller than one minor unit.

See https://docs.stripe.com/products-prices/pricing-models
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from stripe_emulator.billing.currencies import in_currency
from stripe_emulator.state import Json


def amount_of(price: Json, quantity: int, currency: str) -> int:
    """What a quantity of a price costs for one period, in minor units of a currency; half a unit is rounded up."""
    price = in_currency(price, currency)
    exact = _tiered(price, quantity) if price["billing_scheme"] == "tiered" else _per_unit(price, quantity)
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _per_unit(price: Json, quantity: int) -> Decimal:
    packages = price["transform_quantity"]
    if packages is not None:
        whole, rest = divmod(quantity, int(packages["divide_by"]))
        quantity = whole + (1 if rest and packages["round"] == "up" else 0)
    return Decimal(price["unit_amount_decimal"] or 0) * quantity


def _tiered(price: Json, quantity: int) -> Decimal:
    cost = _volume if price["tiers_mode"] == "volume" else _graduated
    return cost(price["_tiers"], quantity)


def _volume(tiers: list[Json], quantity: int) -> Decimal:
    """The tier that the whole quantity reaches is the price of every unit."""
    tier = next(tier for tier in tiers if tier["up_to"] is None or quantity <= tier["up_to"])
    return _of(tier, "unit_amount") * quantity + _of(tier, "flat_amount")


def _graduated(tiers: list[Json], quantity: int) -> Decimal:
    """Every unit costs what its own tier says; a tier that is reached adds its flat amount. The first always is."""
    total, below = Decimal(0), 0
    for tier in tiers:
        upper = quantity if tier["up_to"] is None else min(quantity, tier["up_to"])
        total += _of(tier, "unit_amount") * (upper - below) + _of(tier, "flat_amount")
        below = upper
        if quantity <= below:
            break
    return total


def _of(tier: Json, name: str) -> Decimal:
    return Decimal(tier[f"{name}_decimal"] or 0)

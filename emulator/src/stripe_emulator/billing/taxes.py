"""
Tax rates on invoices and in Checkout: worked out line by line, on what discounts leave, and rounded there.

A line's own rates count, otherwise those of its invoice. An inclusive rate is part of the price, an exclusive one comes
on top. See https://docs.stripe.com/tax/tax-rates and https://docs.stripe.com/billing/taxes/tax-rates
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.rendering import public
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

MOST = 5
"""Rates on one line."""

_REASONS = {"none": "standard_rated", "exempt": "customer_exempt", "reverse": "reverse_charge"}


def read(engine: Engine, params: Params, name: str) -> list[str]:
    """The ids of the rates that were sent, each of which may be used; empty when they are unset."""
    sent = params.get(name) or []
    if len(sent) > MOST:
        raise invalid(f"You may specify at most {MOST} tax rates.", param=params.name_of(name))
    for position, id in enumerate(sent):
        place = f"{params.name_of(name)}[{position}]"
        rate = engine.store.get(id, "tax_rate")
        if rate is None:
            raise no_such("tax_rate", id, param=place)
        if not rate["active"]:
            raise invalid("The tax rate specified is inactive. This field only accepts active rates.", param=place)
    return list(sent)


def shown(engine: Engine, ids: list[str]) -> list[Json]:
    """The rates in full, as objects carry them."""
    return [public(engine.find("tax_rate", id)) for id in ids]


def on(engine: Engine, amount: int, ids: list[str], *, exempt: str = "none") -> list[Json]:
    """
    The taxes on an amount, one a rate; `exempt` is the customer's `tax_exempt`.

    Several inclusive rates share what the price holds of them.
    """
    rates = [engine.find("tax_rate", id) for id in ids]
    included = sum((Decimal(str(rate["percentage"])) for rate in rates if rate["inclusive"]), Decimal(0))
    without = Decimal(amount) / (1 + included / 100)
    return [_tax(rate, without, exempt) for rate in rates]


def apply(engine: Engine, invoice: Json) -> None:
    """Work out the taxes of a draft, whose discounts are known."""
    exempt = engine.find("customer", invoice["customer"])["tax_exempt"]
    totals: dict[str, Json] = {}
    for line in invoice["lines"]:
        rest = line["amount"] - sum(cut["amount"] for cut in line["discount_amounts"])
        line["taxes"] = on(engine, rest, line.get("_tax_rates") or invoice["default_tax_rates"], exempt=exempt)
        for tax in line["taxes"]:
            total = totals.setdefault(tax["tax_rate_details"]["tax_rate"], {**tax, "amount": 0, "taxable_amount": 0})
            total["amount"] += tax["amount"]
            total["taxable_amount"] += tax["taxable_amount"]
    invoice["total_taxes"] = list(totals.values())


def added(taxes: list[Json]) -> int:
    """What comes on top."""
    return sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")


def included(taxes: list[Json]) -> int:
    """What the prices hold already."""
    return sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")


def _tax(rate: Json, without: Decimal, exempt: str) -> Json:
    share = Decimal(str(rate["percentage"])) / 100 if exempt == "none" else Decimal(0)
    return {
        "amount": _rounded(without * share),
        "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]},
        "taxability_reason": _REASONS[exempt] if rate["percentage"] or exempt != "none" else "zero_rated",
        "taxable_amount": _rounded(without),
        "type": "tax_rate_details",
    }


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))

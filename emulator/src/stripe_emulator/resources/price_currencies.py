"""
What a price costs in further currencies: read, checked, and shown when that is expanded.

See https://docs.stripe.com/api/prices/create#create_price-currency_options
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import invalid
from stripe_emulator.rendering import includes
from stripe_emulator.resources.price_tiers import amount_in, in_order
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def read_options(params: Params, *, currency: str, scheme: str) -> Json:
    """The amounts that were sent, by currency, as a price keeps them; `currency` is the price's own."""
    if params.get("currency_options") == "":
        raise invalid("stripe_emulator takes no currency off a price", param=params.name_of("currency_options"))
    sent = params.at("currency_options")
    return {name.lower(): _option(sent, name, currency=currency, scheme=scheme) for name in sent.as_names()}


def _option(sent: Params, name: str, *, currency: str, scheme: str) -> Json:
    if re.fullmatch(r"[A-Za-z]{3}", name) is None:
        raise invalid(f"Invalid currency: {name.lower()}.", param=sent.name_of(name))
    if name.lower() == currency:
        raise invalid(f"`{currency}` is the price's own currency.", param=sent.name_of(name))
    option = sent.at(name)
    option.ignore("tax_behavior")
    if scheme == "tiered":
        return {"unit_amount": None, "unit_amount_decimal": None, "_tiers": in_order(option)}
    amount, decimal = amount_in(option)
    return {"unit_amount": amount, "unit_amount_decimal": decimal, "_tiers": []}


@includes("price", "currency_options")
def show_options(engine: Engine, price: Json) -> Json:
    """Every currency of a price, its own among them."""
    options = {price["currency"]: price, **(price.get("_currency_options") or {})}
    return {
        code: {
            "custom_unit_amount": None,
            "tax_behavior": price["tax_behavior"],
            "unit_amount": option["unit_amount"],
            "unit_amount_decimal": option["unit_amount_decimal"],
            **({"tiers": [dict(tier) for tier in option["_tiers"]]} if option["_tiers"] else {}),
        }
        for code, option in sorted(options.items())
    }

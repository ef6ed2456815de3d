"""
Which currency something is billed in, and what a price is in it.

A price has a currency of its own and options for further ones. A subscription is in one currency, and a customer's
subscriptions are all in the same while any of them lives.
See https://docs.stripe.com/products-prices/manage-prices#use-multi-currency-prices and
https://support.stripe.com/questions/setting-a-customers-default-currency
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def sold_in(price: Json) -> list[str]:
    """The currencies a price has an amount in, its own first."""
    return [price["currency"], *sorted(price.get("_currency_options") or {})]


def in_currency(price: Json, currency: str) -> Json:
    """A price as it is in one of its currencies, to be looked at."""
    if currency == price["currency"]:
        return price
    return {**price, **price["_currency_options"][currency], "currency": currency}


def check(price: Json, currency: str, *, param: str) -> None:
    """Raise what Stripe answers when a price has no amount in the currency it is needed in."""
    found = sold_in(price)
    if currency in found:
        return
    if len(found) == 1:
        raise invalid(
            f"The price specified only supports `{found[0]}`. This doesn't match the expected currency: `{currency}`.",
            param=param,
        )
    named = ", ".join(f"`{each}`" for each in found)
    raise invalid(
        f"The price specified supports currencies of {named} which doesn't include the expected currency of "
        f"`{currency}`.",
        param=param,
    )


def choose(engine: Engine, customer: Json | None, prices: Sequence[tuple[Json, str]], asked: str | None) -> str:
    """
    The currency of what is being bought: the one asked for, else the customer's, else the first price's own.

    `prices` come with their parameters' names. The customer's isn't kept when they have nothing in it any more and it
    isn't a currency of every price. Raises what Stripe answers when that can't be.
    """
    held = held_in(engine, customer) if customer else None
    if asked is not None:
        currency = asked.lower()
    else:
        known = held or (customer["currency"] if customer else None)
        usable = known is not None and (held or all(known in sold_in(price) for price, _ in prices))
        currency = known if known is not None and usable else prices[0][0]["currency"]
    for price, param in prices:
        check(price, currency, param=param)
    if held not in (None, currency):
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has an active subscription, "
            "subscription schedule, discount, quote, invoice item or active subscription mode checkout session with "
            f"currency {held}."
        )
    return currency


def held_in(engine: Engine, customer: Json) -> str | None:
    """The currency of what a customer has that still is to be billed; None without any."""
    store, id = engine.store, customer["id"]
    held = [each["currency"] for each in store.of_customer("subscription", id) if not each["ended_at"]]
    held += [each["currency"] for each in store.of_customer("invoiceitem", id) if each["invoice"] is None]
    held += [
        each["currency"]
        for each in store.scan("checkout.session")
        if each["customer"] == id and each["status"] == "open" and each["mode"] == "subscription"
    ]
    return held[0] if held else None


def keep(engine: Engine, customer: Json, currency: str) -> None:
    """A customer is billed in this currency from now on."""
    if customer["currency"] != currency:
        with engine.changing(customer, "customer.updated"):
            customer["currency"] = currency

"""The lines of a Checkout session: what is being bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import currencies, taxes
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.billing.usage import is_metered
from stripe_emulator.ids import new_id
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.rendering import public, renders, show
from stripe_emulator.resources import prices
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def make(engine: Engine, customer: Json | None, sent: list[Params], asked: str | None) -> list[Json]:
    """The lines of a new session, by a price or its data, all in the currency that is asked for, if any."""
    found = [(_price(engine, line), line.name_of("price")) for line in sent]
    if not found:
        return []
    currency = currencies.choose(engine, customer, found, asked)
    return [_line(engine, price, line, currency) for (price, _), line in zip(found, sent, strict=True)]


def _price(engine: Engine, sent: Params) -> Json:
    data = sent.at("price_data")
    if data:
        return prices.from_data(engine, data)
    if "price" in sent:
        return prices.usable(engine, sent["price"], param=sent.name_of("price"))
    raise invalid("Missing required param: price.", param=sent.name_of("price"), code="parameter_missing")


def _line(engine: Engine, price: Json, sent: Params, currency: str) -> Json:
    quantity = sent.get("quantity")
    if is_metered(price):
        if quantity is not None:
            raise invalid("You cannot set the quantity for metered prices.", param=sent.name_of("quantity"))
        quantity = 0
    elif quantity is None:
        raise invalid("Quantity is required. Add `quantity` to your line item.", param=sent.name_of("quantity"))
    if quantity < 1 and not is_metered(price):
        raise invalid("This value must be greater than or equal to 1.", param=sent.name_of("quantity"))
    sent.ignore("adjustable_quantity")
    amount = 0 if is_metered(price) else amount_of(price, quantity, currency)
    return {
        **nulls("item"),
        "id": new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": currency,
        "description": engine.find("product", price["product"])["name"],
        "price": price["id"],
        "quantity": quantity,
        "_recurring": price["recurring"] is not None,
        "_tax_rates": taxes.read(engine, sent, "tax_rates"),
    }


def check(items: list[Json], mode: str) -> None:
    """Raise what Stripe answers to lines that a session of this mode can't have."""
    if mode == "setup":
        if items:
            raise invalid("`line_items` cannot be used in `setup` mode.", param="line_items")
        return
    if not items:
        raise invalid(
            f"Missing required param: line_items. Checkout Sessions in `{mode}` mode need at least one.",
            param="line_items",
            code="parameter_missing",
        )
    recurring = [item for item in items if item["_recurring"]]
    if mode == "subscription" and not recurring:
        raise invalid("You must provide at least one recurring price in `subscription` mode when using prices.")
    if mode == "payment" and recurring:
        raise invalid(
            "You specified `payment` mode but passed a recurring price. "
            "Either switch to `subscription` mode or use only one-time prices."
        )


@renders("item")
def show_line_item(engine: Engine, item: Json) -> Json:
    """With its price in full."""
    return {**public(item), "price": show(engine, engine.find("price", item["price"]))}

"""Invoice lines and the pending invoice items some of them come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import taxes
from stripe_emulator.billing.currencies import in_currency
from stripe_emulator.billing.discounts import lasting
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.ids import new_id
from stripe_emulator.money import price_text
from stripe_emulator.rendering import public, renders
from stripe_emulator.state import Json
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def period_line(engine: Engine, subscription: Json, item: Json, *, start: int, end: int, trial: bool = False) -> Json:
    """A line for a whole period of an item; free in a trial."""
    price = in_currency(engine.find("price", item["price"]), subscription["currency"])
    name = engine.find("product", price["product"])["name"]
    quantity = item["quantity"]
    what = f"{quantity} × {name}"
    return _line(
        amount=0 if trial else amount_of(price, quantity, subscription["currency"]),
        currency=subscription["currency"],
        description=f"Free trial for {what}" if trial else f"{what} (at {price_text(price)})",
        price=price,
        quantity=quantity,
        start=start,
        end=end,
        metadata=dict(subscription["metadata"]),
        subscription=subscription["id"],
        discounts=lasting(engine, item["discounts"], start),
        unit_amount=0 if trial else None,
        tax_rates=item["tax_rates"],
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
    )


def line_of(engine: Engine, pending: Json) -> Json:
    """The line a pending invoice item becomes on an invoice."""
    pricing = pending["pricing"]
    price = engine.find("price", pricing["price_details"]["price"]) if pricing else None
    subscription = pending["_subscription"]
    item = pending["_subscription_item"]
    details = {"credited_items": None}
    if item is not None:
        parent: Json = {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": pending["id"],
                "proration": pending["proration"],
                "proration_details": details,
                "subscription": subscription,
                "subscription_item": item,
            },
            "type": "subscription_item_details",
        }
    else:
        parent = {
            "invoice_item_details": {
                "invoice_item": pending["id"],
                "proration": pending["proration"],
                "proration_details": details,
                "subscription": subscription,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return _line(
        amount=pending["amount"],
        currency=pending["currency"],
        description=pending["description"],
        price=price,
        quantity=pending["quantity"],
        start=pending["period"]["start"],
        end=pending["period"]["end"],
        metadata=dict(pending["metadata"] or {}),
        subscription=subscription,
        parent=parent,
        discountable=pending["discountable"],
        discounts=list(pending["discounts"]),
        tax_rates=pending["tax_rates"],
    )


def add_invoice_item(
    engine: Engine,
    *,
    customer: Json,
    amount: int,
    currency: str,
    description: str | None,
    price: Json | None,
    quantity: int,
    start: int,
    end: int,
    proration: bool,
    subscription: str | None = None,
    subscription_item: str | None = None,
    invoice: str | None = None,
    metadata: Json | None = None,
    tax_rates: list[str] | None = None,
    emit: bool = True,
) -> Json:
    """Something to be put on the customer's next invoice (or on a given draft)."""
    pending = engine.store.add(
        {
            **nulls("invoiceitem"),
            "id": new_id("ii"),
            "object": "invoiceitem",
            "amount": amount,
            "currency": currency,
            "customer": customer["id"],
            "date": engine.now(customer["test_clock"]),
            "description": description,
            "discountable": not proration,
            "discounts": [],
            "invoice": invoice,
            "livemode": False,
            "metadata": metadata or {},
            "net_amount": amount,
            "parent": None
            if subscription is None
            else {
                "subscription_details": {"subscription": subscription, "subscription_item": subscription_item},
                "type": "subscription_details",
            },
            "period": {"start": start, "end": end},
            "pricing": pricing_of(price, currency),
            "proration": proration,
            "quantity": quantity,
            "quantity_decimal": str(quantity),
            "tax_rates": list(tax_rates or []),
            "test_clock": customer["test_clock"],
            "_subscription": subscription,
            "_subscription_item": subscription_item,
        }
    )
    if emit:
        engine.emit("invoiceitem.created", pending)
    return pending


def pending_items(engine: Engine, customer: str, subscription: str | None) -> list[Json]:
    """What waits for the next invoice of a subscription (or, with None, for one without), oldest first."""
    waiting = [
        pending
        for pending in engine.store.of_customer("invoiceitem", customer)
        if pending["invoice"] is None and pending["_subscription"] in (None, subscription)
    ]
    return [engine.find("invoiceitem", pending["id"]) for pending in reversed(waiting)]


def pricing_of(price: Json | None, currency: str) -> Json | None:
    """How a line in a currency names its price."""
    if price is None:
        return None
    price = in_currency(price, currency)
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def _line(
    *,
    amount: int,
    currency: str,
    description: str | None,
    price: Json | None,
    quantity: int,
    start: int,
    end: int,
    metadata: Json,
    subscription: str | None,
    parent: Json | None,
    unit_amount: int | None = None,
    discountable: bool = True,
    discounts: list[str] | None = None,
    tax_rates: list[str] | None = None,
) -> Json:
    pricing = pricing_of(price, currency)
    if pricing is not None and unit_amount is not None:
        pricing["unit_amount_decimal"] = str(unit_amount)
    return {
        **nulls("line_item"),
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": discountable,
        "discounts": discounts or [],
        "invoice": None,
        "livemode": False,
        "metadata": metadata,
        "parent": parent,
        "period": {"start": start, "end": end},
        "pretax_credit_amounts": [],
        "pricing": pricing,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": subscription,
        "subtotal": amount,
        "taxes": [],
        "_tax_rates": list(tax_rates or []),
    }


@renders("invoiceitem")
def show_invoice_item(engine: Engine, pending: Json) -> Json:
    """With its tax rates in full; one that was deleted has none."""
    if pending.get("deleted"):
        return public(pending)
    return {**public(pending), "tax_rates": taxes.shown(engine, pending["tax_rates"])}
